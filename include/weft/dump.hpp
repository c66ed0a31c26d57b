#pragma once

// dump: what every live routine of a runtime is doing, as plain text.
//
//   routine 17 'crawler': waits in recv on channel 0x7f5b3c000b70
//       at fetch.cpp:33 in weft::routine<page> fetch(url)
//       at crawl.cpp:60 in weft::routine<> crawl(url)
//       started at main.cpp:12 in int main()
//
// In release builds too: an await stores one pointer, nothing else is paid before a dump is asked for.
// Routines that wait are held for the few microseconds that reading them takes; the others go on.

#include <weft/runtime.hpp>

#include <concepts>
#include <string_view>
#include <type_traits>

namespace weft {

namespace detail {
WEFT_API void dump(const runtime& rt, void (*write)(void* to, std::string_view text), void* to);
}

/// Gives the text to `write(std::string_view)` piece by piece, in the calling thread.  `write` must not
/// start, await or end routines.  \throws std::bad_alloc, what `write` throws.
template <std::invocable<std::string_view> Write>
void dump(const runtime& rt, Write&& write) {
  using function = std::remove_reference_t<Write>;
  detail::dump(
      rt, [](void* to, std::string_view text) { (*static_cast<function*>(to))(text); },
      const_cast<void*>(static_cast<const void*>(__builtin_addressof(write))));
}

}  // namespace weft
