#pragma once

// A cache line of its own, for what all threads use.  What is read all the time and hardly ever written needs
// that most: a variable of the program that the linker put beside it, and that its routines write, would take
// the line away each time (a routine that starts others which count themselves in a global: 153 -> 136 ns).

namespace weft::base {

template <typename T>
struct alignas(64) own_line : T {
  using T::T;
};

}  // namespace weft::base
