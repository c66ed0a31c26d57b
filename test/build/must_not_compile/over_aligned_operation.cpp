// expect: weft: what is awaited may not be over-aligned
#include <weft/block_on_io.hpp>
#include <weft/routine.hpp>

struct alignas(32) wide {
  float lanes[8] = {};
};

float sum(const wide* w) {
  float s = 0;
  for (float f : w->lanes) s += f;
  return s;
}

weft::routine<float> asks(const wide* w) {
#ifdef WEFT_SAFE
  co_return co_await weft::block_on_io(sum, w);
#else
  auto op = weft::block_on_io([](wide copy) { return sum(&copy); }, *w);  // a local, in the frame
  co_return co_await op;
#endif
}
