// Signals that interrupt system calls change nothing.

#include "support/signal_storm.hpp"

#include <weft/weft.hpp>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include <unistd.h>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using weft::test::signal_storm;

namespace {

/// All that a thread of the program may wait for; how much of it went wrong.
int errors_here(weft::runtime& rt) {
  int wrong = 0;
  weft::blocking::channel<int> to, from(1);
  auto echo = rt.go([=] {
    for (const int v : to) from.send(v + 1);
  });
  for (int i = 0; i < 200; ++i) {
    to.send(i);
    wrong += *from.recv() != i + 1;
  }
  const auto before = weft::now();
  wrong += from.recv_for(20ms).status != weft::recv_status::empty;
  wrong += weft::blocking::select(weft::on_recv(from), weft::on_timeout(20ms)) != 1;
  weft::event never;
  try {
    weft::blocking::with_timeout(20ms, never.wait());
    ++wrong;
  } catch (const weft::timeout_error&) {
  }
  wrong += weft::now() - before < 60ms;
  to.close();
  echo.join();
  // Of weft's own threads none is interrupted: neither calls on the pool nor in plain callables.
  int ends[2];
  if (::pipe(ends) != 0) return wrong + 1;
  auto reads = rt.go([&]() -> weft::routine<int> {
    char byte = 0;
    auto call = [&] { return ::read(ends[0], &byte, 1) == 1 ? 0 : errno; };
    co_return co_await weft::block_on_io(call);
  });
  auto plain = rt.go([&] {
    char byte = 0;
    return weft::blocking::block_on_io([&] { return ::read(ends[0], &byte, 1) == 1 ? 0 : errno; });
  });
  const long seen = signal_storm::taken();
  while (signal_storm::taken() < seen + 20) wrong += from.recv_for(1ms).status != weft::recv_status::empty;
  wrong += ::write(ends[1], "xx", 2) != 2;
  wrong += reads.join() != 0;
  wrong += plain.join() != 0;
  ::close(ends[0]);
  ::close(ends[1]);
  return wrong;
}

}  // namespace

TEST_CASE("signals that interrupt every system call change nothing", "[api][signal]") {
  const signal_storm s(100'000);
  weft::runtime rt({.workers = 2});
  REQUIRE(errors_here(rt) == 0);
  std::vector<std::thread> others;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 3; ++i) others.emplace_back([&] { wrong += errors_here(rt); });
  for (auto& t : others) t.join();
  rt.stop();
  REQUIRE(wrong == 0);
  REQUIRE(signal_storm::taken() > 100);
}
