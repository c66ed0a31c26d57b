// pipeline: stages that run at the same time, each handing its values to the next over a channel.
//
// numbers -> squares -> odd ones -> printed.  Every stage owns the sending end of its output.  When a stage
// ends, its frame goes and the end with it: the channel closes, and the next stage reads what is left and
// ends in turn.  Nobody counts anything.

#include <weft/weft.hpp>

#include <utility>

#include <fmt/core.h>

weft::routine<> count(int last, weft::channel_sender<int> out) {
  for (int i = 1; i <= last; ++i) co_await out.send(i);
}

weft::routine<> square(weft::channel_receiver<int> in, weft::channel_sender<int> out) {
  while (auto n = co_await in.recv()) co_await out.send(*n * *n);
}

weft::routine<> keep_odd(weft::channel_receiver<int> in, weft::channel_sender<int> out) {
  while (auto n = co_await in.recv()) {
    if (*n % 2 != 0) co_await out.send(*n);
  }
}

// A scope ends when all that was started in it has ended; if one of them throws, the others are cancelled.
weft::routine<int> run(int last) {
  co_return co_await weft::scope([&](weft::task_scope& s) -> weft::routine<int> {
    auto [numbers_out, numbers_in] = weft::make_channel<int>(4);  // a fast stage runs at most 4 values ahead
    auto [squares_out, squares_in] = weft::make_channel<int>(4);
    auto [odd_out, odd_in] = weft::make_channel<int>();  // rendezvous: not at all
    s.go(count, last, std::move(numbers_out));
    s.go(square, std::move(numbers_in), std::move(squares_out));
    s.go(keep_odd, std::move(squares_in), std::move(odd_out));

    int sum = 0;
    while (auto n = co_await odd_in.recv()) {
      fmt::print("{} ", *n);
      sum += *n;
    }
    co_return sum;
  });
}

int main() {
  const int sum = weft::go(run, 10).join();
  fmt::print("sum {}\n", sum);
}
