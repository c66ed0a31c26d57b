// expect: (no matching function|conversion from|could not convert|no viable conversion)
// The ends of a channel keep the rules of Go's test/chan/perm.go (but either end may close it).

#include <weft/weft.hpp>

void f(weft::channel<int> both, weft::channel_sender<int> tx) {
#ifdef WEFT_SAFE
  (void)tx;
  weft::channel<int> again = both;
#else
  (void)both;
  weft::channel<int> again = tx;
#endif
  (void)again.try_send(1);
}
