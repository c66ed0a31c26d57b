// expect: no matching function for call to .*on_recv
// The ends of a channel keep the rules of Go's test/chan/perm.go (but either end may close it).

#include <weft/weft.hpp>

weft::routine<> f(weft::channel_sender<int> tx, weft::channel_receiver<int> rx) {
#ifdef WEFT_SAFE
  (void)tx;
  co_await weft::select(weft::on_recv(rx));
#else
  (void)rx;
  co_await weft::select(weft::on_recv(tx));
#endif
}
