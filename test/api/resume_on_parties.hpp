#pragma once

// What the tests of resume_on share: on what kind of thread this is, and routines that move.

#include <weft/weft.hpp>

#include <atomic>
#include <string_view>

#include <pthread.h>
#include <unistd.h>

#include "support/catch.hpp"

namespace weft::test {

enum class place { workers, pool, elsewhere };

/// By the name that weft has given the thread.
inline place here() {
  char name[16] = {};
  ::pthread_getname_np(::pthread_self(), name, sizeof name);
  const std::string_view text(name);
  if (text.ends_with("-io")) return place::pool;
  const bool is_worker = text.starts_with("weft-") && text.back() >= '0' && text.back() <= '9';
  return is_worker ? place::workers : place::elsewhere;
}

/// Counts what a routine finds right; asserted by the test's own thread.
class checks {
 public:
  void operator()(bool holds, int line) {
    int none = 0;
    if (!holds) first_wrong_.compare_exchange_strong(none, line);
  }

  int first_wrong() const { return first_wrong_.load(); }

 private:
  std::atomic<int> first_wrong_{0};
};

inline weft::routine<place> where() {
  co_return here();
}

inline weft::routine<place> where_after_yield() {
  co_await weft::yield();
  co_return here();
}

inline weft::routine<> goes_to_pool() {
  co_await weft::resume_on(weft::blocking_pool);
}

inline weft::routine<> goes_to_workers() {
  co_await weft::resume_on(weft::workers);
}

/// Two parties that meet in the kernel, each on a thread of its own.
class kernel_meeting {
 public:
  kernel_meeting() {
    REQUIRE(::pipe(there_) == 0);
    REQUIRE(::pipe(back_) == 0);
  }

  kernel_meeting(const kernel_meeting&) = delete;
  kernel_meeting& operator=(const kernel_meeting&) = delete;

  ~kernel_meeting() {
    for (const int fd : {there_[0], there_[1], back_[0], back_[1]}) ::close(fd);
  }

  bool meet(bool first) {
    char c = 'x';
    int* const out = first ? there_ : back_;
    int* const in = first ? back_ : there_;
    return ::write(out[1], &c, 1) == 1 && ::read(in[0], &c, 1) == 1;
  }

 private:
  int there_[2], back_[2];
};

}  // namespace weft::test
