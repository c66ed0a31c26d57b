#pragma once

// The operations behind select(): plain while all handlers are plain, a composite if one is a coroutine.

#include <weft/detail/composite.hpp>
#include <weft/detail/context.hpp>
#include <weft/detail/select_cases.hpp>
#include <weft/routine.hpp>

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft {

namespace detail {

/// The waiting part: the index of the case that happened.
class index_op : public op_base {
 public:
  explicit index_op(select_core& core) noexcept : core_(&core) {}

  bool ready(waiter& w) { return select_ready(*core_, w); }

  bool park(waiter& w) noexcept { return select_park(*core_, w); }

  std::uint32_t finish(waiter& w) {
    return core_->how == wait_end::done ? core_->chosen : select_finish(*core_, w);
  }

  std::int64_t deadline() const noexcept { return core_->deadline; }

 private:
  select_core* core_;
};

/// After an operation inside a composite that is awaited alone.
struct limit_counts_op : op_base {
  bool ready(waiter& w) const noexcept {
    limit_counts(w);
    return true;
  }

  bool park(waiter&) const noexcept { return false; }

  void finish(waiter&) const noexcept {}
};

template <typename C>
inline constexpr bool is_coroutine_case = is_routine<typename C::result>;

/// A case that may be woken in vain: the select waits again, which takes a coroutine.
template <typename Active>
inline constexpr bool may_be_in_vain = requires(Active& c) {
  c.take();
};

template <typename Active>
bool take(Active& c) noexcept {
  if constexpr (may_be_in_vain<Active>) {
    return c.take();
  } else {
    return true;
  }
}

template <bool Biased, typename... Cases>
class case_set {
 public:
  explicit case_set(Cases&&... cases) : cases_(std::move(cases)...) {}

  case_set(const case_set&) = delete;
  case_set& operator=(const case_set&) = delete;

  select_core& start() noexcept {
    core_ = {list_, sizeof...(Cases), Biased, false, no_deadline, 0};
    std::uint32_t i = 0;
    std::apply([&](auto&... c) { ((list_[i] = &c.erased(), c.start(core_, i), ++i), ...); }, cases_);
    return core_;
  }

  /// The case was not woken in vain.
  bool take(std::uint32_t index) noexcept {
    bool taken = true;
    visit(index, [&](auto& c) { taken = detail::take(c); });
    return taken;
  }

  /// Calls the handler of the case.
  template <typename F>
  void visit(std::uint32_t index, F f) {
    std::uint32_t i = 0;
    std::apply([&](auto&... c) { ((i++ == index ? f(c) : void()), ...); }, cases_);
  }

 private:
  std::tuple<typename Cases::active...> cases_;
  select_case* list_[sizeof...(Cases) == 0 ? 1 : sizeof...(Cases)];
  select_core core_;
};

/// All handlers are plain.
template <bool Biased, typename... Cases>
class [[nodiscard("co_await it")]] plain_select_op : public op_base {
 public:
  static constexpr bool owns_callable = (Cases::owns_callable || ...);

  explicit plain_select_op(Cases && ... cases) : set_(std::move(cases)...), wait_(core_at_start_) {}

  bool ready(waiter & w) {
    wait_ = index_op(set_.start());
    return wait_.ready(w);
  }

  bool park(waiter & w) noexcept {
    return wait_.park(w);
  }
  std::int64_t deadline() const noexcept {
    return wait_.deadline();
  }

  std::size_t finish(waiter & w) {
    const std::uint32_t index = wait_.finish(w);
    limit_counts(w);
    set_.visit(index, [](auto& c) { (void)c.run(); });
    return index;
  }

 private:
  inline static select_core core_at_start_{};
  case_set<Biased, Cases...> set_;
  index_op wait_;
};

inline routine<> drop_result(routine<> r) {
  return r;
}

template <typename T>
routine<> drop_result(routine<T> r) {
  (void)co_await std::move(r);
}

/// Runs the chosen coroutine handler inside the awaiting routine.
template <typename Set>
routine<std::size_t> run_select(Set* set) {
  select_core& core = set->start();
  index_op wait(core);
  std::uint32_t index = co_await wait;
  while (!set->take(index)) {
    core.start_again();
    index = co_await wait;
  }
  co_await limit_counts_op();
  routine<> handler;
  set->visit(index, [&](auto& c) {
    if constexpr (is_coroutine_case<std::remove_reference_t<decltype(c)>>) {
      handler = drop_result(c.run());
    } else {
      (void)c.run();
    }
  });
  if (handler) co_await std::move(handler);
  co_return index;
}

template <bool Biased, typename... Cases>
class [[nodiscard("co_await it")]] coroutine_select_op : public composite_base {
 public:
  static constexpr bool is_one_wait = true;
  static constexpr bool owns_callable = (Cases::owns_callable || ...);

  explicit coroutine_select_op(Cases && ... cases) : set_(std::move(cases)...) {}
  auto run() {
    return run_select(&set_);
  }

 private:
  case_set<Biased, Cases...> set_;
};

template <typename C>
inline constexpr bool is_otherwise = false;
template <typename F>
inline constexpr bool is_otherwise<otherwise_case<F>> = true;

template <bool Biased, typename... Cases>
auto select_of(Cases&&... cases) {
  static_assert((int{is_otherwise<std::remove_cvref_t<Cases>>} + ... + 0) <= 1,
                "weft: a select has one otherwise(): what is to be done then goes into one handler");
  static_assert((std::is_same_v<Cases, std::remove_cvref_t<Cases>> && ...),
                "weft: a case is used once: select(std::move(c))");
  if constexpr (((is_coroutine_case<std::remove_cvref_t<Cases>> ||
                  may_be_in_vain<typename std::remove_cvref_t<Cases>::active>) ||
                 ...)) {
    return coroutine_select_op<Biased, std::remove_cvref_t<Cases>...>(std::move(cases)...);
  } else {
    return plain_select_op<Biased, std::remove_cvref_t<Cases>...>(std::move(cases)...);
  }
}

}  // namespace detail

}  // namespace weft
