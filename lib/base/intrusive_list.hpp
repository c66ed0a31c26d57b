#pragma once

// A doubly linked list through members of its nodes: no allocation, removal from the middle in O(1).
//
// A node is any struct with two pointers to its own type; it is in one list per pair of them:
//
//   struct waiter { waiter* prev = nullptr; waiter* next = nullptr; };
//   intrusive_list<waiter> queue;
//   intrusive_list<member, &member::scope_prev, &member::scope_next> members;
//
// Invariants
//   1. The list owns nothing; a node outlives its time in the list.
//   2. The links of a node outside the list are null, except that the only node of a list has null links too.
//
// Rejected: std::list (allocates); a ring with a sentinel (nodes would have to derive from a links type).

namespace weft::base {

template <typename Node, Node* Node::*Prev = &Node::prev, Node* Node::*Next = &Node::next>
class intrusive_list {
 public:
  intrusive_list() = default;
  intrusive_list(const intrusive_list&) = delete;
  intrusive_list& operator=(const intrusive_list&) = delete;

  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }

  /// The first node, or null.
  [[nodiscard]] Node* front() const noexcept { return head_; }

  void push_back(Node& node) noexcept {
    node.*Prev = tail_;
    node.*Next = nullptr;
    (tail_ ? tail_->*Next : head_) = &node;
    tail_ = &node;
  }

  /// Takes the first node out; null if there is none.
  Node* pop_front() noexcept {
    Node* const first = head_;
    if (first) remove(*first);
    return first;
  }

  /// `node` must be in this list.
  void remove(Node& node) noexcept {
    Node* const before = node.*Prev;
    Node* const after = node.*Next;
    (before ? before->*Next : head_) = after;
    (after ? after->*Prev : tail_) = before;
    node.*Prev = nullptr;
    node.*Next = nullptr;
  }

 private:
  Node* head_ = nullptr;
  Node* tail_ = nullptr;
};

}  // namespace weft::base
