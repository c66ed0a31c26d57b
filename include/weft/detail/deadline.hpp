#pragma once

// Durations and time points of the user's, as steady nanoseconds.  They saturate; a NaN throws before
// anything is queued.

#include <weft/config.hpp>
#include <weft/detail/context.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace weft::detail {

/// The current runtime's steady clock: virtual inside sim::run.
WEFT_API std::int64_t clock_now() noexcept;
[[noreturn]] WEFT_API void throw_not_a_duration();

/// Nanoseconds, rounded up: nobody is woken early.  At least 0; no_deadline for what does not fit.
template <typename Rep, typename Period>
constexpr std::int64_t nanos_of(const std::chrono::duration<Rep, Period>& d) {
  // The nanoseconds of a period of more than 10^9 s overflow std::ratio; `scale` keeps them out of it.
  constexpr bool huge = Period::num > 1'000'000'000;
  using unit = std::ratio_divide<std::ratio<huge ? 1 : Period::num, Period::den>, std::nano>;
  if constexpr (std::chrono::treat_as_floating_point_v<Rep> || huge) {
    // As std::chrono compares, so that what it takes for 100 ms is 100 ms.
    using real = std::conditional_t<std::is_same_v<Rep, long double>, long double, double>;
    constexpr auto scale = static_cast<real>(huge ? Period::num : 1);
    const real ns =
        static_cast<real>(d.count()) * scale * static_cast<real>(unit::num) / static_cast<real>(unit::den);
    if (ns != ns) throw_not_a_duration();
    if (ns >= static_cast<real>(no_deadline)) return no_deadline;
    if (ns <= 0) return 0;
    const auto whole = static_cast<std::int64_t>(ns);
    return static_cast<real>(whole) < ns ? whole + 1 : whole;
  } else {
    if (d.count() <= Rep{0}) return 0;
    __extension__ using wide = unsigned __int128;
    __extension__ using signed_wide = __int128;
    constexpr bool is_wide = std::is_same_v<Rep, wide> || std::is_same_v<Rep, signed_wide>;
    using whole = std::conditional_t<is_wide, wide, std::uintmax_t>;
    const auto count = static_cast<wide>(static_cast<whole>(d.count()));
    // More is too long for sure; less does not overflow in what follows.
    if (count > static_cast<wide>(no_deadline) * static_cast<wide>(unit::den) / static_cast<wide>(unit::num))
      return no_deadline;
    const wide ns = (count * static_cast<wide>(unit::num) + static_cast<wide>(unit::den - 1)) /
                    static_cast<wide>(unit::den);
    return ns >= static_cast<wide>(no_deadline) ? no_deadline : static_cast<std::int64_t>(ns);
  }
}

template <typename Rep, typename Period>
std::int64_t deadline_after(const std::chrono::duration<Rep, Period>& d) {
  const std::int64_t ns = nanos_of(d);
  if (ns == no_deadline) return no_deadline;
  const std::int64_t now = clock_now();
  return ns > no_deadline - now ? no_deadline : now + ns;
}

template <typename Duration>
std::int64_t deadline_at(const std::chrono::time_point<std::chrono::steady_clock, Duration>& t) {
  return nanos_of(t.time_since_epoch());
}

}  // namespace weft::detail
