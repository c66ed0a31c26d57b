// Cancel, time limit and close of operations that are under way: exactly one outcome, and the buffer is left
// alone afterwards.

#include <weft/blocking.hpp>
#include <weft/io/pipe.hpp>
#include <weft/io/tcp.hpp>
#include <weft/io/unix.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "io/support.hpp"
#include "support/catch.hpp"

using namespace weft;
using namespace std::chrono_literals;
using test::error_of;
using test::letter;
using test::poison;

namespace {

using pair_of_streams = std::pair<unix_stream, unix_stream>;

routine<> read_for_ever(unix_stream& from, std::array<char, 8>& to) {
  for (;;) co_await from.read_some(to);
}

}  // namespace

TEST_CASE("a read that was cancelled has not touched its buffer, and the next one gets what comes",
          "[io][cancel]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  runtime rt({.workers = width});
  const auto [left_alone, got] =
      rt.go([]() -> routine<std::pair<bool, std::string>> {
          pair_of_streams s = unix_stream::pair();
          std::array<char, 8> buffer;
          buffer.fill(poison);
          auto reading = go(read_for_ever, std::ref(s.first), std::ref(buffer));
          co_await yield();
          reading.cancel();
          try {
            co_await std::move(reading);
          } catch (const routine_cancelled&) {
          }
          co_await s.second.write_all("12345678");
          std::string after(8, ' ');
          co_await s.first.read_exactly(after);
          const bool same = std::all_of(buffer.begin(), buffer.end(), [](char c) { return c == poison; });
          co_return std::pair{same, after};
        }).join();
  REQUIRE(left_alone);
  REQUIRE(got == "12345678");
}

TEST_CASE("reads with a time limit lose and double no byte", "[io][cancel]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  runtime rt({.workers = width});
  constexpr std::size_t total = 5'000;
  const auto read = [](unix_stream& from) -> routine<std::pair<std::size_t, int>> {
    std::size_t right = 0;
    int expired = 0;
    std::array<char, 4> buffer;
    for (;;) {
      std::size_t n = 0;
      bool late = false;
      buffer.fill(poison);
      try {
        n = co_await with_timeout(std::chrono::microseconds(right % 60), from.read_some(buffer));
      } catch (const timeout_error&) {
        late = true;
      }
      if (late) {
        ++expired;
        if (buffer[0] != poison) co_return std::pair{right, -1};
        continue;
      }
      if (n == 0) co_return std::pair{right, expired};
      for (std::size_t i = 0; i < n; ++i) {
        if (buffer[i] != letter(right)) co_return std::pair{right, -2};
        ++right;
      }
    }
  };
  const auto write = [](unix_stream& to) -> routine<> {
    for (std::size_t i = 0; i < total; ++i) {
      const char c = letter(i);
      co_await to.write_all(const_buffer(&c, 1));
      if (i % 16 == 0) co_await sleep_for(50us);
    }
    to.close();
  };
  const auto [right, expired] = rt.go([&]() -> routine<std::pair<std::size_t, int>> {
                                    pair_of_streams s = unix_stream::pair();
                                    auto writing = go(write, std::ref(s.second));
                                    const auto result = co_await read(s.first);
                                    co_await std::move(writing);
                                    co_return result;
                                  }).join();
  REQUIRE(right == total);
  REQUIRE(expired >= 0);
}

TEST_CASE("close ends what is under way by ECANCELED, and what comes later by EBADF", "[io][close]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  runtime rt({.workers = width});
  const auto codes = rt.go([]() -> routine<std::array<int, 4>> {
                         pair_of_streams s = unix_stream::pair();
                         const auto reads = [](unix_stream& from) -> routine<> {
                           std::array<char, 8> buffer;
                           co_await from.read_some(buffer);
                         };
                         const auto writes = [](unix_stream& to) -> routine<> {
                           const std::string much(10'000'000, 'x');
                           co_await to.write_all(much);
                         };
                         auto reading = go(error_of(reads(s.first)));
                         auto second = go(error_of(reads(s.first)));
                         auto writing = go(error_of(writes(s.first)));
                         for (int i = 0; i < 100; ++i) co_await yield();
                         s.first.close();
                         std::array<int, 4> all{};
                         all[0] = co_await std::move(reading);
                         all[1] = co_await std::move(second);
                         all[2] = co_await std::move(writing);
                         all[3] = co_await error_of(reads(s.first));
                         co_return all;
                       }).join();
  // With several workers some may begin only after the close.
  for (std::size_t i = 0; i < 3; ++i) REQUIRE((codes[i] == ECANCELED || (width > 1 && codes[i] == EBADF)));
  REQUIRE(codes[3] == EBADF);
}

