// io_wait: tries a call, waits for the descriptor, tries again.  The protocol is in descriptor.hpp.

#include <weft/detail/deadline.hpp>
#include <weft/detail/io_wait.hpp>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/fatal.hpp"
#include "core/context.hpp"
#include "core/park.hpp"
#include "core/second_look.hpp"
#include "io/descriptor.hpp"
#include "io/io_steps.hpp"
#include "io/reactor.hpp"
#include "os/lock.hpp"

namespace weft::detail {

using namespace core;
using namespace io;

namespace {

io_direction way_of(io_call call) noexcept {
  switch (call) {
    case io_call::read:
    case io_call::receive:
    case io_call::receive_tcp:
    case io_call::scatter:
    case io_call::accept:
    case io_call::message:
    case io_call::take_fd:
    case io_call::ended:
    case io_call::none:
      return to_read;
    default:
      return to_write;
  }
}

const char* name_of(io_call call) noexcept {
  switch (call) {
    case io_call::read:
    case io_call::receive:
    case io_call::receive_tcp:
    case io_call::scatter:
    case io_call::message:
    case io_call::take_fd:
      return "weft: read";
    case io_call::accept:
      return "weft: accept";
    case io_call::connect:
      return "weft: connect";
    case io_call::ended:
      return "weft: wait for a process";
    case io_call::none:
    case io_call::none_out:
      return "weft: wait for a descriptor";
    default:
      return "weft: write";
  }
}

/// Less than was asked for says that there is no more, for now.  Not so of terminals, which give line after
/// line, nor of local sockets, which stop where a descriptor was passed.
bool says_by_size(io_call call) noexcept {
  return call == io_call::receive_tcp;
}

/// Of an operation that goes on until all is done, before those that are ready have their turn, and it asks
/// whether it is cancelled: over loopback a peer may keep pace with it for ever.
constexpr int calls_in_turn = 16;

bool moves_bytes(io_call call) noexcept {
  return call <= io_call::scatter;
}

/// Its limit has passed: it cannot wait for the poller, and what is there beats a limit.
bool is_out_of_time(const waiter& w) noexcept {
  const std::int64_t limit = deadline_of(w);
  return limit != no_deadline && limit <= clock_now();
}

}  // namespace

/// Everything here is called by the waiter alone, or by who has claimed it.
struct io_steps {
  /// True: it is over.
  static bool over(io_wait& op, std::int64_t result, bool drained = false) noexcept {
    op.result_ = result;
    op.how_ = wait_end::done;
    let_go(op, drained);
    return true;
  }

  static void let_go(io_wait& op, bool drained) noexcept {
    if (std::exchange(op.holds_, false)) end_use(*op.on_, way_of(op.call_), op.seen_, drained);
  }

  /// What O3 is to compare with.
  static void note_seen(io_wait& op, side_view now) noexcept { op.seen_ = now; }

  /// O2, O3.  False: the descriptor is not ready, or it is others' turn.
  static bool try_it(io_wait& op) noexcept {
    for (int calls = 0;; ++calls) {
      if (calls == calls_in_turn) {
        op.gives_way_ = true;
        return false;
      }
      if (is_closed(*op.on_)) return over(op, -ECANCELED);
      const int fd = op.on_->fd.load(std::memory_order_relaxed);  // relaxed: this is a user, so it stays
      const std::int64_t n = attempt({op.call_, fd, op.data_, op.size_, op.done_, op.was_tried_});
      op.was_tried_ = true;
      if (n == not_ready) {
        if (note_drained(*op.on_, way_of(op.call_), op.seen_)) return false;
        continue;
      }
      const auto bytes = static_cast<std::size_t>(n);
      if (n < 0 || !op.whole_) return over(op, n, n > 0 && says_by_size(op.call_) && bytes < op.size_);
      op.done_ += bytes;
      if (n == 0 || op.done_ >= op.total_) return over(op, static_cast<std::int64_t>(op.done_));
    }
  }

  enum class queued { waits, ready, over, unwatched, ended };

  /// O4.  `by` watches the descriptor if nobody does whom `w` may rely on.
  static queued queue_up(io_wait& op, waiter& w, reactor* by, winners& won) noexcept {
    descriptor& d = *op.on_;
    io_side& side = d.sides[way_of(op.call_)];
    const os::guard hold(d.lock);
    if (is_closed(d)) return fail(op, ECANCELED);
    if (std::exchange(op.gives_way_, false) &&
        side.word.is_ready(side.word.look())) {  // as if it became so just now
      const queued how = begin(op, w, side);
      if (how == queued::waits) claim_all(side, won);
      return how;
    }
    reactor* watcher = watcher_of(d);
    if (watcher == nullptr && d.refused != 0) return fail(op, std::exchange(d.refused, 0));
    if (watcher == nullptr || (watcher != by && watcher->is_anothers_host(w))) {
      if (by == nullptr) return queued::unwatched;
      if (watcher != nullptr) lose_watch(d, won);
      if (const int error = by->add(d)) return error == ECANCELED ? queued::ended : fail(op, error);
      side.word.note_unready();  // it has just been tried; whatever has changed since is the first event
      watcher = by;
    }
    if (side.word.is_ready(side.word.look())) return queued::ready;
    const bool attended = watcher->is_attended_by(w);
    const queued how = begin(op, w, side);
    if (how == queued::waits && !attended) watcher->watch_began();  // under the lock, which keeps it
    return how;
  }

