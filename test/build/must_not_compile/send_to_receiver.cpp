// expect: no member named .*send
// The ends of a channel keep the rules of Go's test/chan/perm.go (but either end may close it).

#include <weft/weft.hpp>

weft::routine<> f(weft::channel_sender<int> tx, weft::channel_receiver<int> rx) {
#ifdef WEFT_SAFE
  (void)rx;
  co_await tx.send(1);
#else
  (void)tx;
  co_await rx.send(1);
#endif
}
