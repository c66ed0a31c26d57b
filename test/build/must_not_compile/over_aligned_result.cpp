// expect: weft: a routine's result may not be over-aligned
#include <weft/routine.hpp>

struct alignas(32) wide {
  float lanes[8];
};

#ifdef WEFT_SAFE
weft::routine<wide*> make(wide* out) {
  *out = {};
  co_return out;
}
#else
weft::routine<wide> make(wide*) {
  co_return wide{};
}
#endif