  static queued begin(io_wait& op, waiter& w, io_side& side) noexcept {
    const wait_reason why = way_of(op.call_) == to_read ? wait_reason::readable : wait_reason::writable;
    if (!begin_waiting(w, why, &op)) {
      op.how_ = wait_end::cancelled;
      return queued::over;
    }
    append(side.queue, w.node);
    return queued::waits;
  }

  static void deliver_in_turn(winners& won) noexcept {
    for (waiter* r = won.take_routines(); r != nullptr;) {
      waiter* const next = r->next;
      sched::scheduler::wake_in_turn(*r);
      r = next;
    }
  }

  static queued fail(io_wait& op, int error) noexcept {
    op.result_ = -error;
    op.how_ = wait_end::done;
    return queued::over;
  }

  /// True: it waits, and may be over already.
  static bool wait(io_wait& op, waiter& w) noexcept {
    reactor* by = nullptr;
    int error = 0;
    for (;;) {
      winners won;
      const queued how = queue_up(op, w, by, won);
      deliver_in_turn(won);  // itself, too, if it waits: then it may be gone
      switch (how) {
        case queued::waits:
          return true;
        case queued::ready:
          if (try_it(op)) return false;
          break;
        case queued::unwatched:
          by = reactor_for(w, op.kept_, error);
          if (by != nullptr) break;
          fail(op, error);
          let_go(op, false);
          return false;
        case queued::ended:
          by = op.kept_ != nullptr ? reactor_of_threads(error) : nullptr;
          if (by != nullptr) break;
          fail(op, op.kept_ != nullptr ? error : ECANCELED);
          [[fallthrough]];
        case queued::over:
          let_go(op, false);
          return false;
      }
    }
  }

  /// The second look of a routine, or of a coroutine of a foreign type, which is counted anew if it waits on.
  static bool look(io_wait& op, waiter& w) noexcept {
    if (try_it(op)) return true;
    if (w.kind() != waiter_kind::foreign) return !wait(op, w);
    auto& p = static_cast<foreign_party&>(w);
    sched::scheduler& home = *p.home;
    home.wait_on(p);
    if (wait(op, w)) return false;
    home.go_on(p);
    return true;
  }
};

bool io_wait::ready(waiter& w) noexcept {
  os::step();
  if (holds_) [[unlikely]]
    misuse_awaited_twice();
  result_ = 0;
  done_ = 0;
  was_tried_ = gives_way_ = false;
  how_ = wait_end::pending;
  if (is_cancelled_untried(w)) return how_ = wait_end::cancelled, true;
  if (on_ == nullptr) return io_steps::over(*this, absent_);
  if (total_ == 0 && moves_bytes(call_)) return io_steps::over(*this, 0);  // the system would wait for some
  if (!on_->uses.begin()) return io_steps::over(*this, -EBADF);
  holds_ = true;
  seen_ = on_->sides[way_of(call_)].word.look();
  const bool worth_trying = side_word<>::is_ready(seen_) || is_out_of_time(w);
  if (!worth_trying || !io_steps::try_it(*this)) return false;
  return may_go_on(w);
}

bool io_wait::park(waiter& w) noexcept {
  return how_ != wait_end::pending ? park_done(w) : io_steps::wait(*this, w);
}

void io_wait::give_up() noexcept {
  io_steps::let_go(*this, false);
}

bool io_wait::again(waiter& w) noexcept {
  if (how_ != wait_end::pending || word_of(w).winner() != 0) return false;
  word_of(w).end();
  return !io_steps::try_it(*this);
}

std::int64_t io_wait::end_quietly(waiter& w) {
  if (how_ == wait_end::pending) {  // it was cancelled while it waited
    {
      const os::guard hold(on_->lock);
      if (w.node.linked) remove(on_->sides[way_of(call_)].queue, w.node);
    }
    how_ = wait_end::cancelled;
  }
  word_of(w).end();
  io_steps::let_go(*this, false);
  if (kept_ != nullptr) std::exchange(kept_, nullptr)->drop();
  if (how_ == wait_end::cancelled) throw_wait_end(how_, w);
  return result_;
}

std::int64_t io_wait::end(waiter& w) {
  const std::int64_t n = end_quietly(w);
  if (n < 0) throw std::system_error(static_cast<int>(-n), std::system_category(), name_of(call_));
  return n;
}

int io_wait::number() const noexcept {
  return on_ == nullptr ? -1 : number_of(*on_);
}

}  // namespace weft::detail

namespace weft::io {

void misuse_awaited_twice() noexcept {
  base::misuse(
      "one operation on a descriptor is awaited twice at the same time; make one for each wait, as "
      "`co_await stream.read_some(buffer)` does");
}

void look_again_first(detail::waiter& w, side_view now) noexcept {
  auto& op = *static_cast<detail::io_wait*>(w.node.op);
  detail::io_steps::note_seen(op, now);
  core::look_first<detail::io_wait, &detail::io_steps::look>(op, w);
}

}  // namespace weft::io
