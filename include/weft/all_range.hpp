#pragma once

// all() for a number of routines that is known at run time.

#include <weft/all.hpp>

#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft {

namespace detail {

/// What a vector can hold of a T: a reference as a pointer, void as std::monostate.
template <typename T>
using element_of_results = stored<value_or_unit<T>>;

}  // namespace detail

/// What all(range) returns.
template <typename T>
class [[nodiscard("co_await it")]] all_range_op : public detail::fork_base {
 public:
  explicit all_range_op(std::vector<routine<T>> routines) noexcept : routines_(std::move(routines)) {}

  // Not for callers: how it is awaited.
  detail::all_awaiter<all_range_op> await_as_child(detail::waiter & root) noexcept {
    return {*this, root};
  }

  std::uint32_t count() const noexcept {
    return static_cast<std::uint32_t>(routines_.size());
  }

  void* const* frames() const noexcept {
    static_assert(sizeof(routine<T>) == sizeof(void*), "a routine is the address of its frame");
    return reinterpret_cast<void* const*>(routines_.data());
  }

  auto results() {
    std::vector<detail::element_of_results<T>> out;
    out.reserve(routines_.size());
    for (auto& r : routines_) {
      if constexpr (std::is_reference_v<T>) {
        auto&& referred = detail::child_result(r.frame());
        out.push_back(__builtin_addressof(referred));
      } else {
        out.push_back(detail::child_result(r.frame()));
      }
    }
    return out;
  }

 private:
  std::vector<routine<T>> routines_;
};

/// Runs all routines of a range (moved out of it); gives a vector of their results, in order.  As all(r1, r2,
/// ...); of routines that return references a vector of pointers.
///
/// A vector that is moved in - all(std::move(routines)) - is taken as it is; out of any other range - an
/// array, a view, an lvalue - the routines are moved one by one.
template <detail::routine_range Range>
auto all(Range&& routines) {
  using value = typename detail::routine_value<detail::element_in<Range>>::type;
  if constexpr (std::is_same_v<Range, std::vector<routine<value>>>) {
    return all_range_op<value>(std::move(routines));
  } else {
    std::vector<routine<value>> own;
    if constexpr (requires { routines.size(); }) own.reserve(routines.size());
    for (auto&& r : routines) own.push_back(std::move(r));
    return all_range_op<value>(std::move(own));
  }
}

namespace detail {

/// For the facade, whose header does not have all this.
template <routine_range Range>
auto all_in(fork_base, Range&& routines) {
  return weft::all(std::forward<Range>(routines));
}

}  // namespace detail

}  // namespace weft
