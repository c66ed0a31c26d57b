#pragma once

// reserve: the spare workers of a set, which sleep and are not listed as idle, and those whose threads have
// ended.  All under the set's lock.
//
// Promised: who starts something that it will have to wait for makes sure of a spare before, and nobody else
// gets that one.  While the spare stands in, the promise asks for no other; when it has gone back there is
// one again.
//
// Invariant: promised_ is the number of workers that have a promise and are not blocked.

#include <algorithm>
#include <cstddef>
#include <vector>

#include "sched/parker.hpp"

namespace weft::sched {

template <typename Worker>
class reserve {
 public:
  /// Later nothing allocates.  Throws std::bad_alloc.
  void make_room(std::size_t workers) {
    spares_.reserve(workers);
    gone_.reserve(workers);
  }

  void put(Worker& w) noexcept {
    w.is = role::reserve;
    spares_.push_back(&w);
  }

  std::size_t size() const noexcept { return spares_.size(); }

  /// There is one that is promised to nobody.
  bool has_one() const noexcept { return spares_.size() > promised_; }

  /// There is one for `w`, which is not blocked.
  bool has_one_for(const Worker& w) const noexcept {
    return spares_.size() + (w.promised ? 1 : 0) > promised_;
  }

  /// There is one.
  Worker& take() noexcept {
    Worker& last = *spares_.back();
    spares_.pop_back();
    last.is = role::active;
    return last;
  }

  /// False: there is none.
  bool promise(Worker& w) noexcept {
    if (!has_one()) return false;
    w.promised = true;
    if (w.is != role::blocked) ++promised_;
    return true;
  }

  void break_promise(Worker& w) noexcept {
    if (w.is != role::blocked) --promised_;
    w.promised = false;
  }

  void becomes_blocked(Worker& w) noexcept {
    if (w.promised) --promised_;
    w.is = role::blocked;
  }

  void becomes_active(Worker& w) noexcept {
    if (w.promised) ++promised_;
    w.is = role::active;
  }

  /// Of a spare: its thread ends.
  void let_go(Worker& w) noexcept {
    spares_.erase(std::find(spares_.begin(), spares_.end(), &w));
    put_gone(w);
  }

  void put_gone(Worker& w) noexcept {
    w.is = role::gone;
    gone_.push_back(&w);
  }

  /// Null: none.
  Worker* take_gone() noexcept {
    if (gone_.empty()) return nullptr;
    Worker* const last = gone_.back();
    gone_.pop_back();
    return last;
  }

 private:
  std::vector<Worker*> spares_, gone_;
  std::size_t promised_ = 0;
};

}  // namespace weft::sched
