#pragma once

#include <weft/weft.hpp>

namespace weft::test {

/// Two children, of which the first waits for the second.
inline routine<> waits_for_its_sibling() {
  event e;
  const auto waits = [](event* of) -> routine<> { co_await of->wait(); };
  const auto sets = [](event* of) -> routine<> {
    of->set();
    co_return;
  };
  co_await all(waits(&e), sets(&e));
}

}  // namespace weft::test
