#pragma once

// What the tests are built with: 0 or 1, and as constants.

#if defined(__has_feature)
#define WEFT_TEST_ASAN __has_feature(address_sanitizer)
#define WEFT_TEST_TSAN __has_feature(thread_sanitizer)
#else
#ifdef __SANITIZE_ADDRESS__
#define WEFT_TEST_ASAN 1
#else
#define WEFT_TEST_ASAN 0
#endif
#ifdef __SANITIZE_THREAD__
#define WEFT_TEST_TSAN 1
#else
#define WEFT_TEST_TSAN 0
#endif
#endif

namespace weft::test {

inline constexpr bool under_asan = WEFT_TEST_ASAN != 0;
inline constexpr bool under_tsan = WEFT_TEST_TSAN != 0;
inline constexpr bool sanitized = under_asan || under_tsan;

/// `full`, or a part of it under a sanitizer.
constexpr int unless_sanitized(int full, int otherwise) {
  return sanitized ? otherwise : full;
}

}  // namespace weft::test
