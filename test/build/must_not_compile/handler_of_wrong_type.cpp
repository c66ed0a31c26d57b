// expect: weft: a select handler takes the operation's result, or nothing
#include <weft/blocking.hpp>

#include <string>

void waits(weft::channel<int> ch) {
#ifdef WEFT_SAFE
  weft::blocking::select(weft::on_recv(ch, [](std::optional<int>) {}));
#else
  weft::blocking::select(weft::on_recv(ch, [](std::string) {}));
#endif
}
