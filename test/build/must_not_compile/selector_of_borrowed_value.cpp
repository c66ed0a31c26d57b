// expect: weft: a selector keeps its cases
#include <weft/select.hpp>

void wait_for(weft::channel<int>& ch, weft::selector& s) {
  const int value = 3;
#ifdef WEFT_SAFE
  s.add(weft::on_send(ch, value));
#else
  s.add(weft::on_send(ch, 3 + value));
#endif
}
