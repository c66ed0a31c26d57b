// expect: weft: a channel's element must be nothrow-move-constructible
#include <weft/channel.hpp>

#include <memory>

struct may_throw {
  may_throw(may_throw&&) noexcept(false);
};

#ifdef WEFT_SAFE
weft::channel<std::unique_ptr<may_throw>> ch;
#else
weft::channel<may_throw> ch;
#endif
