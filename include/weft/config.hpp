#pragma once

// Version, and the only macros of the public headers.

#if __cplusplus < 202002L
#error "weft needs C++20 (-std=c++20)"
#endif

#define WEFT_VERSION_MAJOR 0
#define WEFT_VERSION_MINOR 1

/// Marks what the library exports.  The library is built with hidden visibility.
#define WEFT_API [[gnu::visibility("default")]]

/// 1 where the compiler destroys twice a callable with captures that is written inside a co_await expression.
/// (g++ 12; later versions are not known to be right, so the bound is the one that was tested.)
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#define WEFT_DESTROYS_TWICE 1
#else
#define WEFT_DESTROYS_TWICE 0
#endif
