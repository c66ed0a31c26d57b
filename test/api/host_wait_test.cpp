// The host of a manual runtime waits in a facade call: whoever ends that wait wakes it.

#include <weft/blocking.hpp>
#include <weft/weft.hpp>

#include <thread>

#include "support/catch.hpp"

TEST_CASE("a thread that sends wakes the host that waits for it", "[api][embed][facade]") {
  weft::runtime rt({.workers = weft::manual});
  const weft::blocking::channel<int> numbers, answers;
  std::thread sends([&] {
    for (int i = 0; i < 1'000; ++i) {
      numbers.send(i);
      (void)answers.recv();
    }
  });
  int came = 0;
  for (int i = 0; i < 1'000; ++i) {
    if (numbers.recv() == i) ++came;
    answers.send(i);
  }
  sends.join();
  REQUIRE(came == 1'000);
}
