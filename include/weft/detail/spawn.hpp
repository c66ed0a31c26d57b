#pragma once

// spawn: from a callable and its arguments to a running routine.
//
// The callable and the arguments are kept until the routine ends.  A plain callable is wrapped in a coroutine
// whose parameters they are, or in an annex if they are over-aligned: frames are not.  A coroutine function
// is invoked at once; what it borrows from (its captures, reference parameters) is put into an annex first -
// unless nothing can be borrowed, because the callable is empty or a function pointer and takes every
// parameter by value.

#include <weft/detail/launch.hpp>
#include <weft/detail/promise.hpp>
#include <weft/routine.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <source_location>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft {

template <typename T>
class join_handle;

/// How a routine is started.  Members are trivially destructible, so that writing one inside co_await is
/// safe.
struct spawn_options {
  std::string_view name = {};  ///< copied; shown by dump()
  bool detached = false;       ///< nobody will join: cheaper than dropping the handle
};

namespace detail {

WEFT_API void* allocate_annex(std::size_t bytes, std::size_t align);
WEFT_API void release_annex(void* block, std::size_t bytes, std::size_t align) noexcept;

// --- what can be borrowed ---

/// A parameter that an argument of type `A` (decayed) is copied into, wholly: a parameter of another class
/// may be a view of the argument.
template <typename P, typename A>
inline constexpr bool copies = std::is_same_v<std::remove_cv_t<P>, A> ||
                               (std::is_scalar_v<P> && std::is_scalar_v<A>);

template <typename... Ts>
struct types {};

template <typename Parameters, typename Arguments>
inline constexpr bool all_copied = false;
template <typename... Ps, typename... As>
requires(sizeof...(Ps) ==
         sizeof...(As)) inline constexpr bool all_copied<types<Ps...>, types<As...>> = (copies<Ps, As> &&
                                                                                        ...);

template <typename Signature>
struct parameters_of {
  using type = void;
};

template <typename R, typename... Ps>
struct parameters_of<R (*)(Ps...)> {
  using type = types<Ps...>;
};

template <typename R, typename... Ps>
struct parameters_of<R (*)(Ps...) noexcept> {
  using type = types<Ps...>;
};

template <typename R, typename C, typename... Ps>
struct parameters_of<R (C::*)(Ps...)> {
  using type = types<Ps...>;
};

template <typename R, typename C, typename... Ps>
struct parameters_of<R (C::*)(Ps...) const> {
  using type = types<Ps...>;
};

template <typename F, typename... Args>
constexpr bool borrows_nothing() {
  if constexpr (std::is_pointer_v<F>) {
    return all_copied<typename parameters_of<F>::type, types<Args...>>;
  } else if constexpr (std::is_empty_v<F> && requires { &F::operator(); }) {
    return all_copied<typename parameters_of<decltype(&F::operator())>::type, types<Args...>>;
  } else {
    return false;
  }
}

// --- the annex ---

template <typename F, typename... Args>
struct kept {
  F f;
  std::tuple<Args...> args;

  template <typename G, typename... As>
  explicit kept(G&& g, As&&... as) : f(std::forward<G>(g)), args(std::forward<As>(as)...) {}
};

struct nothing_kept {};

template <typename Kept>
struct annex_of {
  static constexpr std::size_t align = alignof(Kept) > alignof(annex) ? alignof(Kept) : alignof(annex);
  static constexpr std::size_t offset = (sizeof(annex) + alignof(Kept) - 1) / alignof(Kept) * alignof(Kept);

  static Kept& payload(annex& a) noexcept {
    return *std::launder(reinterpret_cast<Kept*>(reinterpret_cast<std::byte*>(&a) + offset));
  }

  static void destroy(annex& a, bool wholly) noexcept {
    payload(a).~Kept();
    a.destroy = &release;
    release(a, wholly);
  }

  static void release(annex& a, bool wholly) noexcept {
    if (wholly) release_annex(&a, a.bytes, align);
  }
};

/// Owns an annex until a routine does.
template <typename Kept>
class annex_holder {
 public:
  template <typename... As>
  annex_holder(std::string_view name, std::uintptr_t spawned_at, As&&... as) {
    using layout = annex_of<Kept>;
    const std::size_t bytes = layout::offset + sizeof(Kept) + name.size();
    void* block = allocate_annex(bytes, layout::align);
    try {
      ::new (static_cast<void*>(static_cast<std::byte*>(block) + layout::offset))
          Kept(std::forward<As>(as)...);
    } catch (...) {
      release_annex(block, bytes, layout::align);
      throw;
    }
    annex_ = static_cast<annex*>(block);  // an implicit-lifetime struct; `not_ours` keeps its bytes
    annex_->destroy = &layout::destroy;
    annex_->spawned_at = spawned_at;
    char* text = static_cast<char*>(block) + layout::offset + sizeof(Kept);
    for (std::size_t i = 0; i < name.size(); ++i) text[i] = name[i];
    annex_->name = text;
    annex_->name_size = static_cast<std::uint32_t>(name.size()) & 0x7fffffff;
    annex_->over_aligned = layout::align > 16 ? 1 : 0;
    annex_->bytes = static_cast<std::uint32_t>(bytes);
  }

  annex_holder(const annex_holder&) = delete;
  annex_holder& operator=(const annex_holder&) = delete;

  ~annex_holder() {
    if (annex_ != nullptr) annex_->destroy(*annex_, true);
  }

