#include <weft/detail/own_text.hpp>

#include <algorithm>

#include "os/port.hpp"

namespace weft::detail {

own_text::own_text(std::string_view text) : has_zero_(text.find('\0') != std::string_view::npos) {
  if (text.size() >= sizeof short_) {
    os::may_fail();
    long_ = new char[text.size() + 1]();
  }
  std::copy(text.begin(), text.end(), long_ != nullptr ? long_ : short_);
}

own_text::~own_text() {
  delete[] long_;
}

}  // namespace weft::detail
