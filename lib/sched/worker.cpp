#include "sched/worker.hpp"

#include <weft/detail/promise.hpp>

#include <algorithm>
#include <array>
#include <coroutine>
#include <new>
#include <utility>

#include "base/prefetch.hpp"
#include "sched/current.hpp"
#include "sched/scheduler.hpp"

namespace weft::sched {

namespace {

/// A wake costs the waker 7-11 us and the sleeper runs 14-25 us later (measured): less work than that is done
/// sooner here.
constexpr os::nanos wake_price = 10'000;

constexpr std::uint64_t id_block = 1024;

/// A simulated worker fills its ring up to here before it picks: the batch that comes then still fits.
constexpr std::uint32_t picked_from = 127;

}  // namespace

worker::worker(scheduler& home, unsigned index, std::uint64_t seed)
    : worker_face{hand_offs, ready_operations},
      timers(timer_place.heap()),
      home_(&home),
      quick_seat_(home.port().simulated() ? &os::nobodys_seat : &seat),
      index_(index),
      simulated_(home.port().simulated()),
      random_(seed),
      forks_(home.how().workers) {}

worker::worker(scheduler& home, std::uint64_t seed)
    : worker_face{0, ready_operations},
      timers(home.at(0).timers),
      blocks(1),
      home_(&home),
      quick_seat_(&os::nobodys_seat),
      index_(0),
      is_berth_(true),
      simulated_(home.port().simulated()),
      random_(seed) {}

// --- pushing ---

void worker::push_next(waiter& r) noexcept {
  if (is_replaced()) [[unlikely]]
    return home_->inject(r);            // this thread may block before it comes back to its queues
  if (simulated_) return push_back(r);  // picked from all that is ready
  waiter* before = slot_.load(std::memory_order_relaxed);  // relaxed: only this thread fills it
  if (before == nullptr) {
    slot_.store(&r, std::memory_order_release);  // R6, pairs with A6: a thief sees the routine
    return keep_nothing_if_replaced();
  }
  if (bias_.enter()) [[likely]] {
    before = slot_.load(std::memory_order_relaxed);  // relaxed: no thief is here
    slot_.store(&r, std::memory_order_release);      // R6, pairs with A6
    bias_.leave();
  } else {
    before = slot_.exchange(&r, std::memory_order_acq_rel);  // R6, pairs with A6
  }
  if (before != nullptr) push_back(*before);
  keep_nothing_if_replaced();
}

void worker::push_back(waiter& r) noexcept {
  push_ring(r);
  note_surplus();
}

/// Who has pushed others out of the ring in this turn goes behind them: before them it would do so again, and
/// they would be more each time.
void worker::push_yielding(waiter& r) noexcept {
  if (overflowed_at_ == tick()) [[unlikely]]
    return home_->inject(r);
  if (!ring_.push_quietly(&r)) [[unlikely]]
    return overflow(r);  // the inject queue wakes whom it needs
  if (home_->wants_searcher() && queued() > 1) [[unlikely]]
    note_surplus();
}

std::uint32_t worker::room() const noexcept {
  return decltype(ring_)::capacity - ring_.size();
}

void worker::push_ring(waiter& r) noexcept {
  if (!ring_.push(&r)) [[unlikely]]
    overflow(r);
}

/// The ring is full: half of it and `r` go to the inject queue under one lock.
void worker::overflow(waiter& r) noexcept {
  share_ = 0;
  overflowed_at_ = tick();
  waiter* taken[256];
  const std::uint32_t n = ring_.pop_half(taken);
  if (n == 0) {  // thieves came first: there is room
    if (!ring_.push(&r)) home_->inject(r);
    return;
  }
  constexpr std::uint32_t distance = 8;  // misses in flight
  for (std::uint32_t i = 0; i + 1 < n; ++i) {
    taken[i]->next = taken[i + 1];
    taken[i]->ahead(taken[std::min(i + distance, n - 1)]);
  }
  taken[n - 1]->next = &r;
  home_->inject_chain(taken[0], &r, n + 1);
}

bool worker::worth_waking() const noexcept {
  return dispatch_time_.load(std::memory_order_relaxed) * queued() >=
         wake_price;  // relaxed: own thread writes it
}

void worker::note_surplus() noexcept {
  if (simulated_) {  // nothing takes time: chance says what is worth a wake
    if (home_->wants_searcher() && home_->port().draw(2) != 0) home_->wake_one();
    return;
  }
  if (home_->wants_searcher() && queued() > 1 && worth_waking()) home_->wake_one();
}

// --- what runs next ---

bool worker::settle() noexcept {
  if (owed_to_ == nullptr) return false;
  detail::count_off(*std::exchange(owed_to_, nullptr), std::exchange(owed_, 0));
  return true;
}

/// A turn of `r` begins.  True: it just goes on.  False: begin() is to find out.
[[gnu::always_inline]] inline bool worker::begin_turn(waiter& r) noexcept {
  tick_.store(tick_.load(std::memory_order_relaxed) + 1,
              std::memory_order_relaxed);  // relaxed: thieves only compare
  ready = ready_operations;
  __atomic_store_n(&r.worker, static_cast<worker_face*>(this), __ATOMIC_RELAXED);  // relaxed: dumps read it
  if (!r.just_goes_on() || owed_to_ != nullptr) [[unlikely]]
    return false;
  runs(&r);
  return true;
}

namespace {

/// Not to be cancelled before its first resumption, as far as its own context knows.
bool is_plainly_live(const waiter& r, const scheduler& home) noexcept {
  const detail::context_base& x = *r.scope;
  const auto s = __atomic_load_n(&x.state, __ATOMIC_SEQ_CST);  // W2, pairs with C1
  return s == detail::live && x.kind != detail::group && !home.stopping();
}

}  // namespace

/// A routine's first resumption; or one of a coroutine of a foreign type.
void* worker::begin(waiter& r) noexcept {
  if (searching) home_->end_search(*this);  // it may run code of others here, for long
  if (r.kind() == detail::waiter_kind::foreign) {
    settle();
    runs(nullptr);
    return run_foreign(r);
  }
  const bool is_guest = r.lives() == detail::home::blocking_pool && !is_berth_;
  const bool is_first = r.fresh();
  const bool is_sibling = is_first && r.born() == detail::birth::member && r.scope == owed_to_;
  if (owed_to_ != nullptr && !is_sibling) settle();
  runs(&r);
  if (!is_first) return is_guest ? run_guest(r) : r.frame;
  r.fresh(false);
  // Cancelled before its first resumption it ends without a value and without an exception.
  if (!is_plainly_live(r, *home_) && detail::cancel_requested_for(r) != detail::live)
    return complete(static_cast<detail::promise_base&>(r), nullptr).address();
  return is_guest ? run_guest(r) : r.frame;
}

/// The blocking pool has no thread and could have none when `r` was woken: its turn is an announced call
/// here.  If there is no thread to stand in either, nobody does.
void* worker::run_guest(waiter& r) noexcept {
  const bool stands_in = home_->stand_in(*this);
  transfers = 0;  // whoever comes next comes to the loop
  std::coroutine_handle<>::from_address(r.frame).resume();
  transfers = 0;
  if (stands_in) home_->end_block(*this);
  return std::noop_coroutine().address();
}

void worker::run_here(waiter& r) noexcept {
  set_current_berth(this);
  for (waiter* next = &r; next != nullptr;) {
    void* const frame = enter(*next);
    transfers = 0;  // each comes back here: what all() hands over to may live elsewhere
    count.resumed.add();
    std::coroutine_handle<>::from_address(frame).resume();
    if (home_->frozen()) [[unlikely]]
      home_->rest_for_good(false);
    next = std::exchange(bounced_, nullptr);
    if (next != nullptr && next->lives() != detail::home::blocking_pool) {
      home_->inject(*next);
      break;
    }
  }
  runs(nullptr);
  set_current_berth(nullptr);
  home_->tell_of_timers();
}

void* worker::enter(waiter& r) noexcept {
  return begin_turn(r) ? r.frame : begin(r);
}

namespace {

/// In a long queue frames have gone out of the cache, or are another worker's: a later one comes in meanwhile
/// (skynet on one worker 530 -> 430 ns a routine).
[[gnu::always_inline]] inline void fetch_later(run_queue<waiter>& from, std::uint32_t many) noexcept {
  if (const waiter* later = from.peek(4, many)) base::prefetch_to_write(later);
}

}  // namespace

/// When it is empty the inject queue is looked at again after as many turns as there are in the ring.
waiter* worker::take_lane() noexcept {
  if ((beside_ & in_lane) == 0) return nullptr;
  fetch_later(lane_, 4);
  const bool alone = bias_.enter();
  waiter* r = alone ? lane_.pop_alone() : lane_.pop();
  if (alone) bias_.leave();
  if (r == nullptr) {
    beside_ = static_cast<std::uint8_t>(beside_ & ~in_lane);
    polled_at_ = tick() - interval_ + std::min(ring_.size(), interval_);
  }
  return r;
}

[[gnu::always_inline]] inline waiter* worker::take_oldest() noexcept {
  fetch_later(ring_, 32);
  if (!bias_.enter()) [[unlikely]]
    return ring_.pop();
  waiter* r = ring_.pop_alone();
  bias_.leave();
  return r;
}

[[gnu::always_inline]] inline waiter* worker::take_slot() noexcept {
  if (slot_.load(std::memory_order_relaxed) == nullptr) return nullptr;  // relaxed: only this thread fills it
  if (!bias_.enter()) [[unlikely]]
    return slot_.exchange(nullptr, std::memory_order_acq_rel);  // A6, pairs with R6
  waiter* r = slot_.load(std::memory_order_relaxed);            // relaxed: no thief is here
  slot_.store(nullptr, std::memory_order_relaxed);              // relaxed: same
  bias_.leave();
  return r;
}

/// The child that comes next: of the newest, which is the smallest subtree.  In the order of coming each
/// would open a tree of its own, and all of them would be there at a time.
waiter* worker::take_newest_fork() noexcept {
  if ((beside_ & in_forks) == 0) return nullptr;
  if (forkable* f = forks_.pop()) return start(*f);
  beside_ = static_cast<std::uint8_t>(beside_ & ~in_forks);
  return nullptr;
}

/// Forks have every second turn.  The lane goes before the ring; but not for long, as what comes out of it
/// may take as many resumptions each as it likes.
waiter* worker::take_in_turn() noexcept {
  fork_turn_ = !fork_turn_;
  if (fork_turn_) {
    if (waiter* r = take_newest_fork()) return r;
  }
  if (lane_turn_ || tick() - ring_at_ < std::min(ring_interval, interval_)) {
    lane_turn_ = false;
    if (waiter* r = take_lane()) return r;
  }
  lane_turn_ = true;
  ring_at_ = tick();
  if (waiter* r = take_oldest()) return r;
  waiter* r = take_lane();
  return r != nullptr ? r : take_newest_fork();
}

waiter* worker::take_queued() noexcept {
  return beside_ == 0 ? take_oldest() : take_in_turn();
}

/// From the loop the slot has its turns, too: a chain of hand-offs through it may not starve the others, nor
/// one that yields into the ring the slot.
waiter* worker::take_turn() noexcept {
  if (!forks_.empty()) [[unlikely]]
    beside_ |= in_forks;
  slot_turn_ = !slot_turn_;
  waiter* r = slot_turn_ ? take_slot() : take_queued();
  if (r == nullptr) r = slot_turn_ ? take_queued() : take_slot();
  return r;
}

/// In a simulated run: any of those that are ready here.
void* worker::take_picked() noexcept {
  home_->port().step(false);
  std::uint32_t n = 0;
  while (ring_.size() <= picked_from) {
    waiter* more = home_->take_injected(*this, room(), n);
    if (more == nullptr) break;
    while (more != nullptr) push_ring(*std::exchange(more, more->next));
  }
  const std::uint32_t in_ring = ring_.size();
  const std::uint32_t forks = forks_.empty() ? 0 : 1;
  if (in_ring + forks == 0) return nullptr;
  std::array<std::uint64_t, decltype(ring_)::capacity + 1> ids{};  // a fork's is 0
  for (std::uint32_t i = 0; i < in_ring; ++i) ids[i] = detail::id_of(*ring_.peek(i, i));
  const std::size_t chosen = home_->port().pick(in_ring + forks, ids.data());
  if (chosen == in_ring) {
    forkable* f = forks_.pop();
    return f == nullptr ? nullptr : take_fork(*f);
  }
  waiter* r = nullptr;
  for (std::size_t i = 0; i < in_ring; ++i) {  // the others stay in order
    waiter* each = ring_.pop();
    if (i == chosen) {
      r = each;
    } else if (each != nullptr) {
      push_ring(*each);
    }
  }
  return r == nullptr ? nullptr : enter(*r);
}

/// How many operations and transfers until the routine must let others run: mostly few.
void worker::begin_simulated_turn() noexcept {
  os::port& port = home_->port();
  ready = std::int32_t{1} << port.draw(8);
  transfers = 1 + static_cast<std::int32_t>(port.draw(hand_offs));
  port.note(current() == nullptr ? 0 : detail::id_of(*current()));
}

[[gnu::always_inline]] inline std::coroutine_handle<> worker::take_next() noexcept {
  if (transfers > 0 && !simulated_) [[likely]] {
    --transfers;
    // What is not hot is a jump, so that this function saves no registers.
    waiter* r = take_slot();
    if (r == nullptr) {
      if (beside_ != 0) [[unlikely]]
        return take_next_in_turn();
      r = take_oldest();
    }
    if (r != nullptr) [[likely]] {
      if (!begin_turn(*r)) [[unlikely]]
        return begin_next(*r);
      return std::coroutine_handle<>::from_address(r->frame);
    }
  }
  runs(nullptr);
  return std::noop_coroutine();
}

std::coroutine_handle<> worker::take_next_in_turn() noexcept {
  waiter* r = take_in_turn();
  if (r != nullptr && begin_turn(*r)) return std::coroutine_handle<>::from_address(r->frame);
  if (r != nullptr) return begin_next(*r);
  runs(nullptr);
  return std::noop_coroutine();
}

std::coroutine_handle<> worker::begin_next(waiter& r) noexcept {
  void* const frame = begin(r);
  return frame != nullptr ? std::coroutine_handle<>::from_address(frame)
                          : std::coroutine_handle<>(std::noop_coroutine());
}

bool worker::has_queued() const noexcept {
  const waiter* next = slot_.load(std::memory_order_seq_cst);  // S10: the monitor counts slots as queued work
  return next != nullptr || queued() != 0 || !forks_.empty();
}

void* worker::next_frame() noexcept {
  if (home_->stopping()) home_->check_drained();
  if (waiter* r = bounced_) {
    bounced_ = nullptr;
    count.bounces.add();
    // A chain of awaits that never parks would starve the others: every second bounce is a yield, if there is
    // somebody, or it is time to look at forks, the inject queue and descriptors.
    const bool polls = tick() - polled_at_ >= interval_;
    if ((++bounces_ & 1) != 0 ||
        (!polls && queued() == 0 && slot_.load(std::memory_order_relaxed) == nullptr)) {  // relaxed: own
      if (timers.size() != 0) run_timers(home_->port().now());
      return enter(*r);
    }
    push_yielding(*r);
  }
  runs(nullptr);
  if (void* frame = maintain()) return frame;
  if (simulated_) {
    if (void* frame = take_picked()) return frame;
  } else {
    if (waiter* r = take_turn()) return enter(*r);
  }
  if (forkable* f = forks_.pop()) {
    if (void* frame = take_fork(*f)) return frame;
  }
  if (waiter* r = take_injected()) return enter(*r);
  if (settle()) {
    if (waiter* r = take_turn()) return enter(*r);
  }
  forks_.shut();
  return nullptr;
}

waiter* worker::start(forkable& f) noexcept {
  settle();
  return &f.go_on(f, *this);
}

void* worker::take_fork(forkable& f) noexcept {
  return enter(*start(f));
}

void worker::resume(void* frame) noexcept {
  if (searching) home_->end_search(*this);
  transfers = hand_offs;
  // Where dispatches are long the loop is to look around the sooner; but a dispatch may be long for its
  // forks, which have the same budget.
  if (interval_ < std::uint32_t{hand_offs} && forks_.empty()) [[unlikely]]
    transfers = looked_around_ ? 0 : static_cast<std::int32_t>(interval_);
  if (hurries_) [[unlikely]]
    transfers = 0;
  if (simulated_) [[unlikely]]
    begin_simulated_turn();
  count.resumed.add();
  std::coroutine_handle<>::from_address(frame).resume();
}

void worker::run() noexcept {
  set_current_worker(this);
  if (!simulated_) os::count_contention(&waits);
  thread_number.store(os::thread_number(), std::memory_order_relaxed);  // relaxed: for dumps
  begin_measure();
  fetch_forks();
  for (;;) {
    if (is_replaced()) [[unlikely]]
      home_->end_takeover(*this);
    if (home_->frozen()) [[unlikely]]
      home_->rest_for_good(true);
    if (home_->has_too_many()) [[unlikely]] {
      settle();
      give_up_queues();
      if (bounced_ != nullptr) home_->inject(*std::exchange(bounced_, nullptr));
      if (home_->has_injected()) home_->wake_one();
      leave_forks();
      if (!home_->park(*this)) break;
      fetch_forks();
      begin_measure();
      // On from here, not from the top: there may still be too many, and who was woken must get one turn.
      if (home_->frozen()) [[unlikely]]
        home_->rest_for_good(true);
    }
    void* frame = next_frame();
    if (frame == nullptr) frame = search();
    if (frame == nullptr) {
      if (!home_->park(*this)) break;
      begin_measure();
      continue;
    }
    resume(frame);
  }
  os::count_contention(nullptr);
  set_current_worker(nullptr);
}

std::size_t worker::run_ready(std::size_t at_most) noexcept {
  worker* before = current_worker();
  set_current_worker(this);
  const std::uint32_t first = tick();
  while (tick() - first < at_most) {
    void* frame = next_frame();
    if (frame == nullptr) frame = search();
    if (frame == nullptr) break;
    resume(frame);
  }
  settle();
  runs(nullptr);
  set_current_worker(before);
  return tick() - first;
}

void worker::fetch_ids() noexcept {
  ids_ = home_->take_ids();
  ids_end_ = ids_ + id_block;
}

}  // namespace weft::sched

namespace weft::detail {

std::coroutine_handle<> bounce(waiter& root, void* frame) noexcept {
  auto& w = static_cast<sched::worker&>(*root.worker);
  root.frame = frame;
  w.bounce(root);
  return std::noop_coroutine();
}

std::coroutine_handle<> switch_away(worker_face* worker) noexcept {
  return static_cast<sched::worker*>(worker)->take_next();
}

}  // namespace weft::detail