  Kept& payload() noexcept { return annex_of<Kept>::payload(*annex_); }

  annex* get() const noexcept { return annex_; }

  void released() noexcept { annex_ = nullptr; }

 private:
  annex* annex_;
};

// --- the frame ---

/// std::invoke, whose header is too dear.
template <typename F, typename... Args>
decltype(auto) call(F&& f, Args&&... args) {
  if constexpr (std::is_member_pointer_v<std::remove_cvref_t<F>>) {
    return [&f](auto&& object, auto&&... rest) -> decltype(auto) {
      if constexpr (requires {
                      (std::forward<decltype(object)>(object).*f)(std::forward<decltype(rest)>(rest)...);
                    }) {
        return (std::forward<decltype(object)>(object).*f)(std::forward<decltype(rest)>(rest)...);
      } else if constexpr (requires { ((*object).*f)(std::forward<decltype(rest)>(rest)...); }) {
        return ((*object).*f)(std::forward<decltype(rest)>(rest)...);
      } else if constexpr (requires { (object.get().*f)(std::forward<decltype(rest)>(rest)...); }) {
        return (object.get().*f)(std::forward<decltype(rest)>(rest)...);
      } else if constexpr (requires { std::forward<decltype(object)>(object).*f; }) {
        return std::forward<decltype(object)>(object).*f;
      } else {
        return (*object).*f;
      }
    }(std::forward<Args>(args)...);
  } else {
    return std::forward<F>(f)(std::forward<Args>(args)...);
  }
}

/// A plain callable as a routine.  The parameters are what go() keeps.
template <typename F, typename... Args>
routine<std::invoke_result_t<F, Args...>> call_plain(F f, Args... args) {
  co_return call(std::move(f), std::move(args)...);
}

/// Not inlined: the call's by-value arguments would stand in the coroutine's frame, which is not
/// over-aligned.
template <typename R, typename Kept>
[[gnu::noinline]] R invoke_kept(Kept& own) {
  return std::apply([&own](auto&... a) -> R { return call(std::move(own.f), std::move(a)...); }, own.args);
}

template <typename R, typename Kept>
routine<R> call_kept(Kept* own) {
  co_return invoke_kept<R>(*own);
}

struct spawn_request {
  const spawn_options* options;  // null: none
  launch_info how;

  std::string_view name() const noexcept { return options == nullptr ? std::string_view() : options->name; }
};

template <typename R>
std::coroutine_handle<promise<typename routine_value<R>::type>> launch_frame(R& made,
                                                                             const launch_info& how) {
  launch(made.frame().promise(), how);
  return made.release();
}

/// Starts a routine, with an annex if it has a name.
template <typename R>
[[gnu::always_inline]] inline auto spawn_made(spawn_request& what, R made) {
  if (!made) misuse_empty_routine();
  if (what.name().empty()) [[likely]]
    return launch_frame(made, what.how);
  annex_holder<nothing_kept> extra(what.name(), what.how.spawned_at);
  what.how.extra = extra.get();
  auto frame = launch_frame(made, what.how);
  extra.released();
  return frame;
}

template <typename F, typename... Args>
auto spawn(spawn_request& what, F&& f, Args&&... args) {
  using fn = std::decay_t<F>;
  what.how.here = check_open(what.how.where);
  if constexpr (is_routine<fn>) {
    static_assert(sizeof...(Args) == 0,
                  "weft: go(routine) takes no arguments: they were given to the routine already");
    static_assert(!std::is_lvalue_reference_v<F>, "weft: a routine runs once: go(std::move(r))");
    return spawn_made<fn>(what, std::forward<F>(f));
  } else if constexpr (!std::is_invocable_v<fn, std::decay_t<Args>...>) {
    static_assert(std::is_invocable_v<fn, std::decay_t<Args>...>,
                  "weft: go(f, args...) calls f with copies of the arguments, as rvalues");
    return std::coroutine_handle<promise<void>>();  // the sentence above is enough
  } else {
    using result = std::invoke_result_t<fn, std::decay_t<Args>...>;
    using keeps = kept<fn, std::decay_t<Args>...>;
    static_assert(
        is_routine<result> || !std::is_rvalue_reference_v<result>,
        "weft: what go(f, args...) calls returns no rvalue reference, which would refer to copies that "
        "are gone: return by value");
    if constexpr (!is_routine<result>) what.how.plain = true;
    if constexpr (!is_routine<result> && alignof(keeps) <= 16) {
      return spawn_made(
          what, call_plain<fn, std::decay_t<Args>...>(std::forward<F>(f), std::forward<Args>(args)...));
    } else if constexpr (is_routine<result> && borrows_nothing<fn, std::decay_t<Args>...>()) {
      return spawn_made<result>(what, std::forward<F>(f)(std::forward<Args>(args)...));
    } else {
      annex_holder<keeps> extra(what.name(), what.how.spawned_at, std::forward<F>(f),
                                std::forward<Args>(args)...);
      auto& own = extra.payload();
      auto made = [&own] {
        if constexpr (is_routine<result>) {
          return std::apply([&](auto&... a) { return call(std::move(own.f), std::move(a)...); }, own.args);
        } else {
          return call_kept<result>(&own);
        }
      }();
      if (!made) misuse_empty_routine();
      what.how.extra = extra.get();
      auto frame = launch_frame(made, what.how);
      extra.released();
      return frame;
    }
  }
}

}  // namespace detail
}  // namespace weft
