// expect: weft: block_on_io calls a plain function
#include <weft/block_on_io.hpp>
#include <weft/routine.hpp>

#ifdef WEFT_SAFE
int three() {
  return 3;
}
#else
weft::routine<int> three() {
  co_return 3;
}
#endif

weft::routine<> asks() {
  auto op = weft::block_on_io(three);
  (void)co_await op;
}
