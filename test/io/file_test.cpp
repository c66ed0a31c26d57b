// file: reading and writing at places, many at once, what the system refuses.

#include <weft/blocking.hpp>
#include <weft/io/directory.hpp>
#include <weft/io/file.hpp>
#include <weft/io/read_file.hpp>
#include <weft/sim.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
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

file open_here(const std::string& path, open_flags how = open_flags::read) {
  return blocking::wait(file::open(path, how));
}

}  // namespace

TEST_CASE("what is written at a place is read there, and the end is 0", "[io][file]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  const scratch here;
  runtime rt({.workers = width});
  const auto [counts, text] =
      rt.go(
            [](std::string path) -> routine<std::pair<std::array<std::size_t, 6>, std::string>> {
              file f = co_await file::open(path, fresh);
              std::array<std::size_t, 6> n{};
              std::array<char, 8> piece;
              n[0] = co_await f.read_at(0, piece);
              n[1] = co_await f.write_at(3, "defgh");
              n[2] = co_await f.write_at(0, "abc");
              n[3] = co_await f.read_at(6, piece);
              n[4] = co_await f.read_at(8, piece);
              n[5] = co_await f.size();
              std::string all(8, ' ');
              co_await f.read_at(0, all);
              co_await f.sync();
              co_await f.sync(true);
              co_await f.close();
              co_return std::pair{n, all};
            },
            here / "f")
          .join();
  REQUIRE(counts == std::array<std::size_t, 6>{0, 5, 3, 2, 0, 8});
  REQUIRE(text == "abcdefgh");
}

TEST_CASE("many routines read and write one file at the same time", "[io][file]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  const scratch here;
  runtime rt({.workers = width});
  constexpr std::size_t block = 1000;
  const auto own_block = [](file& f, std::size_t which) -> routine<bool> {
    const std::string mine = test::text(which * block, block);
    for (int round = 0; round < 10; ++round) {
      std::string back(block, poison);
      co_await f.write_at(which * block, mine);
      const std::size_t n = co_await f.read_at(which * block, back);
      if (n != block || back != mine) co_return false;
    }
    co_return true;
  };
  file f = open_here(here / "f", fresh);
  std::vector<join_handle<bool>> all;
  for (std::size_t i = 0; i < 64; ++i) all.push_back(rt.go(own_block, std::ref(f), i));
  for (auto& each : all) REQUIRE(each.join());
  std::string whole(64 * block, ' ');
  REQUIRE(blocking::wait(f.read_at(0, whole)) == whole.size());
  REQUIRE(whole == test::text(0, whole.size()));
}

TEST_CASE("appended lines of many routines are all there, and whole", "[io][file]") {
  const bool by_flag = GENERATE(true, false);
  const scratch here;
  runtime rt({.workers = 2});
  file f = open_here(here / "log", by_flag ? open_flags::append | open_flags::create : fresh);
  const auto log = [](file& to, char who) -> routine<> {
    const std::string line(9, who);
    for (int i = 0; i < 50; ++i) co_await to.append(line);
  };
  std::vector<join_handle<void>> all;
  for (char c = 'a'; c < 'i'; ++c) all.push_back(rt.go(log, std::ref(f), c));
  for (auto& each : all) each.join();
  const std::string text(blocking::wait(read_file(here / "log")));
  REQUIRE(text.size() == 8 * 50 * 9);
  for (std::size_t i = 0; i < text.size(); i += 9) REQUIRE(text.substr(i, 9) == std::string(9, text[i]));
  for (char c = 'a'; c < 'i'; ++c) REQUIRE(std::count(text.begin(), text.end(), c) == 450);
}

TEST_CASE("several buffers are read and written in one operation, however many", "[io][file]") {
  const scratch here;
  runtime rt({.workers = 1});
  const bool is_same = rt.go(
                             [](std::string path) -> routine<bool> {
                               file f = co_await file::open(path, fresh);
                               std::vector<std::string> out, in;
                               std::vector<const_buffer> from;
                               std::vector<mutable_buffer> to;
                               for (std::size_t i = 0; i < 200; ++i) {
                                 out.push_back(test::text(i * 7, i % 5 * 100));
                                 in.emplace_back(out.back().size(), poison);
                               }
                               for (const std::string& each : out) from.emplace_back(each);
                               for (std::string& each : in) to.emplace_back(each);
                               const std::size_t written = co_await f.write_at(5, from);
                               const std::size_t read = co_await f.read_at(5, to);
                               co_return written == 40'000 && read == written&& in == out;
                             },
                             here / "f")
                           .join();
  REQUIRE(is_same);
}

