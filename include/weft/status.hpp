#pragma once

// How operations end: one small enum each, so that a switch lists no impossible case.

#include <optional>
#include <utility>

namespace weft {

/// send(): may be ignored.
enum class send_status : unsigned char {
  sent,    ///< the only one after which the value has left the caller
  closed,  ///< the channel was closed or has no receiver: trying again cannot help
};

/// try_send()
enum class [[nodiscard]] try_send_status : unsigned char{
    sent,
    full,  ///< no free slot and nobody receives now: trying again can help
    closed,
};

/// send_for(), send_until()
enum class [[nodiscard]] send_until_status : unsigned char{
    sent, closed,
    timed_out,  ///< trying again can help
};

/// try_recv(), recv_for(), recv_until()
enum class recv_status : unsigned char {
  received,
  empty,   ///< nothing came: at once for try_recv, until the time was up for the timed ones
  closed,  ///< closed and drained: nothing will ever come
};

/// What try_recv() and the timed receives give.  `value` is engaged exactly if `status` is received.
template <typename T>
struct [[nodiscard]] received {
  recv_status status;
  std::optional<T> value;

  explicit operator bool() const noexcept { return status == recv_status::received; }

  T& operator*() & noexcept { return *value; }

  const T& operator*() const& noexcept { return *value; }

  T&& operator*() && noexcept { return *std::move(value); }

  T* operator->() noexcept { return __builtin_addressof(*value); }
};

/// The same for channel<void>.
template <>
struct [[nodiscard]] received<void> {
  recv_status status;

  explicit operator bool() const noexcept { return status == recv_status::received; }
};

}  // namespace weft
