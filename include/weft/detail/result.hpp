#pragma once

// promise<T>: promise_base and the place for what the routine returns or throws.

#include <weft/detail/promise.hpp>

#include <coroutine>
#include <exception>
#include <new>
#include <type_traits>
#include <utility>

namespace weft::detail {

/// What a T is stored as: a reference as a pointer.
template <typename T>
using stored =
    std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, std::remove_const_t<T>>;

template <typename T>
struct result_slot {
  union {
    stored<T> value;
    std::exception_ptr error;
  };

  result_slot() noexcept {}

  ~result_slot() {}
};

template <>
struct result_slot<void> {
  union {
    std::exception_ptr error;
  };

  result_slot() noexcept {}

  ~result_slot() {}
};

}  // namespace weft::detail
