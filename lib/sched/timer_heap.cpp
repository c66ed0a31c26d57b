#include "sched/timer_heap.hpp"

#include <algorithm>
#include <utility>

#include "base/fatal.hpp"
#include "os/lock.hpp"
#include "os/port.hpp"
#include "sched/current.hpp"

namespace weft::sched {

namespace {

/// Pops under one lock: 64 are some 10 us, after which others get their turn.
constexpr std::size_t batch_size = 64;

/// Zombies below which compaction is not worth the lock.
constexpr std::ptrdiff_t few_zombies = 16;

/// Cells: 48 KiB, so that a million timers cost a thousand allocations, and an idle heap keeps little.
constexpr std::size_t chunk_cells = 1024;

/// Arms ahead: a million of reused cells cost 40 ns each instead of 50-55.
constexpr std::size_t prefetch_distance = 8;

/// Pauses before cancel() sleeps: an expire() takes tens of ns unless its thread was descheduled.
constexpr int spin_limit = 100;

/// How long cancel() then sleeps at a time.  Nobody wakes it: a fired cell is its runner's no more.
constexpr os::nanos firing_poll = 20'000;

// Every cell there is, for the life of the process: zombies and late runners may look at a cell at any time.
struct chunk {
  chunk* next;
  timer_cell cells[chunk_cells];
};

struct cell_pool {
  std::uint32_t lock;
  timer_cell* free;  // from heaps that are gone
  chunk* chunks;     // keeps them reachable for LeakSanitizer
};

constinit cell_pool pool{};

struct heap_pool {
  std::uint32_t lock;
  timer_heap* free;
};

constinit heap_pool places{};

timer_cell* cells_of_pool() noexcept {
  os::guard held(pool.lock);
  timer_cell* const first = pool.free;
  if (!first) return nullptr;
  timer_cell* last = first;
  for (std::size_t count = 1; count < chunk_cells && last->next; ++count) last = last->next;
  pool.free = std::exchange(last->next, nullptr);
  return first;
}

timer_cell* cells_of_new_chunk() {
  auto* const fresh = new chunk{};
  for (std::size_t i = 0; i + 1 < chunk_cells; ++i) fresh->cells[i].next = &fresh->cells[i + 1];
  os::guard held(pool.lock);
  fresh->next = std::exchange(pool.chunks, fresh);
  return fresh->cells;
}

void put_in_pool(timer_cell* first) noexcept {
  if (!first) return;
  timer_cell* last = first;
  while (last->next) last = last->next;
  os::guard held(pool.lock);
  last->next = std::exchange(pool.free, first);
}

cell_word<> word_of(timer_cell* cell) noexcept {
  return cell_word<>(cell->state);
}

void wait_until_fired(timer_cell* cell) noexcept {
  word_of(cell).wait_until_fired([cell](int looks) {
    if (looks < spin_limit) return os::relax_cpu();
    auto& port = os::current_port();
    if (port.simulated()) return port.give_way();  // a poll would move virtual time
    port.wait(cell->state, timer_cell::firing, port.now() + firing_poll);
  });
}

}  // namespace

/// The heap's lock, for the time of a block or until unlock().
class [[nodiscard]] timer_heap::holding {
 public:
  explicit holding(timer_heap& heap) noexcept
      : lock_(&heap.lock_), me_(current_seat()), by_seat_(lock_->lock(me_)) {}

  /// Holds nothing if somebody else has it.
  static holding if_free(timer_heap& heap) noexcept { return {heap, try_to}; }

  holding(const holding&) = delete;
  holding& operator=(const holding&) = delete;

  ~holding() { unlock(); }

  explicit operator bool() const noexcept { return lock_ != nullptr; }

  void unlock() noexcept {
    if (auto* const held = std::exchange(lock_, nullptr)) held->unlock(me_, by_seat_);
  }

 private:
  enum tries { try_to };

  holding(timer_heap& heap, tries) noexcept : lock_(&heap.lock_), me_(current_seat()) {
    if (!lock_->try_lock(me_, by_seat_)) lock_ = nullptr;
  }

