// expect: weft: blocking::scope\(body\): body is a plain function
#include <weft/blocking.hpp>

void runs() {
  auto body = [](weft::task_scope& s) -> weft::routine<> {
    s.go([] {});
    co_return;
  };
#ifdef WEFT_SAFE
  weft::blocking::wait(weft::scope(body));
#else
  weft::blocking::scope(body);
#endif
}
