// resolve: getaddrinfo() on the blocking pool.
//
// It cannot be stopped, so what it works on is neither the routine's nor the operation's, but a state on the
// heap with two owners: the operation, until its wait has ended, and the pool's job, until the call has
// returned.  The wait is one for an event of the state; so cancelling it is like cancelling any other.

#include <weft/io/resolve.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "core/context.hpp"
#include "core/global.hpp"
#include "core/park.hpp"
#include "io/system.hpp"
#include "os/port.hpp"
#include "sched/blocking_pool.hpp"
#include "sched/current.hpp"
#include "sched/scheduler.hpp"

namespace weft {

namespace {

class gai_category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "resolver"; }

  std::string message(int error) const override { return ::gai_strerror(error); }
};

}  // namespace

const std::error_category& resolver_category() noexcept {
  static const gai_category one;
  return one;
}

endpoint_list::~endpoint_list() {
  delete[] first_;
}

namespace detail {

namespace {

bool read_port(std::string_view service, std::uint16_t& to) noexcept {
  const char* const end = service.data() + service.size();
  const auto [last, wrong] = std::from_chars(service.data(), end, to);
  return wrong == std::errc() && last == end;
}

/// getaddrinfo() takes a number in any form, and what is beyond a port's bits away.
bool is_wrong_port(std::string_view service) noexcept {
  std::uint16_t port = 0;
  const bool is_name = service.find_first_not_of("0123456789+- \t\n\v\f\r") != std::string_view::npos;
  return !is_name && !service.empty() && !read_port(service, port);
}

}  // namespace

using namespace core;

struct resolution : sched::blocking_job {
  // Written before `over` is set, by whoever asks; read after that.
  endpoint_list found;
  int error = 0;         // of resolver_category()
  int system_error = 0;  // EAI_SYSTEM, and ours
  std::exception_ptr refused;

  std::string host;
  std::string service;
  event over;
  event_wait_op wait{over};
  sched::blocking_pool* pool = nullptr;
  sched::scheduler* kept = nullptr;  // the pool's, of a thread without a runtime
  foreign_party counted{};           // the drain of the runtime waits for the call, and so has a limit
  std::atomic<int> owners{1};

  resolution(const own_text& h, const own_text& s) : host(h.text()), service(s.text()) {
    kind = &job;
    if (h.has_zero() || s.has_zero()) end_with(EINVAL);
  }

  void end_with(int system) noexcept {
    system_error = system;
    over.set();
  }

  /// True: neither the pool nor the network is needed.
  bool ask_at_once() noexcept {
    if (!(io::simulated() == nullptr ? ask(numbers) : ask_simulated(true))) return false;
    over.set();
    return true;
  }

  /// False: these flags are in the way.
  bool ask(int flags) noexcept {
    if (is_wrong_port(service)) return error = EAI_SERVICE, true;
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;  // one of each address, not three
    hints.ai_flags = flags;
    addrinfo* all = nullptr;
    const char* const name = host.empty() ? nullptr : host.c_str();
    const char* const port = service.empty() ? "0" : service.c_str();
    errno = 0;
    error = ::getaddrinfo(name, port, &hints, &all);
    if (flags != 0 && error != 0) return error = 0, false;
    // Without a number for its files the C library does not know the service, it says.
    if (error == EAI_SYSTEM || (error != 0 && (errno == EMFILE || errno == ENFILE))) {
      system_error = errno;
    } else if (error == 0) {
      const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(all, ::freeaddrinfo);
      keep(all);
    }
    return true;
  }

  /// There is one host, and services are numbers.  False: not at once.
  bool ask_simulated(bool at_once) noexcept {
    const bool is_localhost = host == "localhost";
    if (is_localhost && at_once) return false;
    if (!is_localhost && !host.empty()) {
      if (ask(numbers)) return true;
      error = at_once ? 0 : EAI_NONAME;
      return !at_once;
    }
    std::uint16_t port = 0;
    if (!service.empty() && !read_port(service, port)) return error = EAI_SERVICE, true;
    if (make_room(2)) {
      found.first_[0] = ip_endpoint::loopback_v6(port);
      found.first_[1] = ip_endpoint::loopback(port);
      found.size_ = 2;
    }
    return true;
  }