TEST_CASE("a number that was given back is not met by operations of its last owner", "[io][close]") {
  const unsigned width = GENERATE(2U, 8U);
  runtime rt({.workers = width});
  // Each round closes a stream that is being read, and opens others, which get its number; what is sent there
  // must be read there.
  const auto round = [](int which) -> routine<bool> {
    pair_of_streams old = unix_stream::pair();
    std::array<char, 8> stolen;
    stolen.fill(poison);
    auto reading = go(error_of(read_for_ever(old.first, stolen)));
    if (which % 3 == 0) co_await yield();
    old.first.close();
    pair_of_streams fresh = unix_stream::pair();
    co_await fresh.second.write_all("mine");
    std::array<char, 4> mine;
    const std::size_t n = co_await fresh.first.read_exactly(mine);
    co_await std::move(reading);
    co_return n == 4 && stolen[0] == poison&& std::equal(mine.begin(), mine.end(), "mine");
  };
  const auto many = [&](int n) -> routine<int> {
    int good = 0;
    for (int i = 0; i < n; ++i) {
      const bool is_good = co_await round(i);
      if (is_good) ++good;
    }
    co_return good;
  };
  std::vector<join_handle<int>> parties;
  for (int i = 0; i < 6; ++i) parties.push_back(rt.go(many, 300));
  for (auto& each : parties) REQUIRE(each.join() == 300);
}

TEST_CASE("what is under way on a stream that is gone keeps its record from the next one", "[io][close]") {
  runtime rt({.workers = 1});
  const auto [error, n, stolen] = rt.go([]() -> routine<std::tuple<int, std::size_t, char>> {
                                      pair_of_streams old = unix_stream::pair();
                                      std::array<char, 8> theirs;
                                      theirs.fill(poison);
                                      auto reading = go(error_of(read_for_ever(old.first, theirs)));
                                      co_await yield();  // it waits
                                      old.first = unix_stream();
                                      pair_of_streams fresh = unix_stream::pair();
                                      co_await fresh.second.write_all("mine");
                                      const int ended = co_await std::move(reading);
                                      std::array<char, 4> mine;
                                      const std::size_t got = co_await fresh.first.read_some(mine);
                                      co_return std::tuple{ended, got, theirs[0]};
                                    }).join();
  REQUIRE(error == ECANCELED);
  REQUIRE(n == 4);
  REQUIRE(stolen == poison);
}

TEST_CASE("readers of one stream share what comes, whoever of them is cancelled", "[io][cancel]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  runtime rt({.workers = width});
  constexpr int total = 3'000;
  std::atomic<int> got{0};
  const auto read = [&got](unix_stream& from) -> routine<> {
    std::array<char, 1> byte;
    for (;;) {
      const std::size_t n = co_await from.read_some(byte);
      if (n == 0) co_return;
      got.fetch_add(1, std::memory_order_relaxed);  // relaxed: read when all have been joined
    }
  };
  rt.go([&]() -> routine<> {
      pair_of_streams s = unix_stream::pair();
      std::vector<join_handle<void>> readers;
      for (int i = 0; i < 8; ++i) readers.push_back(go(read, std::ref(s.first)));
      for (int i = 0; i < total; ++i) {
        co_await s.second.write_all("x");
        if (i % 500 != 0) continue;
        readers.front().cancel();
        try {
          co_await std::move(readers.front());
        } catch (const routine_cancelled&) {
        }
        readers.erase(readers.begin());
        readers.push_back(go(read, std::ref(s.first)));
      }
      s.second.close();
      for (auto& each : readers) co_await std::move(each);
    }).join();
  REQUIRE(got == total);
}

