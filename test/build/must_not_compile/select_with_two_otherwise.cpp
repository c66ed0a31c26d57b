// expect: weft: a select has one otherwise
#include <weft/blocking.hpp>

std::size_t choose(weft::channel<int>& ch) {
#ifdef WEFT_SAFE
  return weft::blocking::select(weft::on_recv(ch), weft::otherwise([] {}));
#else
  return weft::blocking::select(weft::on_recv(ch), weft::otherwise([] {}), weft::otherwise());
#endif
}
