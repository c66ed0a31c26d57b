// expect: (no matching function|conversion from|could not convert|no viable conversion)
// The ends of a channel keep the rules of Go's test/chan/perm.go (but either end may close it).

#include <weft/weft.hpp>

void f(weft::channel<int> both, weft::channel_receiver<int> rx) {
#ifdef WEFT_SAFE
  (void)rx;
  weft::channel_sender<int> tx = both;
#else
  (void)both;
  weft::channel_sender<int> tx = rx;
#endif
  (void)tx.try_send(1);
}
