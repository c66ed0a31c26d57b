// expect: weft: a selector keeps its cases: add\(std::move\(c\)\)
#include <weft/select.hpp>

#include <utility>

void wait_for(weft::channel<int>& ch, weft::selector& s) {
  auto c = weft::on_recv(ch);
#ifdef WEFT_SAFE
  s.add(std::move(c));
#else
  s.add(c);
#endif
}