TEST_CASE("a file may have holes, and places beyond 4 GiB", "[io][file]") {
  const scratch here;
  runtime rt({.workers = 1});
  constexpr std::uint64_t far = 5'000'000'000;
  const auto [text, about] = rt.go(
                                   [](std::string path) -> routine<std::pair<std::string, file_metadata>> {
                                     file f = co_await file::open(path, fresh);
                                     co_await f.write_at(far, "far away");
                                     std::string back(100, ' ');
                                     const std::size_t n = co_await f.read_at(far - 1, back);
                                     back.resize(n);
                                     co_return std::pair{back, co_await f.metadata()};
                                   },
                                   here / "f")
                                 .join();
  REQUIRE(text == std::string("\0far away", 9));
  REQUIRE(about.size == far + 8);
  REQUIRE(about.allocated < 1'000'000);
  file f = open_here(here / "f", read_write);
  std::array<char, 1> byte{};
  for (const std::uint64_t beyond : {std::uint64_t{1} << 63, UINT64_MAX - 5, UINT64_MAX}) {
    const std::array<mutable_buffer, 1> to{mutable_buffer(byte)};
    REQUIRE(error_in([&] { blocking::wait(f.read_at(beyond, byte)); }) == EINVAL);
    REQUIRE(error_in([&] { blocking::wait(f.read_at(beyond, to)); }) == EINVAL);
    REQUIRE(error_in([&] { blocking::wait(f.write_at(beyond, byte)); }) == EINVAL);
  }
}

