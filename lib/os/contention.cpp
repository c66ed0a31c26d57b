#include "os/contention.hpp"

namespace weft::os {

namespace {

constinit thread_local std::atomic<nanos>* total_of_this_thread = nullptr;

}  // namespace

void count_contention(std::atomic<nanos>* total) noexcept {
  total_of_this_thread = total;
}

contended::contended() noexcept : total_(total_of_this_thread) {
  if (total_ != nullptr) since_ = real_port().now();
}

contended::~contended() {
  if (total_ == nullptr) return;
  const nanos before = total_->load(std::memory_order_relaxed);  // relaxed: this thread alone writes it
  total_->store(before + real_port().now() - since_, std::memory_order_relaxed);  // relaxed: a statistic
}

}  // namespace weft::os