TEST_CASE("a cancelled routine reads and writes nothing, also where it need not wait", "[io][cancel]") {
  runtime rt({.workers = 1});
  const auto left = rt.go([]() -> routine<std::size_t> {
                        pair_of_streams s = unix_stream::pair();
                        co_await s.second.write_all("abc");
                        auto late = go(
                            [](unix_stream& from) -> routine<> {
                              while (!this_routine::cancelled())
                                co_await shield([]() -> routine<> { co_await yield(); }());
                              std::array<char, 3> all;
                              co_await from.read_some(all);
                            },
                            std::ref(s.first));
                        co_await yield();  // it has begun
                        late.cancel();
                        try {
                          co_await std::move(late);
                        } catch (const routine_cancelled&) {
                        }
                        std::array<char, 8> rest;
                        co_return co_await s.first.read_some(rest);
                      }).join();
  REQUIRE(left == 3);
}

TEST_CASE("stop() ends reads, writes and accepts, and leaves no descriptor", "[io][stop]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  const std::size_t before = test::open_descriptors();
  {
    runtime rt({.workers = width});
    tcp_listener listener(ip_endpoint::loopback());
    wait_group running;
    running.add(101);
    rt.go(
        [&running](tcp_listener& from) -> routine<> {
          running.done();
          for (;;) (void)co_await from.accept();
        },
        std::ref(listener));
    for (int i = 0; i < 100; ++i) {
      rt.go(
          [&running](bool reads) -> routine<> {
            auto [from, to] = make_pipe();
            const std::string much(1'000'000, 'x');
            std::array<char, 4> little;
            running.done();
            if (reads) {
              co_await from.read_some(little);
            } else {
              co_await to.write_all(much);
            }
          },
          i % 2 == 0);
    }
    blocking::wait(running.wait());
    rt.stop();
    REQUIRE(rt.stats().live == 0);
  }
  REQUIRE(test::open_descriptors() == before);
}

TEST_CASE("who waits on a descriptor that another runtime watches outlives that runtime", "[io][stop]") {
  auto shared = std::make_unique<pair_of_streams>(unix_stream::pair());
  runtime lasts({.workers = 1});
  join_handle<std::string> answer;
  {
    runtime ends({.workers = 1});
    // It waits first, so its driver watches, until the descriptor is closed.
    auto first = ends.go(
        [](unix_stream& s) -> routine<> {
          std::array<char, 1> byte;
          co_await s.read_exactly(byte);
        },
        std::ref(shared->first));
    blocking::wait(shared->second.write_all("a"));
    first.join();
    answer = lasts.go(
        [](unix_stream& s) -> routine<std::string> {
          std::string out(4, ' ');
          co_await s.read_exactly(out);
          co_return out;
        },
        std::ref(shared->first));
    while (lasts.stats().idle_workers != 1 || lasts.stats().dispatches == 0) blocking::sleep_for(1ms);
  }
  blocking::wait(shared->second.write_all("last"));
  REQUIRE(answer.join() == "last");
}

TEST_CASE("a limit of zero takes what is there, though the last look has found nothing", "[io][cancel]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  runtime rt({.workers = width});
  const auto bytes = rt.go([]() -> routine<std::size_t> {
                         pair_of_streams s = unix_stream::pair();
                         std::array<char, 8> buffer;
                         std::size_t got = 0;
                         for (int i = 0; i < 100; ++i) {
                           bool is_late = false;
                           try {
                             co_await with_timeout(1ms, s.first.read_some(buffer));
                           } catch (const timeout_error&) {
                             is_late = true;
                           }
                           if (!is_late) break;
                           co_await s.second.write_all("1234567");
                           const std::size_t n = co_await with_timeout(0ms, s.first.read_some(buffer));
                           got += n;
                         }
                         co_return got;
                       }).join();
  REQUIRE(bytes == 700);
}

TEST_CASE("bytes that are there beat a limit that has passed on a thread, too", "[io][cancel]") {
  pair_of_streams s = unix_stream::pair();
  std::array<char, 8> buffer;
  std::size_t bytes = 0;
  for (int i = 0; i < 200; ++i) {
    REQUIRE_THROWS_AS(blocking::with_timeout(100us, s.first.read_some(buffer)), timeout_error);
    blocking::wait(s.second.write_all("1234567"));
    bytes += blocking::with_timeout(0ms, s.first.read_some(buffer));
  }
  REQUIRE(bytes == 1'400);
}
