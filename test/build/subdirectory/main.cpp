#include <weft/weft.hpp>

using namespace weft::blocking;

int main() {
  channel<int> jobs(16), squares(16);
  auto worker = go([=]() mutable {
    for (int n : jobs) squares.send(n * n);
    squares.close();
  });
  auto feeder = go([=]() mutable {
    for (int i = 1; i <= 10; ++i) jobs.send(i);
    jobs.close();
  });
  int sum = 0;
  for (int s : squares) sum += s;
  feeder.join();
  worker.join();
  return sum == 385 ? 0 : 1;
}
