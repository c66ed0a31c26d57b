// expect: weft: block_on_io gives values: return a pointer instead
#include <weft/block_on_io.hpp>
#include <weft/routine.hpp>

int here = 0;

#ifdef WEFT_SAFE
int* result() {
  return &here;
}
#else
int& result() {
  return here;
}
#endif

weft::routine<> asks() {
  auto op = weft::block_on_io(result);
  (void)co_await op;
}