  void submit_for(waiter& w) noexcept {
    party = &w;  // looked at while the job is queued, and leave() takes it off
    try {
      sched::scheduler* home = w.worker != nullptr ? &worker_of(w).home() : sched::scheduler::here();
      if (home == nullptr) home = kept = &hold_global();
      pool = &home->pool();
      owners.fetch_add(1, std::memory_order_relaxed);  // relaxed: the job is published by the pool's lock
      home->enter(counted);
      counted.at = foreign_stage::call;
      counted.frame = host.data();
      home->list(counted);
      pool->submit(*this, &always);
    } catch (...) {
      if (pool != nullptr) leave_pool();
      pool = nullptr;
      refused = std::current_exception();
      over.set();
    }
  }

  /// The operation's wait has ended.  If the job has not begun it never will.
  void leave() noexcept {
    if (pool != nullptr && pool->take_back(*this)) leave_pool();
    if (kept != nullptr) std::exchange(kept, nullptr)->drop();
    drop();
  }

  /// After this line *this may be gone.
  void leave_pool() noexcept {
    counted.home->unlist(counted);
    counted.home->leave(counted);
    drop();
  }

  void drop() noexcept {
    if (owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;  // D1, pairs with itself
  }

 private:
  static constexpr int numbers = AI_NUMERICHOST | AI_NUMERICSERV;

  static bool always(sched::blocking_job&) noexcept { return true; }

  static waiter* run_job(sched::blocking_job& j) noexcept {
    auto& self = static_cast<resolution&>(j);
    if (io::simulated() == nullptr) {
      self.ask(0);
    } else {
      self.ask_simulated(false);
    }
    self.over.set();
    self.leave_pool();
    return nullptr;
  }

  static void refuse_job(sched::blocking_job& j, const std::exception_ptr& why) noexcept {
    auto& self = static_cast<resolution&>(j);
    self.refused = why;
    self.over.set();
    self.leave_pool();
  }

  static constexpr sched::job_kind job{&always, &run_job, &refuse_job, true};

  void keep(const addrinfo* all) noexcept {
    std::size_t n = 0;
    for (const addrinfo* each = all; each != nullptr; each = each->ai_next) n += is_ip(*each) ? 1U : 0U;
    if (!make_room(n)) return;
    for (const addrinfo* each = all; each != nullptr; each = each->ai_next) {
      if (is_ip(*each))
        found.first_[found.size_++] = ip_endpoint::from_native(each->ai_addr, each->ai_addrlen);
    }
    if (n == 0) error = EAI_NONAME;
  }

  bool make_room(std::size_t n) noexcept {
    found.first_ = new (std::nothrow) ip_endpoint[n];
    if (found.first_ == nullptr) system_error = ENOMEM;
    return found.first_ != nullptr;
  }

  static bool is_ip(const addrinfo& a) noexcept { return a.ai_family == AF_INET || a.ai_family == AF_INET6; }
};

}  // namespace detail

resolve_op::resolve_op(std::string_view host, std::uint16_t port)
    : host_(host), service_(std::to_string(port)) {}

bool resolve_op::ready(detail::waiter& w) noexcept {
  try {
    os::may_fail();
    state_ = new detail::resolution(host_, service_);
  } catch (const std::bad_alloc&) {
    state_ = nullptr;
    return true;
  }
  if (!core::is_cancelled(w) && !state_->over.is_set()) (void)state_->ask_at_once();
  return state_->wait.ready(w);
}

bool resolve_op::park(detail::waiter& w) noexcept {
  detail::resolution& state = *state_;
  if (!state.over.is_set()) state.submit_for(w);
  return state.wait.park(w);
}

void resolve_op::give_up() noexcept {
  std::exchange(state_, nullptr)->leave();
}

endpoint_list resolve_op::finish(detail::waiter& w) {
  if (state_ == nullptr) {
    core::word_of(w).end();
    throw std::bad_alloc();
  }

  struct leaving {
    detail::resolution* state;

    ~leaving() { state->leave(); }
  } const at_end{std::exchange(state_, nullptr)};

  detail::resolution& state = *at_end.state;
  state.wait.finish(w);
  if (state.refused) std::rethrow_exception(state.refused);
  if (state.system_error != 0)
    throw std::system_error(state.system_error, std::system_category(), "weft: resolve");
  if (state.error != 0)
    throw std::system_error(state.error, resolver_category(), "weft: resolve " + state.host);
  return std::move(state.found);
}

}  // namespace weft
