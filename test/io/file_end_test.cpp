// file: what close, cancellation and the stop of the runtime leave of what is under way.

#include <weft/blocking.hpp>
#include <weft/io/file.hpp>
#include <weft/io/pipe.hpp>
#include <weft/io/read_file.hpp>

#include <array>
#include <cerrno>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file_support.hpp"
#include "io/support.hpp"
#include "support/catch.hpp"

using namespace weft;
using namespace std::chrono_literals;
using test::error_in;
using test::error_of;
using test::poison;
using test::scratch;

namespace {

constexpr open_flags read_write = open_flags::read | open_flags::write;
constexpr open_flags fresh = read_write | open_flags::create | open_flags::exclusive;

/// Takes a thread of the pool, without a word to weft.
routine<> block_until(event& is_busy, std::future<void>& may_end) {
  const auto wait_there = [&] {
    is_busy.set();
    may_end.wait();
  };
  co_await block_on_io(wait_there);
}

/// Or anything else that has this number by then.
bool is_a_pipe(int fd) {
  struct stat found {};

  return ::fstat(fd, &found) == 0 && S_ISFIFO(found.st_mode);
}

}  // namespace

TEST_CASE("close waits for nobody: what is under way ends, and on no other file", "[io][file][close]") {
  const unsigned width = GENERATE(2U, 8U);
  const scratch here;
  const std::size_t before = test::open_descriptors();
  {
    runtime rt({.workers = width});
    const auto round = [](std::string path, int which) -> routine<bool> {
      file f = co_await file::open(path + std::to_string(which), read_write | open_flags::create);
      const std::string mine(100'000, 'm');
      auto writing = go(error_of([](file& to, const std::string& what) -> routine<> {
        for (;;) co_await to.write_at(0, what);
      }(f, mine)));
      co_await yield();
      co_await f.close();
      file fresh_one = co_await file::open(path + "other" + std::to_string(which), fresh);
      const int error = co_await std::move(writing);
      const std::uint64_t size = co_await fresh_one.size();
      co_return error == EBADF&& size == 0;
    };
    std::vector<join_handle<bool>> all;
    for (int i = 0; i < 50; ++i) all.push_back(rt.go(round, here / "f", i));
    for (auto& each : all) REQUIRE(each.join());
  }
  REQUIRE(test::open_descriptors() == before);
}

TEST_CASE("the number of a file that was closed goes back when the last call on it has ended",
          "[io][file][close]") {
  runtime rt({.workers = 1});
  const auto [during, after] =
      rt.go([]() -> routine<std::pair<bool, bool>> {
          std::array<int, 2> ends{};
          if (::pipe2(ends.data(), O_CLOEXEC) != 0) co_return std::pair{false, true};
          const std::string all(static_cast<std::size_t>(::fcntl(ends[1], F_GETPIPE_SZ)) + 1, 'x');
          file to = file::adopt(ends[1]);
          auto writing = go([&]() -> routine<> { co_await to.append(all); });
          co_await yield();  // at the pool, where there is no room for the last byte
          co_await to.close();
          const bool is_open = is_a_pipe(ends[1]);
          std::string got(all.size(), ' ');
          pipe_end from = pipe_end::adopt(ends[0]);
          co_await from.read_exactly(got);
          co_await std::move(writing);
          co_return std::pair{is_open, is_a_pipe(ends[1])};
        }).join();
  REQUIRE(during);
  REQUIRE_FALSE(after);
}

TEST_CASE("a close() that waits for the pool closes its own file, whatever becomes of the object",
          "[io][file][close]") {
  runtime rt({.workers = 1, .max_blocking_threads = 1});
  const std::size_t before = test::open_descriptors();

  struct outcome {
    int refused = 0;
    bool is_kept = false, is_other_open = false;
  };

  const outcome seen = rt.go([]() -> routine<outcome> {
                           outcome o;
                           event busy;
                           std::promise<void> go_on;
                           std::future<void> may_end = go_on.get_future();
                           auto blocker = go(block_until, std::ref(busy), std::ref(may_end));
                           co_await busy.wait();
                           file f = file::adopt(::open("/dev/null", O_RDONLY | O_CLOEXEC));
                           const int number = f.native_handle();
                           auto closing = go([](file& x) -> routine<> { co_await x.close(); }, std::ref(f));
                           co_await yield();  // in the pool's queue
                           o.refused = error_in([&] { (void)f.release(); });
                           f = file();
                           o.is_kept = ::fcntl(number, F_GETFD) >= 0;
                           file other = file::adopt(::open("/dev/null", O_RDONLY | O_CLOEXEC));
                           go_on.set_value();
                           co_await std::move(closing);
                           co_await std::move(blocker);
                           o.is_other_open = ::fcntl(other.native_handle(), F_GETFD) >= 0;
                           co_return o;
                         }).join();
  REQUIRE(seen.refused == EBUSY);
  REQUIRE(seen.is_kept);
  REQUIRE(seen.is_other_open);
  REQUIRE(test::open_descriptors() == before);
}

TEST_CASE("an operation that was cancelled in the pool's queue has not begun, one that had begun ends",
          "[io][file][cancel]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  const scratch here;
  runtime rt({.workers = width, .max_blocking_threads = 1});
  const std::string path = here / "f";

  struct outcome {
    std::array<bool, 2> cancelled{};
    std::string text;
    bool left_alone = true;
  };

  const outcome seen = rt.go([&]() -> routine<outcome> {
                           outcome o;
                           event busy;
                           std::promise<void> go_on;
                           std::future<void> may_end = go_on.get_future();
                           // The pool's only thread is taken.
                           auto blocker = go(block_until, std::ref(busy), std::ref(may_end));
                           co_await busy.wait();
                           file f;
                           std::array<char, 4> buffer;
                           buffer.fill(poison);
                           auto opening =
                               go([&f, &path]() -> routine<> { f = co_await file::open(path, fresh); });
                           auto writing = go([&path]() -> routine<> { co_await write_file(path, "x"); });
                           for (int i = 0; i < 10; ++i) co_await yield();
                           opening.cancel();
                           writing.cancel();
                           try {
                             co_await std::move(opening);
                           } catch (const routine_cancelled&) {
                             o.cancelled[0] = true;
                           }
                           try {
                             co_await std::move(writing);
                           } catch (const routine_cancelled&) {
                             o.cancelled[1] = true;
                           }
                           go_on.set_value();
                           co_await std::move(blocker);
                           o.left_alone = !f.is_open();
                           co_return o;
                         }).join();
  REQUIRE(seen.cancelled == std::array{true, true});
  REQUIRE(seen.left_alone);
  REQUIRE(here.entries() == 0);
}

TEST_CASE("nobody touches the buffer of a read that has ended, cancelled or not", "[io][file][cancel]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  const scratch here;
  runtime rt({.workers = width});
  const std::string text = test::text(0, 600'000);  // longer than what is read at once
  blocking::wait(write_file(here / "f", text));
  const auto read = [](file& f, std::string& to, bool& ended) -> routine<> {
    const std::size_t n = co_await f.read_at(0, to);
    ended = n == to.size();
  };
  const auto party = [&](int seed) -> routine<bool> {
    file f = co_await file::open(here / "f");
    for (int i = 0; i < 20; ++i) {
      std::string buffer(600'000, poison);
      bool ended = false;
      auto reading = go(read, std::ref(f), std::ref(buffer), std::ref(ended));
      for (int j = 0; j < (i + seed) % 4; ++j) co_await yield();
      reading.cancel();
      try {
        co_await std::move(reading);
      } catch (const routine_cancelled&) {
      }
      if (buffer != (ended ? text : std::string(600'000, poison))) co_return false;
      std::fill(buffer.begin(), buffer.end(), poison);
      co_await yield();
      if (buffer != std::string(600'000, poison)) co_return false;
    }
    co_return true;
  };
  std::vector<join_handle<bool>> all;
  for (int i = 0; i < 4; ++i) all.push_back(rt.go(party, i));
  for (auto& each : all) REQUIRE(each.join());
}

TEST_CASE("stop() waits for the calls that have begun, and leaves no descriptor", "[io][file][stop]") {
  const scratch here;
  const std::size_t before = test::open_descriptors();
  {
    runtime rt({.workers = 2});
    for (int i = 0; i < 20; ++i) {
      rt.go(
          [](std::string path) -> routine<> {
            file f = co_await file::open(path, fresh);
            const std::string much(1'000'000, 'x');
            for (;;) co_await f.write_at(0, much);
          },
          here / std::to_string(i));
    }
    while (here.entries() < 4) blocking::sleep_for(1ms);
    rt.stop();
    REQUIRE(rt.stats().live == 0);
  }
  REQUIRE(test::open_descriptors() == before);
}
