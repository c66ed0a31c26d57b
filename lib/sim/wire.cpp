#include "sim/wire.hpp"

#include "sim/machine.hpp"
#include "sim/port.hpp"
#include "sim/system_call.hpp"

namespace weft::sim {

void wire::at(os::nanos due, std::function<void(system_call&)> happens) {
  const bool is_first = later_.empty() || due < later_.begin()->first.first;
  later_.emplace(std::pair{due, ++count_}, std::move(happens));
  if (thread_.value == 0) {
    thread_ = port_.start_own(&run, this, "weft-wire");
  } else if (is_first) {
    wake();
  }
}

void wire::end() noexcept {
  if (thread_.value == 0) return;
  ends_ = true;
  wake();
  port_.join(std::exchange(thread_, {}));
}

void wire::wake() noexcept {
  ++changes_;
  port_.wake(changes_, 1);
}

void wire::run(void* self) noexcept {
  static_cast<wire*>(self)->carry();
}

void wire::carry() noexcept {
  while (!ends_) {
    const std::uint32_t seen = changes_;
    const os::nanos next = later_.empty() ? os::never : later_.begin()->first.first;
    if (next > port_.now()) {
      port_.wait(changes_, seen, next);
    } else {
      const auto due = later_.extract(later_.begin());
      system_call call(on_);
      due.mapped()(call);
    }
  }
}

}  // namespace weft::sim
