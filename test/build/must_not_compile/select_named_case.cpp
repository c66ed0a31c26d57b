// expect: weft: a case is used once: select\(std::move\(c\)\)
#include <weft/select.hpp>

#include <chrono>
#include <utility>

weft::routine<> wait_for(std::chrono::milliseconds d) {
  auto c = weft::on_timeout(d);
#ifdef WEFT_SAFE
  co_await weft::select(std::move(c));
#else
  co_await weft::select(c);
#endif
}
