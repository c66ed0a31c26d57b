// expect: weft: std::lock_guard and its kin cannot lock a weft::mutex
#include <weft/blocking.hpp>
#include <weft/sync/mutex.hpp>

#include <mutex>

int add(weft::mutex& m, int& n) {
#ifdef WEFT_SAFE
  const auto hold = weft::blocking::wait(m.scoped());
#else
  const std::scoped_lock<weft::mutex> hold(m);
#endif
  return ++n;
}
