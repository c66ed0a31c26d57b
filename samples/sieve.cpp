// sieve: the concurrent prime sieve that every Go programmer knows.
//
//   count 2, 3, 4 ... -> drop multiples of 2 -> drop multiples of 3 -> drop multiples of 5 -> ...
//
// Each prime found puts one more filter, a routine of its own, at the end of the chain.  Go's version leaves
// its goroutines behind; here the end is orderly: the last receiver gone makes the send before it fail, that
// filter ends, its receiver goes too, and so on up to the counter.
//
//   sieve [N]   the first N primes, 25 if not said

#include <weft/weft.hpp>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fmt/core.h>

weft::routine<> count(weft::channel_sender<int> out) {
  for (int i = 2;; ++i) {
    const auto status = co_await out.send(i);
    if (status == weft::send_status::closed) co_return;
  }
}

weft::routine<> filter(int prime, weft::channel_receiver<int> in, weft::channel_sender<int> out) {
  while (auto n = co_await in.recv()) {
    if (*n % prime == 0) continue;
    const auto status = co_await out.send(*n);
    if (status == weft::send_status::closed) co_return;
  }
}

weft::routine<> print_primes(int how_many) {
  co_await weft::scope([=](weft::task_scope& s) -> weft::routine<> {
    auto [numbers, last] = weft::make_channel<int>();
    s.go(count, std::move(numbers));
    for (int i = 0; i < how_many; ++i) {
      const auto prime = co_await last.recv();
      fmt::print("{}{}", *prime, i + 1 < how_many ? ' ' : '\n');
      auto [out, in] = weft::make_channel<int>();
      s.go(filter, *prime, std::move(last), std::move(out));
      last = std::move(in);
    }
  });
}

int main(int argc, char** argv) {
  int how_many = 25;
  if (argc > 1) {
    const char* end = argv[1] + std::strlen(argv[1]);
    const auto [stop, error] = std::from_chars(argv[1], end, how_many);
    if (stop != end || error != std::errc() || how_many < 0) {
      fmt::print(stderr, "usage: sieve [N]\n");
      return EXIT_FAILURE;
    }
  }
  weft::go(print_primes, how_many).join();
}