TEST_CASE("a read that is longer than what is done at once is whole, too", "[io][file]") {
  const std::size_t size = GENERATE(4'096U, 262'144U, 262'145U, 3'000'001U);
  const scratch here;
  runtime rt({.workers = 1});
  const std::string text = test::text(0, size);
  blocking::wait(write_file(here / "f", text));
  const std::string back = rt.go(
                                 [](std::string path, std::size_t n) -> routine<std::string> {
                                   file f = co_await file::open(path);
                                   std::string all(n + 10, ' ');
                                   all.resize(co_await f.read_at(0, all));
                                   co_return all;
                                 },
                                 here / "f", size)
                               .join();
  REQUIRE(back == text);
}

TEST_CASE("truncate cuts off, and lengthens by zeros", "[io][file]") {
  const scratch here;
  file f = open_here(here / "f", fresh);
  blocking::wait(f.write_at(0, "abcdef"));
  blocking::wait(f.truncate(2));
  REQUIRE(blocking::wait(f.size()) == 2);
  blocking::wait(f.truncate(4));
  std::string back(9, ' ');
  back.resize(blocking::wait(f.read_at(0, back)));
  REQUIRE(back == std::string("ab\0\0", 4));
  REQUIRE(error_in([&] { blocking::wait(f.truncate(UINT64_MAX)); }) == EINVAL);
}

TEST_CASE("how a file is opened decides what may be done with it", "[io][file]") {
  const scratch here;
  const std::string path = here / "f";
  const auto open_error = [&](open_flags how) { return error_in([&] { open_here(path, how); }); };
  REQUIRE(open_error(open_flags::read) == ENOENT);
  REQUIRE(open_error(open_flags::write) == ENOENT);
  REQUIRE(open_error(fresh) == 0);
  REQUIRE(open_error(fresh) == EEXIST);
  REQUIRE(open_error(open_flags::read | open_flags::truncate) == EINVAL);
  REQUIRE(open_error(read_write | open_flags::exclusive) == EINVAL);
  file reads = open_here(path), writes = open_here(path, open_flags::write);
  std::array<char, 4> buffer{};
  REQUIRE(error_in([&] { blocking::wait(reads.write_at(0, buffer)); }) == EBADF);
  REQUIRE(error_in([&] { blocking::wait(writes.read_at(0, buffer)); }) == EBADF);
  blocking::wait(writes.write_at(0, "old"));
  (void)open_here(path, open_flags::write | open_flags::truncate);
  REQUIRE(blocking::wait(reads.size()) == 0);
  REQUIRE(::symlink(path.c_str(), (here / "link").c_str()) == 0);
  REQUIRE(error_in([&] { open_here(here / "link", open_flags::read | open_flags::no_follow); }) == ELOOP);
}

TEST_CASE("what the system refuses is thrown with its code, and the path", "[io][file]") {
  const scratch here;
  runtime rt({.workers = 2});
  const auto code = [&](auto f) { return rt.go(error_of(f(here.path()))).join(); };
  REQUIRE(code([](std::string d) -> routine<> { co_await file::open(d + "/none"); }) == ENOENT);
  REQUIRE(code([](std::string d) -> routine<> { co_await file::open(d, open_flags::write); }) == EISDIR);
  REQUIRE(code([](std::string d) -> routine<> {
            file f = co_await file::open(d);
            std::array<char, 4> buffer;
            co_await f.read_at(0, buffer);
          }) == EISDIR);
  REQUIRE(code([](std::string) -> routine<> {
            file f = co_await file::open("/dev/full", open_flags::write);
            co_await f.write_at(0, "x");
          }) == ENOSPC);
  REQUIRE(code([](std::string) -> routine<> { co_await write_file("/dev/full", "x"); }) == ENOSPC);
  REQUIRE(code([](std::string d) -> routine<> {
            co_await file::open(d + std::string("/a\0b", 4), open_flags::create | open_flags::write);
          }) == EINVAL);
  REQUIRE(code([](std::string d) -> routine<> { co_await read_file(d + std::string(300, 'n')); }) ==
          ENAMETOOLONG);
  try {
    open_here(here / "none");
    FAIL("opened");
  } catch (const std::system_error& e) {
    REQUIRE(std::string(e.what()) == "weft: open " + (here / "none") + ": No such file or directory");
  }
}

TEST_CASE("what one may not read is refused by EACCES", "[io][file]") {
  if (::geteuid() == 0) return;  // may read everything
  const scratch here;
  blocking::wait(write_file(here / "secret", "x"));
  REQUIRE(::chmod((here / "secret").c_str(), 0) == 0);
  REQUIRE(error_in([&] { open_here(here / "secret"); }) == EACCES);
}

TEST_CASE("a file that is not open, or no longer, fails by EBADF", "[io][file]") {
  const std::size_t before = test::open_descriptors();
  {
    const scratch here;
    file f = open_here(here / "f", fresh), none;
    std::array<char, 4> buffer;
    REQUIRE(error_in([&] { blocking::wait(none.read_at(0, buffer)); }) == EBADF);
    REQUIRE(error_in([&] { blocking::wait(none.close()); }) == EBADF);
    blocking::wait(f.close());
    blocking::wait(f.close());
    REQUIRE_FALSE(f.is_open());
    REQUIRE(error_in([&] { blocking::wait(f.read_at(0, buffer)); }) == EBADF);
    REQUIRE(error_in([&] { blocking::wait(f.sync()); }) == EBADF);
    file again = open_here(here / "f");
    file other = std::move(again);
    REQUIRE(other.is_open());
    const int number = other.release();
    REQUIRE_FALSE(other.is_open());
    file adopted = file::adopt(number);
    REQUIRE(blocking::wait(adopted.size()) == 0);
  }
  REQUIRE(test::open_descriptors() == before);
}

TEST_CASE("a simulated run does not see the real files", "[io][file][sim]") {
  const std::size_t before = test::open_descriptors();
  std::array<int, 2> errors{};
  const sim::result r = sim::run(1, [&]() -> routine<> {
    errors[0] = co_await error_of([]() -> routine<> { co_await file::open("/dev/null"); }());
    errors[1] = co_await error_of([]() -> routine<> {
      file real = file::adopt(::dup(0));
      co_await real.size();
    }());
  });
  INFO(r.report);
  REQUIRE(r.ok);
  REQUIRE(errors == std::array{ENOENT, ENOTSUP});
  REQUIRE(test::open_descriptors() == before);
}
