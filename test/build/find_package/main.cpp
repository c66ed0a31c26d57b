#include <weft/weft.hpp>

weft::routine<long> sum(weft::channel<int> in) {
  long total = 0;
  while (auto v = co_await in.recv()) total += *v;
  co_return total;
}

int main() {
  weft::channel<int> ch;
  auto total = weft::go(sum, ch);
  weft::go([ch]() mutable -> weft::routine<> {
    for (int i = 0; i < 1000; ++i) co_await ch.send(i);
    ch.close();
  });
  return total.join() == 499500 ? 0 : 1;
}
