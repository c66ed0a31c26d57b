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

/// Nanoseconds, at least 0; no_deadline for what does not fit.
template <typename Rep, typename Period>
constexpr std::int64_t nanos_of(const std::chrono::duration<Rep, Period>& d) {
  if constexpr (std::is_floating_point_v<Rep>) {
    const auto ns = static_cast<long double>(d.count()) * Period::num * 1'000'000'000.0L / Period::den;
    if (ns != ns) throw_not_a_duration();
    if (ns >= static_cast<long double>(no_deadline)) return no_deadline;
    return ns <= 0 ? 0 : static_cast<std::int64_t>(ns);
  } else {
    if (d.count() <= Rep{0}) return 0;
    __extension__ using wide = unsigned __int128;
    using ratio = std::ratio_divide<Period, std::nano>;
    const auto count = static_cast<wide>(static_cast<std::uintmax_t>(d.count()));
    const wide ns = count * static_cast<wide>(ratio::num) / static_cast<wide>(ratio::den);
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
  if (t.time_since_epoch().count() <= 0) return 0;
  return nanos_of(t.time_since_epoch());
}

}  // namespace weft::detail
