#pragma once

// interrupt: Ctrl-C as a flag, by a thread that waits for the signal.
//
// Made before all other threads: they inherit the mask, so that this one alone gets SIGINT.

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

class interrupt_watch {
 public:
  interrupt_watch() {
    sigemptyset(&watched_);
    sigaddset(&watched_, SIGINT);
    sigaddset(&watched_, SIGUSR1);  // ours: the end of this object
    pthread_sigmask(SIG_BLOCK, &watched_, nullptr);
    thread_ = std::thread([this] { watch(); });
  }

  interrupt_watch(const interrupt_watch&) = delete;
  interrupt_watch& operator=(const interrupt_watch&) = delete;

  ~interrupt_watch() {
    is_over_ = true;
    pthread_kill(thread_.native_handle(), SIGUSR1);
    thread_.join();
  }

  bool is_interrupted() const { return is_interrupted_; }

 private:
  void watch() {
    while (!is_over_) {
      int signal = 0;
      sigwait(&watched_, &signal);
      if (signal != SIGINT) continue;
      if (is_interrupted_) std::_Exit(128 + SIGINT);  // the second one: at once
      is_interrupted_ = true;
    }
  }

  sigset_t watched_{};
  std::atomic<bool> is_interrupted_ = false;
  std::atomic<bool> is_over_ = false;
  std::thread thread_;
};
