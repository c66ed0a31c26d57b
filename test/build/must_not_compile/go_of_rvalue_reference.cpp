// expect: weft: what go\(f, args...\) calls returns no rvalue reference
#include <weft/go.hpp>

struct text {
  int size;
};

struct page {
#ifdef WEFT_SAFE
  text title() &&;
#else
  text&& title() &&;
#endif
  const text& first() const&;
};

int title_of(const page& p) {
  auto first = weft::go(&page::first, &p);
  return weft::go(&page::title, page()).join().size + first.join().size;
}
