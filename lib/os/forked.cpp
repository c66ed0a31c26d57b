#include "os/forked.hpp"

#include <atomic>
#include <string_view>

#include <pthread.h>

#include "base/fatal.hpp"

namespace weft::os {

namespace {

constexpr std::string_view sentence =
    "weft is used in a forked child of a process that has a runtime, whose threads do not exist here; call "
    "exec or "
    "_exit there, or fork before the first runtime is made";

std::atomic<int> runtimes{0};
std::atomic<bool> in_child_now{false};
std::atomic<void (*)()> told{nullptr};

void on_fork() {
  if (runtimes.load(std::memory_order_relaxed) == 0) return;  // relaxed: this is the only thread
  in_child_now.store(true, std::memory_order_relaxed);        // relaxed: same
  if (auto* f = told.load(std::memory_order_relaxed)) f();    // relaxed: same
}

}  // namespace

void runtime_begins(void (*in_child)()) {
  static const bool watched = [] { return ::pthread_atfork(nullptr, nullptr, &on_fork) == 0; }();
  static_cast<void>(watched);                        // without memory for it nobody says the sentence
  told.store(in_child, std::memory_order_relaxed);   // relaxed: always the same
  runtimes.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
}

void runtime_ends() noexcept {
  runtimes.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a count
}

bool forked() noexcept {
  return in_child_now.load(std::memory_order_relaxed);  // relaxed: set before there was a second thread
}

void misuse_in_child() noexcept {
  base::misuse(sentence);
}

void refuse_in_child() noexcept {
  if (forked()) [[unlikely]]
    base::misuse_before_exit(sentence);
}

}  // namespace weft::os
