#include "os/contention.hpp"

namespace weft::os {

namespace {

constinit thread_local contention* of_this_thread = nullptr;

}  // namespace

void count_contention(contention* to) noexcept {
  of_this_thread = to;
}

contended::contended() noexcept : of_(of_this_thread) {
  if (of_ == nullptr) return;
  since_ = real_port().now();
  pass();
}

contended::~contended() {
  if (of_ == nullptr) return;
  pass();
  of_->total_.store(of_->total() + real_port().now() - since_,
                    std::memory_order_relaxed);  // relaxed: a statistic
}

/// Into the wait, or out of it.
void contended::pass() noexcept {
  of_->turn_.store(of_->turn() + 1, std::memory_order_relaxed);  // relaxed: as turn()
}

}  // namespace weft::os
