// expect: weft: what is awaited may not be over-aligned
#include <weft/channel.hpp>
#include <weft/routine.hpp>

#include <memory>

struct alignas(32) wide {
  float lanes[8];
};

#ifdef WEFT_SAFE
weft::routine<> take(weft::channel<std::unique_ptr<wide>> ch) {
  co_await ch.recv();
}
#else
weft::routine<> take(weft::channel<wide> ch) {
  co_await ch.recv();
}
#endif
