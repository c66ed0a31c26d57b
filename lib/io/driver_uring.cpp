// The driver over io_uring: one ring for the runtime, in which each descriptor has one poll request, for both
// directions, that completes at each change (multishot, edge-triggered) until it is cancelled.
//
// Requests collect in the queue while nobody sleeps in the ring, and are submitted by who next does, in the
// same system call; while somebody does, by who makes them.
//   watcher   under the lock: Q1 queue; Q2 asleep? submit
//   sleeper   under the lock: Q3 asleep = true; then submit all and sleep
// Guarantee: Q2 sees Q3, or Q3's submit takes what Q1 queued.
//
// Completions are taken by one thread at a time, who holds taking_.  The sleeper holds it while it sleeps;
// who finds it held goes away, for a completion ends that sleep, and stays in the ring until it is taken.
//
// Interrupting the sleep
//   interrupter   I1 publish; I2 exchange(raised, true): was false? I3 queue a request that does nothing, and
//                 submit
//   sleeper       I4 holds taking_; raised? do not sleep; else sleep; I5 exchange(raised, false); I6 look
// Guarantee: I6 sees I1, or I2 comes after I5, and the next I4 sees it.  I3's completion is taken by nobody
//            else while the sleeper sleeps, and if it was taken before, I4 sees I2.  So none but the sleeper
//            may write `raised` back.  Model-checked in test/model/turn_model_test.cpp.
//
// Whose are the requests?  The kernel runs the last part of each on the thread that submitted it, wherever
// that is by then: it is interrupted for it, and a call it sleeps in may give EINTR (epoll_wait and few
// others).  What is left when that thread ends is cancelled at its next event, and requested again here.
//
// A request holds the file open.  It is cancelled before the number is closed, and ends where it runs: on
// this thread before the cancel has returned, on another some microseconds later.  Who closes waits for that,
// or a port would be taken for a moment longer, and a peer not see the end.  Not for long: that thread may
// wait for a processor or sleep in the disk, and who waits here keeps all others from their completions.
//
// Source: io_uring_enter(2), io_uring_prep_multishot_poll(3).
// Rejected: SINGLE_ISSUER, DEFER_TASKRUN (only one thread could ever see completions); POLL_REMOVE (it fails
//           while the request runs); an eventfd to interrupt (a request would watch it, and run on some other
//           thread first); letting the poller submit alone (a wake for each connection).

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <sys/epoll.h>

#include "base/fatal.hpp"
#include "core/context.hpp"
#include "io/reactor.hpp"
#include "io/ring.hpp"
#include "io/turn.hpp"
#include "os/forked.hpp"
#include "os/lock.hpp"

namespace weft::io {

namespace {

/// Between two submits.
constexpr unsigned most_requests = 256;

/// Taken at a time.
constexpr unsigned batch = 256;

/// Who closes waits for the system to let go of the file, which it does on the thread that made the request:
/// that one may have to wait for a processor, and sleeps seldom where nothing wakes it.
constexpr os::nanos longest_settling = 20'000'000;

/// Those that are about no descriptor.
constexpr std::uint64_t nothing = 0;

class uring_driver final : public reactor {
 public:
  explicit uring_driver(sched::scheduler& home)
      : reactor(home),
        ring_(most_requests, home.how().workers == 1 ? completes::on_entry : completes::at_once,
              {IORING_OP_NOP, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL}),
        asleep_(home.how().manual) {}

  bool wait(os::nanos deadline) noexcept override {
    taking_.take(home().port());
    const int error = sleep(deadline);
    found_ = take(found_at_.data());
    taking_.give_back(home().port());
    return found_ == 0 && error != ETIME;
  }

  void deliver() noexcept override {
    hand_out(found_at_.data(), found_);
    found_ = 0;
  }

  void interrupt() noexcept override {
    if (os::forked()) return;  // the ring is the parent's, and not mapped
    if (raised_.exchange(true, std::memory_order_seq_cst)) return;  // I2, pairs with I5
    io_uring_sqe bell{};
    bell.opcode = IORING_OP_NOP;
    bell.user_data = nothing;
    const os::guard hold(requesting_);
    queue(bell);  // I3
    submit_all();
  }

  void poll() noexcept override {
    if (os::forked()) return;
    if (ring_.pending() != 0) {
      const os::guard hold(requesting_);
      submit_all();
    }
    if (ring_.hides_completions()) ring_.show_completions();
    if (!ring_.has_completions() || !taking_.try_take()) return;
    std::array<completion, batch> all;
    static_cast<void>(watches());  // D3, pairs with D1: sleep() has requesting_ for that
    const unsigned n = take(all.data());
    taking_.give_back(home().port());
    hand_out(all.data(), n);
  }

  int handle() const noexcept override { return ring_.number(); }

  identity tell() const noexcept override { return {reactor_in_use::io_uring, 0}; }

  void end() noexcept override {
    reactor::end();
    std::array<completion, batch> all;
    for (bool more = true; more;) {
      unsigned n = 0;
      taking_.take(home().port());
      more = requests_.load(std::memory_order_relaxed) != 0;  // relaxed: falls where this holds the turn
      if (more) {
        sleep(os::never);
        n = take(all.data());
      }
      taking_.give_back(home().port());
      hand_out(all.data(), n);
    }
  }

