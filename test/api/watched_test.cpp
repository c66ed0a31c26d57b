// A runtime that is looked at all the time - stats() and dump() in loops - misses nothing and ends.

#include <weft/dump.hpp>
#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <string_view>
#include <thread>
#include <vector>

#include <sched.h>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

/// Two threads that look at `rt` until they are told to end.
class watchers {
 public:
  explicit watchers(const weft::runtime& rt) {
    threads_.emplace_back([this, &rt] {
      while (!over_) {
        weft::dump(rt, [this](std::string_view text) { bytes_ += text.size(); });
        ++looks_;
        ++dumps_;
      }
    });
    threads_.emplace_back([this, &rt] {
      while (!over_) {
        const auto s = rt.stats();
        if (s.threads > 10'000 || s.idle_workers > 10'000 || s.live > 1'000'000) ++odd_;
        ++looks_;
      }
    });
  }

  ~watchers() { end(); }

  watchers(const watchers&) = delete;
  watchers& operator=(const watchers&) = delete;

  /// So often in all, and one whole dump.
  void let_look(long times) const {
    const long looks = looks_ + times, dumps = dumps_ + 2;
    while (looks_ < looks || dumps_ < dumps) ::sched_yield();
  }

  /// How often a figure made no sense.
  long end() {
    over_ = true;
    for (auto& t : threads_) t.join();
    threads_.clear();
    return bytes_ == 0 ? odd_ + 1 : odd_.load();
  }

 private:
  std::atomic<bool> over_{false};
  std::atomic<long> looks_{0}, dumps_{0}, odd_{0};
  std::atomic<std::size_t> bytes_{0};
  std::vector<std::thread> threads_;
};

weft::routine<> answers(weft::channel<int> in, weft::channel<int> out) {
  while (auto v = co_await in.recv()) co_await out.send(*v + 1);
}

}  // namespace

TEST_CASE("no wake-up is lost while the runtime is looked at and its workers fall asleep", "[api][watched]") {
  const unsigned workers = GENERATE(1U, 2U, 4U);
  weft::runtime rt({.workers = workers});
  weft::blocking::channel<int> to, from;
  auto h = rt.go(answers, to, from);
  watchers w(rt);
  for (int i = 0; i < 500; ++i) {  // each wakes a worker that has nothing else to do
    REQUIRE(to.send(i) == weft::send_status::sent);
    REQUIRE(from.recv() == i + 1);
    rt.go([]() -> weft::routine<> { co_await weft::sleep_for(1us); }).join();
  }
  to.close();
  h.join();
  w.let_look(50);  // it is idle
  REQUIRE(w.end() == 0);
}

TEST_CASE("a runtime is looked at under load and while it stops", "[api][watched][stop]") {
  for (int round = 0; round < 20; ++round) {
    weft::runtime rt({.workers = 2});
    watchers w(rt);
    weft::channel<int> ch(3), never;
    for (int i = 0; i < 20; ++i) {
      (void)rt.go(weft::spawn_options{.name = "busy"}, [=]() -> weft::routine<> {
        for (;;) {
          co_await weft::select(weft::on_send(ch, 1), weft::on_recv(ch), weft::on_timeout(10us));
          auto child = weft::go(answers, never, ch);
          child.cancel();
          co_await weft::yield();
        }
      });
      (void)rt.go(weft::spawn_options{.name = "plain"},
                  [=] { (void)weft::blocking::channel<int>(never).recv(); });
    }
    w.let_look(20);
    rt.stop();
    REQUIRE(rt.stats().live == 0);
    w.let_look(4);
    REQUIRE(w.end() == 0);
  }
}
