#include "support/faces.hpp"

#include <array>
#include <cstdio>

#include "support/catch.hpp"
#include "support/hang.hpp"

namespace weft::test {
namespace {

/// What a hang reports: bodies run one after the other.
std::atomic<trial*> current{nullptr};

void report_current() {
  const trial* t = current.load();
  if (t == nullptr) return;
  static_cast<void>(std::fprintf(stderr, "%s\n%s\n", t->name().c_str(), t->failure().c_str()));
  if (t->on != nullptr) t->on->dump();
}

}  // namespace

trial::trial(faces how, unsigned workers, std::uint64_t mix) noexcept
    : how_(how), workers_(workers), mix_(mix) {
  current.store(this);
  on_hang(&report_current);
}

trial::~trial() {
  current.store(nullptr);
}

void trial::note(const char* what, std::source_location at) noexcept {
  if (failed_.exchange(true)) return;
  what_ = what;
  where_ = at;
}

std::string trial::failure() const {
  if (!failed_.load()) return {};
  return std::string("not as expected: ") + what_ + " (" + where_.file_name() + ":" +
         std::to_string(where_.line()) + ")\n";
}

std::string trial::name() const {
  static constexpr std::array names{"coroutine face", "facade", "mixed faces"};
  const std::string face(names[static_cast<std::size_t>(how_)]);
  return face + (workers_ == 0 ? ", simulated" : ", workers: " + std::to_string(workers_));
}

void require_success(const std::string& name, const std::string& failure) {
  INFO(name);
  INFO(failure);
  REQUIRE(failure.empty());
}

}  // namespace weft::test
