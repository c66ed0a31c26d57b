// expect: no member named .*recv
// The ends of a channel keep the rules of Go's test/chan/perm.go (but either end may close it).

#include <weft/weft.hpp>

weft::routine<> f(weft::channel_sender<int> tx, weft::channel_receiver<int> rx) {
#ifdef WEFT_SAFE
  (void)tx;
  (void)co_await rx.recv();
#else
  (void)rx;
  (void)co_await tx.recv();
#endif
}
