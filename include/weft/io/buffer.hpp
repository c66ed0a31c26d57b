#pragma once

// Where an operation reads to, and what it writes: anything contiguous whose elements are bytes or characters
// - an array, std::string, std::vector<std::byte>, std::span, std::string_view, a literal.  Borrowed: it must
// live until the operation has ended.

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace weft {

namespace detail {

template <typename R>
concept contiguous = requires(R& r) {
  r.data();
  r.size();
};

template <typename T>
concept is_byte = !std::is_void_v<T> && sizeof(T) == 1 && std::is_trivially_copyable_v<T> &&
                  !std::is_same_v<std::remove_cv_t<T>, bool>;

template <typename R>
using element_of = std::remove_pointer_t<decltype(std::declval<R&>().data())>;

template <typename R>
concept byte_range = contiguous<R> && is_byte<element_of<R>>;

template <typename R>
concept writable_byte_range = byte_range<R> && !std::is_const_v<element_of<R>>;

}  // namespace detail

/// Bytes to be filled.
class mutable_buffer {
 public:
  mutable_buffer() noexcept = default;

  mutable_buffer(void* data, std::size_t size) noexcept : data_(data), size_(size) {}

  template <typename T, std::size_t N>
  requires(detail::is_byte<T> && !std::is_const_v<T>) mutable_buffer(T (&array)[N])
  noexcept : data_(array), size_(N) {}

  /// An rvalue only if it does not own what it refers to: std::span and the like.
  template <detail::writable_byte_range R>
  requires(!std::is_same_v<std::remove_cvref_t<R>, mutable_buffer>) mutable_buffer(R&& range)
  noexcept : data_(range.data()), size_(range.size()) {
    static_assert(std::is_lvalue_reference_v<R> || std::is_trivially_copyable_v<std::remove_cvref_t<R>>,
                  "weft: a buffer is borrowed and must live until the operation has ended: name it");
  }

  void* data() const noexcept { return data_; }

  std::size_t size() const noexcept { return size_; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Bytes to be written.  Of a character array that is a literal, without the final zero.
class const_buffer {
 public:
  const_buffer() noexcept = default;

  const_buffer(const void* data, std::size_t size) noexcept : data_(data), size_(size) {}

  const_buffer(mutable_buffer from) noexcept : data_(from.data()), size_(from.size()) {}

  template <std::size_t N>
  const_buffer(const char (&literal)[N]) noexcept : data_(literal), size_(N - 1) {}

  template <typename T, std::size_t N>
  requires(detail::is_byte<T> && !std::is_same_v<T, const char>) const_buffer(T (&array)[N])
  noexcept : data_(array), size_(N) {}

  /// An rvalue, too: what is awaited in the same expression lives as long.
  template <detail::byte_range R>
  requires(!std::is_same_v<std::remove_cvref_t<R>, const_buffer> &&
           !std::is_same_v<std::remove_cvref_t<R>, mutable_buffer>) const_buffer(R&& range)
  noexcept : data_(range.data()), size_(range.size()) {}

  const void* data() const noexcept { return data_; }

  std::size_t size() const noexcept { return size_; }

 private:
  const void* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace weft
