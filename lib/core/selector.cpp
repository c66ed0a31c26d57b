#include <weft/select.hpp>

#include <stdexcept>
#include <string_view>

#include "base/fatal.hpp"
#include "core/claim_word.hpp"
#include "os/port.hpp"

namespace weft {

namespace detail {

any_case::~any_case() = default;

}

namespace {

constexpr std::string_view in_use =
    "a selector is changed or waited on while somebody waits on it; use one for each waiter";

/// Their indices stand in the claim word, below those of the other winners.
constexpr std::size_t most_cases = core::by_self;

}  // namespace

selector::~selector() {
  if (waiting_) base::misuse("a selector is destroyed while somebody waits on it; it must outlive the wait");
  while (detail::any_case* c = first_) {
    first_ = c->next;
    delete c;
  }
  delete[] list_;
}

std::size_t selector::keep(detail::any_case* c) {
  if (waiting_) base::misuse(in_use);
  if (count_ == most_cases) {
    delete c;
    throw std::length_error("weft: a selector has at most 65,533 cases");
  }
  (last_ != nullptr ? last_->next : first_) = c;
  last_ = c;
  return count_++;
}

void selector::enable(std::size_t index, bool on) {
  if (waiting_) base::misuse(in_use);
  if (index >= count_)
    base::misuse("selector::enable() of a case that was never added; indices come from add()");
  detail::any_case* c = first_;
  for (std::size_t i = index; i != 0; --i) c = c->next;
  c->erased().enabled = on;
}

detail::select_core& selector::start() {
  if (waiting_) base::misuse(in_use);
  if (listed_ != count_) {
    delete[] std::exchange(list_, nullptr);
    listed_ = 0;
    os::may_fail();
    list_ = new detail::select_case*[count_];
    listed_ = count_;
  }
  core_ = {list_, static_cast<std::uint32_t>(count_), biased_, false, detail::no_deadline, 0};
  std::uint32_t i = 0;
  for (detail::any_case* c = first_; c != nullptr; c = c->next) {
    list_[i] = &c->erased();
    c->start(core_, i++);
  }
  waiting_ = true;
  return core_;
}

}  // namespace weft
