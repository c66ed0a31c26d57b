// expect: weft: scope\(body\): body is a coroutine that takes task_scope&
#include <weft/scope.hpp>

weft::routine<> opens() {
#ifdef WEFT_SAFE
  auto body = [](weft::task_scope&) -> weft::routine<> { co_return; };
#else
  auto body = [](weft::task_scope&) {};
#endif
  co_await weft::scope(body);
}