  os::reserved_lock* lock_;
  os::seat* me_;
  bool by_seat_ = false;
};

timer_heap::~timer_heap() {
  end();
  give_up_cells();
}

void timer_heap::end() noexcept {
  timer_cell* disarmed = nullptr;
  {
    const holding held(*this);
    ended_ = true;
    std::size_t zombies = 0;
    for (std::size_t i = 0; i < size(); ++i) {
      timer_cell* const cell = keys_[i].cell;
      if (word_of(cell).leave_armed(timer_cell::firing)) {
        cell->next = std::exchange(disarmed, cell);
      } else {
        keys_[zombies++] = keys_[i];
      }
    }
    keys_.erase(keys_.begin() + static_cast<std::ptrdiff_t>(zombies),
                keys_.begin() + static_cast<std::ptrdiff_t>(size()));
    resize(0);
    zombies_.store(0, std::memory_order_relaxed);  // relaxed: a hint for compaction
    own_zombies_ = 0;
    publish();
  }
  while (timer_cell* const cell = disarmed) {
    disarmed = cell->next;
    if (cell->fires_at_end) (void)cell->expire(cell->target);
    word_of(cell).set_fired();
  }
}

/// All are spare: no timer is armed.
void timer_heap::give_up_cells() noexcept {
  const holding held(*this);
  timer_cell* cells = nullptr;
  for (const key& spare : keys_) spare.cell->next = std::exchange(cells, spare.cell);
  std::vector<key>().swap(keys_);
  put_in_pool(cells);
  put_in_pool(std::exchange(returned_, nullptr));
  put_in_pool(given_back_.take_all());
}

void timer_heap::begin_anew() noexcept {
  const holding held(*this);
  ended_ = false;
}

timer_heap_place::timer_heap_place() {
  {
    os::guard held(places.lock);
    heap_ = places.free;
    if (heap_) places.free = std::exchange(heap_->next_place_, nullptr);
  }
  if (!heap_) {
    const os::spared_allocations kept;
    heap_ = new timer_heap;
  }
  heap_->begin_anew();
}

timer_heap_place::~timer_heap_place() {
  heap_->end();
  heap_->give_up_cells();
  os::guard held(places.lock);
  heap_->next_place_ = std::exchange(places.free, heap_);
}

timer_cell* timer_heap::arm(os::nanos when, timer_expire expire, void* target, bool fires_at_end) {
  if (when == os::never) base::broken("a timer was armed for never");
  const holding held(*this);
  if (ended_ && fires_at_end) return nullptr;
  if (has_many_zombies(own_zombies_)) compact();
  timer_cell* const cell = take_cell();
  cell->when = when;
  cell->heap = this;
  cell->expire = expire;
  cell->target = target;
  cell->fires_at_end = fires_at_end;
  word_of(cell).mark(timer_cell::armed);
  sift_up(size() - 1, {when, cell});
  publish();
  return cell;
}

bool timer_heap::cancel(timer_cell* cell) noexcept {
  timer_heap* const heap = cell->heap;
  os::seat* const me = current_seat();
  if (heap->lock_.enter(me)) {
    const bool never_fires = heap->cancel_inside(cell);
    me->leave();
    if (never_fires) return true;
  } else if (word_of(cell).leave_armed(timer_cell::cancelled)) {
    heap->count_zombie();
    return true;
  }
  wait_until_fired(cell);
  heap->give_back(cell);
  return false;
}

/// Under the lock, which is reserved for this thread: no read-modify-write.
bool timer_heap::cancel_inside(timer_cell* cell) noexcept {
  if (!word_of(cell).leave_armed_locked(timer_cell::cancelled)) return false;
  ++own_zombies_;
  if (has_many_zombies(own_zombies_)) {
    compact();
    publish();
  }
  return true;
}

std::size_t timer_heap::run_due(os::nanos now, timer_sink sink, void* context, std::size_t at_most) noexcept {
  std::size_t fired = 0;
  while (fired < at_most && min_when() <= now) {
    holding held(*this);
    fired += run_batch(held, now, sink, context, at_most - fired);
  }
  return fired;
}

std::size_t timer_heap::try_run_due(os::nanos now, timer_sink sink, void* context,
                                    std::size_t at_most) noexcept {
  std::size_t fired = 0;
  while (fired < at_most && min_when() <= now) {
    holding held = holding::if_free(*this);
    if (!held) break;
    fired += run_batch(held, now, sink, context, at_most - fired);
  }
  return fired;
}

/// Enters with the lock held and leaves without it.
std::size_t timer_heap::run_batch(holding& held, os::nanos now, timer_sink sink, void* context,
                                  std::size_t at_most) noexcept {
  timer_cell* batch[batch_size];
  weft::detail::waiter* won[batch_size];
  const std::size_t due = pop_due(now, batch, at_most);
  held.unlock();

  for (std::size_t i = 0; i < due; ++i) __builtin_prefetch(batch[i]->target, 1);

  for (std::size_t i = 0; i < due; ++i) {
    won[i] = batch[i]->expire(batch[i]->target);
    word_of(batch[i]).set_fired();  // after this line the cell is the owner's and may be another timer
  }
  for (std::size_t i = 0; i < due; ++i)
    if (won[i]) sink(context, won[i]);
  return due;
}

/// Zombies count towards the batch, so that a heap full of them does not keep the lock.
std::size_t timer_heap::pop_due(os::nanos now, timer_cell** batch, std::size_t at_most) noexcept {
  std::size_t due = 0;
  for (std::size_t popped = 0; popped < batch_size && due < at_most && size() > 0 && keys_[0].when <= now;
       ++popped) {
    timer_cell* const cell = pop();
    if (word_of(cell).leave_armed(timer_cell::firing)) {
      batch[due++] = cell;
      drop_spare();
    } else {
      uncount_zombie();
    }
  }
  if (has_many_zombies(own_zombies_)) compact();
  publish();
  return due;
}

/// Takes the top key out and leaves its cell as the first spare one.
timer_cell* timer_heap::pop() noexcept {
  const key top = keys_[0];
  resize(size() - 1);
  const key last = std::exchange(keys_[size()], top);
  if (size() > 0) sift_down(0, last);
  __builtin_prefetch(keys_[0].cell, 1);
  return top.cell;
}

/// Lets the first spare cell go: its owner will give it back.
void timer_heap::drop_spare() noexcept {
  keys_[size()] = keys_.back();
  keys_.pop_back();
}

void timer_heap::compact() noexcept {
  const auto end = keys_.begin() + static_cast<std::ptrdiff_t>(size());
  const auto dead = std::partition(keys_.begin(), end, [](const key& entry) {
    return word_of(entry.cell).look() != timer_cell::cancelled;
  });
  if (const std::ptrdiff_t others = end - dead - std::exchange(own_zombies_, 0); others != 0) {
    zombies_.fetch_sub(others, std::memory_order_relaxed);  // relaxed: a hint for compaction
  }
  resize(static_cast<std::size_t>(dead - keys_.begin()));
  for (std::size_t hole = (size() + 2) / 4; hole-- > 0;) sift_down(hole, keys_[hole]);
}

void timer_heap::uncount_zombie() noexcept {
  if (own_zombies_ != 0) {
    --own_zombies_;
  } else {
    zombies_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a hint for compaction
  }
}

bool timer_heap::has_many_zombies(std::ptrdiff_t own) const noexcept {
  const auto zombies =
      own + zombies_.load(std::memory_order_relaxed);  // relaxed: a hint, compact() looks again
  return zombies > few_zombies && zombies > static_cast<std::ptrdiff_t>(size() / 4);
}

/// The canceller compacts too: a worker that arms no more would keep its zombies until they are due.
void timer_heap::count_zombie() noexcept {
  zombies_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a hint for compaction
  if (!has_many_zombies(0)) return;
  const holding held = holding::if_free(*this);
  if (!held) return;
  compact();
  publish();
}

void timer_heap::resize(std::size_t size) noexcept {
  size_.store(size, std::memory_order_relaxed);  // relaxed: others use it as a statistic
}

void timer_heap::publish() noexcept {
  const os::nanos when = size() == 0 ? os::never : keys_[0].when;
  if (when != min_when_.load(std::memory_order_relaxed))  // relaxed: only this lock's holder writes it
    min_when_.store(when, std::memory_order_seq_cst);  // S2, pairs with S1: before the caller asks the poller
}

/// The first spare cell, its slot now the last of the heap.
timer_cell* timer_heap::take_cell() {
  if (size() == keys_.size()) add_spare_cells();
  const std::size_t slot = size();
  resize(slot + 1);
  if (slot + prefetch_distance < keys_.size()) __builtin_prefetch(keys_[slot + prefetch_distance].cell, 1);
  return keys_[slot].cell;
}

void timer_heap::add_spare_cells() {
  os::may_fail();
  const os::spared_allocations kept;
  if (keys_.capacity() - keys_.size() < chunk_cells) keys_.reserve(2 * keys_.size() + chunk_cells);
  if (!returned_) returned_ = given_back_.take_all();
  if (!returned_) returned_ = cells_of_pool();
  if (!returned_) returned_ = cells_of_new_chunk();
  for (std::size_t count = 0; count < chunk_cells && returned_; ++count)
    keys_.push_back({os::never, std::exchange(returned_, returned_->next)});
}

void timer_heap::give_back(timer_cell* cell) noexcept {
  word_of(cell).mark(timer_cell::free);
  given_back_.push(cell);
}

/// Moves a hole up from `hole` until `moving` fits in.
void timer_heap::sift_up(std::size_t hole, key moving) noexcept {
  while (hole > 0) {
    const std::size_t parent = (hole - 1) / 4;
    if (keys_[parent].when <= moving.when) break;
    keys_[hole] = keys_[parent];
    hole = parent;
  }
  keys_[hole] = moving;
}

/// Moves a hole down from `hole` until `moving` fits in.
void timer_heap::sift_down(std::size_t hole, key moving) noexcept {
  const std::size_t count = size();
  for (;;) {
    const std::size_t first = 4 * hole + 1;
    if (first >= count) break;
    // The lines of the next level, whichever child it will be: 10^6 sleepers, two workers, took 1.63 s of
    // processor time without, 1.49 with; and 1.75 without the cell of the next pop, 1.54 without targets.
    if (const std::size_t next = 4 * first + 1; next + 12 < count) {
      for (std::size_t i = 0; i < 4; ++i) __builtin_prefetch(&keys_[next + 4 * i]);
    }
    const std::size_t end = std::min(first + 4, count);
    std::size_t least = first;
    for (std::size_t child = first + 1; child < end; ++child)
      if (keys_[child].when < keys_[least].when) least = child;
    if (keys_[least].when >= moving.when) break;
    keys_[hole] = keys_[least];
    hole = least;
  }
  keys_[hole] = moving;
}

}  // namespace weft::sched
