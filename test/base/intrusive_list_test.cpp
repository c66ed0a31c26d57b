#include "base/intrusive_list.hpp"

#include <vector>

#include "support/catch.hpp"

namespace {

struct node {
  int value = 0;
  node* prev = nullptr;
  node* next = nullptr;
  node* other_prev = nullptr;
  node* other_next = nullptr;
};

using list = weft::base::intrusive_list<node>;
using other_list = weft::base::intrusive_list<node, &node::other_prev, &node::other_next>;

template <typename List>
std::vector<int> drain(List& nodes) {
  std::vector<int> values;
  while (auto* first = nodes.pop_front()) values.push_back(first->value);
  return values;
}

}  // namespace

TEST_CASE("a list gives nodes back in the order they came", "[base][intrusive_list]") {
  node nodes[] = {{1}, {2}, {3}};
  list queue;
  CHECK(queue.empty());
  CHECK(queue.front() == nullptr);
  CHECK(queue.pop_front() == nullptr);
  for (auto& each : nodes) queue.push_back(each);
  CHECK(!queue.empty());
  CHECK(queue.front() == &nodes[0]);
  CHECK(drain(queue) == std::vector{1, 2, 3});
  CHECK(queue.empty());
}

TEST_CASE("a node leaves from any place and may come back", "[base][intrusive_list]") {
  node nodes[] = {{0}, {1}, {2}, {3}};
  list queue;
  for (auto& each : nodes) queue.push_back(each);
  const int gone = GENERATE(0, 1, 2, 3);
  queue.remove(nodes[gone]);
  CHECK(nodes[gone].prev == nullptr);
  CHECK(nodes[gone].next == nullptr);
  queue.push_back(nodes[gone]);

  std::vector<int> expected;
  for (int i = 0; i < 4; ++i)
    if (i != gone) expected.push_back(i);
  expected.push_back(gone);
  CHECK(drain(queue) == expected);
}

TEST_CASE("removing the only node leaves an empty list", "[base][intrusive_list]") {
  node only{1};
  list queue;
  queue.push_back(only);
  queue.remove(only);
  CHECK(queue.empty());
  queue.push_back(only);
  CHECK(drain(queue) == std::vector{1});
}

TEST_CASE("a node is in one list per pair of links", "[base][intrusive_list]") {
  node nodes[] = {{1}, {2}};
  list forward;
  other_list backward;
  forward.push_back(nodes[0]);
  forward.push_back(nodes[1]);
  backward.push_back(nodes[1]);
  backward.push_back(nodes[0]);
  CHECK(drain(forward) == std::vector{1, 2});
  CHECK(drain(backward) == std::vector{2, 1});
}
