// expect: weft: g\+\+ 12 destroys the captures of a lambda written inside co_await twice: name the lambda
// only: GNU
#include <weft/block_on_io.hpp>
#include <weft/routine.hpp>

#include <string>

weft::routine<std::size_t> size_of(std::string text) {
#ifdef WEFT_SAFE
  auto call = [text] { return text.size(); };
  co_return co_await weft::block_on_io(call);
#else
  co_return co_await weft::block_on_io([text] { return text.size(); });
#endif
}
