// all() and any(): every kind of result, in every form.

#include <weft/all_range.hpp>
#include <weft/blocking.hpp>
#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <list>
#include <memory>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"

namespace {

/// Cannot be default-constructed, copied or assigned.
struct ticket {
  explicit ticket(int n) noexcept : number(n) {}

  ticket(ticket&&) noexcept = default;
  ticket& operator=(ticket&&) = delete;
  int number;
};

weft::routine<int> number(int n) {
  co_await weft::yield();
  co_return n;
}

weft::routine<std::unique_ptr<int>> owned(int n) {
  co_await weft::yield();
  co_return std::make_unique<int>(n);
}

weft::routine<ticket> drawn(int n) {
  co_await weft::yield();
  co_return ticket(n);
}

weft::routine<> counted(std::atomic<int>& n) {
  co_await weft::yield();
  ++n;
}

weft::routine<std::string&> named(std::string& s) {
  co_await weft::yield();
  co_return s;
}

weft::routine<const int> constant(int n) {
  co_await weft::yield();
  co_return n;
}

weft::routine<std::string&> fails() {
  co_await weft::yield();
  throw std::runtime_error("no name");
}

weft::routine<int> all_of_every_kind() {
  std::vector<weft::routine<int>> numbers;
  std::vector<weft::routine<std::unique_ptr<int>>> pointers;
  std::vector<weft::routine<ticket>> tickets;
  std::vector<weft::routine<>> counts;
  std::vector<weft::routine<const int>> constants;
  std::atomic<int> n{0};
  for (int i = 0; i < 5; ++i) {
    numbers.push_back(number(i));
    pointers.push_back(owned(i));
    tickets.push_back(drawn(i));
    counts.push_back(counted(n));
    constants.push_back(constant(i));
  }
  const std::vector<int> a = co_await weft::all(numbers);
  const auto b = co_await weft::all(std::move(pointers));
  const auto c = co_await weft::all(std::move(tickets));
  const auto d = co_await weft::all(std::move(counts));
  const std::vector<int> e = co_await weft::all(std::move(constants));
  int right = 0;
  for (int i = 0; i < 5; ++i) {
    const auto at = static_cast<std::size_t>(i);
    right += a[at] == i && *b[at] == i && c[at].number == i && e[at] == i ? 1 : 0;
  }
  co_return right == 5 && n == 5 && d.size() == 5 ? 1 : 0;
}

weft::routine<bool> all_of_references() {
  std::vector<std::string> names{"a", "b", "c"};
  std::vector<weft::routine<std::string&>> routines;
  for (auto& n : names) routines.push_back(named(n));
  const std::vector<std::string*> got = co_await weft::all(std::move(routines));
  bool right = got.size() == 3;
  for (std::size_t i = 0; i < got.size(); ++i) right = right && got[i] == &names[i];
  auto both = co_await weft::all(named(names[0]), named(names[1]));
  static_assert(std::is_same_v<decltype(both), std::tuple<std::string&, std::string&>>);
  co_return right&&& std::get<0>(both) == names.data() && &std::get<1>(both) == &names[1];
}

weft::routine<bool> any_of_references() {
  std::string name = "a";
  auto first = co_await weft::any(fails(), named(name), fails());
  static_assert(std::is_same_v<decltype(first.value), std::string&>);
  co_return first.index == 1 && &first.value == &name;
}

}  // namespace

TEST_CASE("all of a range gives values and move-only and not default-constructible ones and void",
          "[api][all]") {
  const unsigned workers = GENERATE(1U, 2U);
  weft::runtime rt({.workers = workers});
  REQUIRE(rt.go(all_of_every_kind).join() == 1);
}

TEST_CASE("all and any give references to what their routines returned", "[api][all][any]") {
  weft::runtime rt({.workers = 2});
  REQUIRE(rt.go(all_of_references).join());
  REQUIRE(rt.go(any_of_references).join());
}

TEST_CASE("on a thread all and any of references give the same", "[api][all][any][facade]") {
  std::vector<std::string> names{"a", "b", "c"};
  std::vector<weft::routine<std::string&>> routines;
  for (auto& n : names) routines.push_back(named(n));
  const std::vector<std::string*> got = weft::blocking::all(std::move(routines));
  REQUIRE(got == std::vector<std::string*>{names.data(), &names[1], &names[2]});
  auto [a, b] = weft::blocking::all(named(names[0]), named(names[1]));
  REQUIRE(&a == names.data());
  REQUIRE(&b == &names[1]);
  auto first = weft::blocking::wait(weft::any(fails(), named(names[2])));
  REQUIRE(first.index == 1);
  REQUIRE(&first.value == &names[2]);
  REQUIRE(&weft::blocking::run(named(names[0])) == names.data());
  REQUIRE(&weft::go(named, std::ref(names[1])).join() == &names[1]);
}

TEST_CASE("the first failure among routines that return references is rethrown", "[api][all][any]") {
  std::string name = "a";
  std::vector<weft::routine<std::string&>> routines;
  routines.push_back(named(name));
  routines.push_back(fails());
  REQUIRE_THROWS_AS(weft::blocking::all(std::move(routines)), std::runtime_error);
  REQUIRE_THROWS_AS(weft::blocking::wait(weft::any(fails(), fails())), std::runtime_error);
}

TEST_CASE("all of a hundred thousand routines uses bounded stack", "[api][all]") {
  weft::runtime rt({.workers = 1});
  const auto program = []() -> weft::routine<std::size_t> {
    const auto child = [](std::size_t n) -> weft::routine<std::size_t> { co_return n; };
    std::vector<weft::routine<std::size_t>> many;
    for (std::size_t i = 0; i < 100'000; ++i) many.push_back(child(i));
    const auto results = co_await weft::all(std::move(many));
    co_return results.back();
  };
  REQUIRE(rt.go(program).join() == 99'999);
}

namespace {

/// Its begin() is found by its namespace alone.
struct own_range {
  std::vector<weft::routine<int>> held;
};

auto begin(own_range& r) {
  return r.held.begin();
}

auto end(own_range& r) {
  return r.held.end();
}

weft::routine<std::vector<int>> all_of_each_range() {
  std::vector<int> got;
  const auto take = [&got](const std::vector<int>& results) {
    got.insert(got.end(), results.begin(), results.end());
  };
  weft::routine<int> in_array[2] = {number(1), number(2)};
  take(co_await weft::all(in_array));
  std::array<weft::routine<int>, 2> array{number(3), number(4)};
  take(co_await weft::all(std::span(array)));
  std::vector<weft::routine<int>> numbers;
  for (int i = 4; i < 8; ++i) numbers.push_back(number(i));
  auto last_three = std::views::drop(numbers, 1);
  take(co_await weft::all(last_three));
  std::list<weft::routine<int>> list;
  list.push_back(number(8));
  take(co_await weft::all(list));
  own_range own;
  own.held.push_back(number(9));
  take(co_await weft::all(own));
  auto made = std::views::transform(std::views::iota(10, 12), number);
  take(co_await weft::all(made));
  co_return got;
}

}  // namespace

TEST_CASE("all takes arrays, views and every other range of routines, on both faces", "[api][all]") {
  REQUIRE(weft::go(all_of_each_range()).join() == std::vector{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  weft::routine<int> array[2] = {number(1), number(2)};
  REQUIRE(weft::blocking::all(array) == std::vector{1, 2});
  const auto made = [](int i) { return number(i); };
  REQUIRE(weft::blocking::all(std::views::transform(std::views::iota(1, 3), made)) == std::vector{1, 2});
}
