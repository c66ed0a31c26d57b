#include "sched/deadlock.hpp"

#include <weft/blocking.hpp>
#include <weft/io/pipe.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <string>
#include <string_view>
#include <thread>

#include <poll.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/sanitizers.hpp"

namespace {

namespace blocking = weft::blocking;

std::atomic<int> reports{0};
weft::channel<int>* to_close = nullptr;
weft::sched::deadlock_reporter usual = nullptr;

/// What the test is stuck on ends, so that it can look at the report.
void count_and_end(const weft::sched::sleepers& all) noexcept {
  ++reports;
  if (usual != nullptr) usual(all);
  to_close->close();
}

class watched {
 public:
  explicit watched(weft::channel<int>& ch, bool print) {
    reports = 0;
    to_close = &ch;
    const auto before = weft::sched::set_deadlock_reporter(&count_and_end);
    real_ = before;
    usual = print ? before : nullptr;
  }

  watched(const watched&) = delete;
  watched& operator=(const watched&) = delete;

  ~watched() { weft::sched::set_deadlock_reporter(real_); }

 private:
  weft::sched::deadlock_reporter real_;
};

}  // namespace

#if WEFT_TEST_TSAN

TEST_CASE("tsan's own thread could wake somebody: no deadlock is ever certain", "[blocking][deadlock]") {
  WARN("the reports of deadlocks are not tested in this build");
}

#else

TEST_CASE("threads that wait no longer are forgotten in whatever order they go", "[blocking][deadlock]") {
  std::array<std::size_t, 3> order{0, 1, 2};
  const std::uint64_t word = 0;
  do {
    std::array<weft::sched::sleeping_party, 3> all{};
    for (auto& each : all) {
      each.word = &word;
      weft::sched::enlist(each);
    }
    for (const std::size_t i : order) weft::sched::delist(all[i]);
    weft::sched::sleeping_party last{};
    last.word = &word;
    weft::sched::enlist(last);
    REQUIRE(last.next == nullptr);
    weft::sched::delist(last);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("when all routines and all threads are asleep, a report names what each waits for",
          "[blocking][deadlock]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::channel<int> nobody_sends;
  const watched here(nobody_sends, true);
  weft::runtime rt({.workers = workers});
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  const int error = ::dup(STDERR_FILENO);
  ::dup2(ends[1], STDERR_FILENO);
  auto h = rt.go(weft::spawn_options{.name = "stuck"}, [nobody_sends]() mutable -> weft::routine<bool> {
    co_return (co_await nobody_sends.recv()).has_value();
  });
  const bool got = h.join();
  ::dup2(error, STDERR_FILENO);
  ::close(error);
  ::close(ends[1]);
  std::string text;
  std::array<char, 4096> buffer;
  for (ssize_t n; (n = ::read(ends[0], buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  REQUIRE_FALSE(got);
  REQUIRE(reports == 1);
  INFO(text);
  REQUIRE(text.find("all routines are asleep") != std::string::npos);
  REQUIRE(text.find("'stuck': waits in recv on channel") != std::string::npos);
  REQUIRE(text.find("thread " + std::to_string(::getpid()) + ": blocks in join of routine 1") !=
          std::string::npos);
}

TEST_CASE("a thread that waits for ever in a program without routines is reported", "[blocking][deadlock]") {
  blocking::channel<int> nobody_sends;
  const watched here(nobody_sends, false);
  REQUIRE_FALSE(nobody_sends.recv());
  REQUIRE(reports == 1);
}

TEST_CASE("a runtime that has waited for descriptors, and does no more, is reported",
          "[blocking][deadlock]") {
  weft::channel<int> nobody_sends;
  const watched here(nobody_sends, false);
  weft::runtime rt({.workers = 1});
  const bool got = rt.go([nobody_sends]() mutable -> weft::routine<bool> {
                       {
                         auto ends = weft::make_pipe();
                         auto writing =
                             weft::go([&]() -> weft::routine<> { co_await ends.second.write_all("x"); });
                         std::array<char, 1> byte;
                         co_await ends.first.read_some(byte);
                         co_await std::move(writing);
                       }
                       co_return (co_await nobody_sends.recv()).has_value();
                     }).join();
  REQUIRE_FALSE(got);
  REQUIRE(reports == 1);
}

TEST_CASE("plain callables that wait for one another for ever are reported", "[blocking][deadlock]") {
  weft::channel<int> one;
  const watched here(one, false);
  weft::runtime rt({.workers = 2});
  auto a = rt.go([one] { (void)blocking::channel<int>(one).recv(); });
  auto b = rt.go([one] { (void)blocking::channel<int>(one).recv(); });
  a.join();
  b.join();
  REQUIRE(reports == 1);
}

TEST_CASE("nothing is reported while a foreign thread, a timer or another runtime may still wake somebody",
          "[blocking][deadlock]") {
  blocking::channel<int> ch;
  const watched here(ch, false);
  weft::runtime rt({.workers = 2});
  weft::runtime other({.workers = 1});
  {
    std::thread late([&] {
      ::poll(nullptr, 0, 30);  // ms: it is awake later, and who looks meanwhile must not know better
      ch.send(1);
    });
    REQUIRE(ch.recv() == 1);
    late.join();
  }
  auto timer = rt.go([ch]() mutable -> weft::routine<> {
    co_await weft::sleep_for(std::chrono::milliseconds(30));
    co_await weft::channel<int>(ch).send(2);
  });
  REQUIRE(ch.recv() == 2);
  timer.join();
  auto busy = other.go([ch]() mutable {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(30);
    while (std::chrono::steady_clock::now() < until) {
    }
    ch.send(3);
  });
  REQUIRE(ch.recv() == 3);
  busy.join();
  REQUIRE(reports == 0);
}

#endif
