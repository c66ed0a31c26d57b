// The blocks of an unbounded channel: taken, emptied, kept for the next, given back.

#include <weft/weft.hpp>

#include <deque>
#include <memory>

#include "support/catch.hpp"

namespace {

/// Sends and receives as told, and compares with a deque.
class watched {
 public:
  bool send(int n) {
    for (; n > 0; --n) {
      if (values_.try_send(std::make_unique<int>(next_)) != weft::try_send_status::sent) return false;
      expected_.push_back(next_++);
    }
    return values_.size() == expected_.size();
  }

  bool receive(int n) {
    for (; n > 0; --n) {
      const auto got = values_.try_recv();
      if (!got || **got != expected_.front()) return false;
      expected_.pop_front();
    }
    return values_.size() == expected_.size();
  }

 private:
  weft::channel<std::unique_ptr<int>> values_ = weft::channel<std::unique_ptr<int>>::unbounded();
  std::deque<int> expected_;
  int next_ = 0;
};

}  // namespace

TEST_CASE("an unbounded channel keeps order however far it is filled and drained", "[api][channel]") {
  for (int fill = 1; fill < 300; fill += 7) {
    watched ch;
    for (int left = 0; left < 4; ++left) {  // so many stay when it is filled again
      REQUIRE(ch.send(fill));
      REQUIRE(ch.receive(fill - 1));
    }
    REQUIRE(ch.receive(4));
  }
  // A multiple of any block: drained exactly at its end, and filled anew.
  watched even;
  for (int fill = 64; fill <= 512; fill *= 2) {
    REQUIRE(even.send(fill));
    REQUIRE(even.receive(fill));
    REQUIRE(even.send(2 * fill));
    REQUIRE(even.receive(fill));
    REQUIRE(even.send(2 * fill));
    REQUIRE(even.receive(3 * fill));
  }
}
