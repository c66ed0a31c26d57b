#pragma once

// path_view: what a path is given as: text of any kind, or something with c_str() as std::filesystem::path.

#include <concepts>
#include <string_view>

namespace weft {

namespace detail {

template <typename P>
concept text_path = std::convertible_to<const P&, std::string_view>;

template <typename P>
concept path_like = text_path<P> || requires(const P& p) {
  { p.c_str() } -> std::convertible_to<const char*>;
};

}  // namespace detail

/// Borrowed for the call; operations copy it.  One with a zero byte in it fails by EINVAL.
class path_view {
 public:
  template <detail::path_like P>
  path_view(const P& path) noexcept : text_(view_of(path)) {}

  std::string_view text() const noexcept { return text_; }

 private:
  template <typename P>
  static std::string_view view_of(const P& path) noexcept {
    if constexpr (detail::text_path<P>) {
      return path;
    } else {
      return static_cast<const char*>(path.c_str());
    }
  }

  std::string_view text_;
};

}  // namespace weft
