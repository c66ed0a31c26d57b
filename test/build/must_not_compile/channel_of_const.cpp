// expect: weft: a channel's element is an object and not const
// What is received is moved out.

#include <weft/channel.hpp>

int main() {
#ifdef WEFT_SAFE
  weft::channel<int> ch(1);
#else
  weft::channel<const int> ch(1);
#endif
  return ch.is_closed() ? 1 : 0;
}
