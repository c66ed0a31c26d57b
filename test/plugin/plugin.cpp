// A plugin that uses weft, linked with a copy of the library as a user's would be.

#include <weft/weft.hpp>

namespace {

weft::routine<int> sum_of(weft::channel<int> in) {
  int sum = 0;
  while (auto v = co_await in.recv()) sum += *v;
  co_return sum;
}

template <typename Go>
int sum_up_to(int n, Go go) {
  const weft::blocking::channel<int> ch;
  auto h = go(sum_of, ch);
  for (int i = 1; i <= n; ++i) ch.send(i);
  ch.close();
  weft::blocking::sleep_for(std::chrono::microseconds(1));  // house: sleeps because it uses a timer
  return h.join();
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int plugin_sum(int n) {
  return sum_up_to(n, [](auto&&... what) { return weft::go(what...); });
}

extern "C" __attribute__((visibility("default"))) int plugin_sum_on_its_own(int n) {
  weft::runtime rt({.workers = 2});
  return sum_up_to(n, [&](auto&&... what) { return rt.go(what...); });
}

extern "C" __attribute__((visibility("default"))) const void* plugin_runtime() {
  return &weft::runtime::global();
}

extern "C" __attribute__((visibility("default"))) bool plugin_is_stopped() {
  return weft::runtime::global().is_stopped();
}

extern "C" __attribute__((visibility("default"))) void plugin_stop() {
  weft::runtime::global().stop();
}

extern "C" __attribute__((visibility("default"))) void plugin_restart() {
  weft::init_global_runtime({.workers = 1});
}
