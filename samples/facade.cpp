// facade: the same runtime in plain code, without a single co_await.
//
// The channels are the channels of the coroutine face, and so are go and select; only the way to wait
// differs: a thread sleeps.  Plain callables run on the workers, and when one waits there, the runtime puts
// another thread in its place: they may block on one another as they like.

#include <weft/blocking.hpp>

#include <chrono>
#include <optional>
#include <string>

#include <fmt/core.h>

using namespace weft::blocking;
using namespace std::chrono_literals;

void take_orders(channel<std::string> orders, channel<std::string> kitchen) {
  for (const std::string& order : orders) kitchen.send(order);  // until the channel is closed and empty
  kitchen.close();
}

int cook(channel<std::string> kitchen, channel<std::string> counter) {
  int cooked = 0;
  while (auto order = kitchen.recv()) {
    sleep_for(1ms);
    counter.send("a plate of " + *order);
    ++cooked;
  }
  counter.close();
  return cooked;
}

int main() {
  channel<std::string> orders(2), kitchen, counter(2);  // two orders may wait; the kitchen is a rendezvous
  auto waiter = go(take_orders, orders, kitchen);
  auto cooking = go(cook, kitchen, counter);
  auto guests = go([orders]() mutable {
    for (const char* dish : {"soup", "fish", "rice"}) orders.send(dish);
    orders.close();
  });

  bool is_open = true;
  while (is_open) {  // whatever comes first: a plate, or the end of patience
    select(on_recv(counter,
                   [&](std::optional<std::string> plate) {
                     is_open = plate.has_value();
                     if (is_open) fmt::print("{}\n", *plate);
                   }),
           on_timeout(10s, [&] {
             fmt::print("nothing for ten seconds\n");
             is_open = false;
           }));
  }

  guests.join();
  waiter.join();
  fmt::print("{} plates\n", cooking.join());
}
