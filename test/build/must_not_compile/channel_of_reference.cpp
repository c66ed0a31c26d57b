// expect: weft: a channel's element is an object and not const
// A channel owns what is in it.

#include <weft/channel.hpp>

int main() {
#ifdef WEFT_SAFE
  weft::channel<int*> ch(1);
#else
  weft::channel<int&> ch(1);
#endif
  return ch.is_closed() ? 1 : 0;
}