 private:
  int begin_watch(descriptor& d, int fd) noexcept override {
    os::refuse_in_child();
    io_uring_sqe r{};
    r.opcode = IORING_OP_POLL_ADD;
    r.fd = fd;
    r.len = IORING_POLL_ADD_MULTI;
    r.poll32_events = in_order(wanted_of_poll);
    r.user_data = ticket_of(d);
    d.request.store(r.user_data, std::memory_order_relaxed);  // relaxed: under the lock
    requests_.fetch_add(1, std::memory_order_relaxed);  // relaxed: end() comes after the descriptor's lock
    const os::guard hold(requesting_);
    queue(r);
    if (asleep_) submit_all();  // Q2
    return 0;
  }

  void end_watch(descriptor& d, int) noexcept override {
    if (os::forked()) return;
    io_uring_sqe r{};
    r.opcode = IORING_OP_ASYNC_CANCEL;
    r.flags = IOSQE_CQE_SKIP_SUCCESS;
    r.addr = ticket_of(d);
    r.user_data = nothing;
    const os::guard hold(requesting_);
    queue(r);
    submit_all();
  }

  // --- requests: under requesting_ ---

  void queue(const io_uring_sqe& request) noexcept {
    while (!ring_.push(request)) submit_all();
  }

  void submit_all() noexcept {
    while (const unsigned n = ring_.pending()) check(ring_.submit(n));
  }

  /// What has no memory for now is asked again.
  static void check(int error) noexcept {
    if (error == 0 || error == EINTR || error == ETIME) return;
    if (error != EAGAIN && error != EBUSY && error != ENOMEM)
      base::broken("io_uring_enter has worked before and fails now");
    os::give_way();
  }

  // --- completions ---

  /// Under taking_, as what follows.
  int sleep(os::nanos deadline) noexcept {
    unsigned requests;
    {
      const os::guard hold(requesting_);
      asleep_ = true;  // Q3
      requests = ring_.pending();
    }
    int error = 0;
    if (!raised_.load(std::memory_order_seq_cst) && !ring_.has_completions()) {  // I4, pairs with I2
      error = ring_.submit_and_wait(requests, 1, left_until(deadline));
    } else if (requests != 0) {
      error = ring_.submit(requests);
    }
    check(error);
    raised_.exchange(false, std::memory_order_seq_cst);  // I5, pairs with I2
    const os::guard hold(requesting_);
    asleep_ = home().how().manual;
    return error;
  }

  unsigned take(completion* to) noexcept {
    const unsigned n = ring_.take(to, batch);
    for (const completion* each = to; each != to + n; ++each) {
      if (each->about == nothing || is_more_to_come(*each)) continue;
      std::uint64_t its = each->about;
      record_of(its).request.compare_exchange_strong(its, 0, std::memory_order_release);  // R1, pairs with A1
      requests_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: read by who has the turn
    }
    return n;
  }

  /// The kernel lets go of the file right after it has told of the end, under a lock that a submit takes.
  void settle(descriptor& d) noexcept override {
    if (os::forked()) return;
    const std::uint64_t ticket = ticket_of(d);
    const auto has_ended = [&] {
      return d.request.load(std::memory_order_acquire) != ticket;  // A1, pairs with R1
    };
    const os::nanos until = home().port().now() + longest_settling;
    if (taking_.take_unless(home().port(), has_ended, until)) {
      if (!has_ended()) await_last(ticket, until);
      taking_.give_back(home().port());
    }
    io_uring_sqe r{};
    r.opcode = IORING_OP_NOP;
    r.flags = IOSQE_CQE_SKIP_SUCCESS;
    const os::guard hold(requesting_);
    queue(r);
    submit_all();
  }

  /// Takes none, for what others are about would have to be handed out here.
  void await_last(std::uint64_t ticket, os::nanos deadline) noexcept {
    const auto is_last = [=](const completion& c) { return c.about == ticket && !is_more_to_come(c); };
    unsigned seen = 0;
    int error = 0;
    while (!ring_.has(is_last, seen) && ring_.has_room(seen) && error != ETIME)
      check(error = ring_.submit_and_wait(0, seen + 1, left_until(deadline)));
  }

  os::nanos left_until(os::nanos deadline) const noexcept {
    return deadline == os::never ? os::never : std::max<os::nanos>(deadline - home().port().now(), 0);
  }

  static void hand_out(const completion* all, unsigned n) noexcept {
    core::winners won;
    for (const completion* each = all; each != all + n; ++each) {
      if (each->about == nothing) continue;
      if (each->result > 0) note_event(each->about, what_polled(static_cast<unsigned>(each->result)), won);
      if (is_more_to_come(*each)) continue;
      const bool was_cancelled = each->result == -ECANCELED;  // or ended with the thread that made it
      request_ended(each->about, each->result < 0 && !was_cancelled ? -each->result : 0, won);
    }
    won.deliver_all();
  }

  static bool is_more_to_come(const completion& c) noexcept { return (c.flags & IORING_CQE_F_MORE) != 0; }

  /// The two halves change places on big-endian machines.
  static std::uint32_t in_order(std::uint32_t events) noexcept {
    return std::endian::native == std::endian::big ? events << 16 | events >> 16 : events;
  }

  ring ring_;
  std::uint32_t requesting_ = 0;
  bool asleep_;  // under requesting_: somebody is, or will not be
  turn taking_;
  std::atomic<bool> raised_{false};
  std::atomic<std::size_t> requests_{0};    // whose end has not been taken
  std::array<completion, batch> found_at_;  // the poller's, from wait() to deliver()
  unsigned found_ = 0;
};

}  // namespace

std::unique_ptr<reactor> make_uring_driver(sched::scheduler& home) {
  os::may_fail();
  return std::make_unique<uring_driver>(home);
}

}  // namespace weft::io
