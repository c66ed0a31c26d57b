// echo: a server on loopback, under the load of another process.  file_reads: many routines read one file.

#include <weft/blocking.hpp>
#include <weft/error.hpp>
#include <weft/go.hpp>
#include <weft/io/file.hpp>
#include <weft/io/tcp.hpp>
#include <weft/scope.hpp>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <unistd.h>

#include "echo_load.hpp"
#include "harness.hpp"

namespace perf {

namespace {

// --- echo ---

weft::routine<> answer(weft::tcp_stream peer) {
  std::array<char, 4096> buffer;
  while (const std::size_t n = co_await peer.read_some(buffer))
    co_await peer.write_all(weft::const_buffer(buffer.data(), n));
}

weft::routine<> serve(weft::tcp_listener* listener) {
  co_await weft::scope([listener](weft::task_scope& s) -> weft::routine<> {
    for (;;) s.go(answer, co_await listener->accept());
  });
}

result echo(weft::runtime& rt, std::uint64_t n) {
  weft::tcp_listener listener(weft::ip_endpoint::loopback());
  auto server = rt.go(serve, &listener);
  result got = echo_load(listener.local_endpoint().port(), n).wait();
  server.cancel();
  try {
    server.join();
  } catch (const weft::routine_cancelled&) {
  }
  return got;
}

// --- file_reads ---

constexpr std::size_t block = 4096;
constexpr std::uint64_t blocks = 256 * 1024 * 1024 / block;
constexpr std::uint64_t readers = 1'000;

/// In the page cache, of blocks that each begin with their number; has no name any more.
weft::file numbered_blocks() {
  const char* const folder = std::getenv("TMPDIR");
  std::string name = std::string(folder != nullptr ? folder : "/var/tmp") + "/weft-perf-XXXXXX";
  const int fd = ::mkstemp(name.data());
  if (fd < 0) throw std::system_error(errno, std::system_category(), name);
  ::unlink(name.c_str());
  weft::file f = weft::file::adopt(fd);
  constexpr std::uint64_t at_once = 256;
  std::vector<char> piece(at_once * block);
  for (std::uint64_t i = 0; i < blocks; i += at_once) {
    for (std::uint64_t each = 0; each < at_once; ++each)
      *reinterpret_cast<std::uint64_t*>(&piece[each * block]) = i + each;
    weft::blocking::wait(f.write_at(i * block, piece));
  }
  return f;
}

weft::routine<> read_some_blocks(weft::file* f, std::uint64_t seed, std::uint64_t count,
                                 std::uint64_t* right) {
  alignas(std::uint64_t) std::array<char, block> to;
  for (std::uint64_t i = 0; i < count; ++i) {
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    const std::uint64_t number = (seed >> 33) % blocks;
    const std::size_t n = co_await f->read_at(number * block, to);
    *right += n == block && *reinterpret_cast<const std::uint64_t*>(to.data()) == number;
  }
}

weft::routine<result> read_all(weft::file* f, std::uint64_t n) {
  const std::uint64_t each = n < readers ? 1 : n / readers;
  const std::uint64_t routines = n < readers ? n : readers;
  std::vector<std::uint64_t> right(routines);
  const stopwatch clock;
  co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
    for (std::uint64_t i = 0; i < routines; ++i) s.go(read_some_blocks, f, i, each, &right[i]);
    co_return;
  });
  const double seconds = clock.seconds();
  bool is_right = true;
  for (const std::uint64_t r : right) is_right = is_right && r == each;
  co_return result{routines * each, seconds, is_right};
}

result file_reads(weft::runtime& rt, std::uint64_t n) {
  weft::file f = numbered_blocks();
  return rt.go(read_all, &f, n).join();
}

constexpr bench list[] = {
    {.name = "echo", .default_n = 500'000, .default_workers = 1, .run = echo},
    {.name = "file_reads", .default_n = 100'000, .default_workers = 2, .run = file_reads},
};

}  // namespace

std::span<const bench> io_benches() {
  return list;
}

}  // namespace perf
