// file_call: where the system call of an operation on files is made.
//
// 1. Here, if the system can do it at once (perform_at_once); 2. here, announced, if the waiter is a thread,
// which may block; 3. else on the blocking pool: for the host of runtimes in manual mode, too, who drives
// them meanwhile.

#include <weft/detail/file_call.hpp>
#include <weft/io/file.hpp>

#include <cerrno>
#include <cstdint>
#include <exception>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "core/context.hpp"
#include "core/park.hpp"
#include "io/descriptor.hpp"
#include "io/file_system.hpp"
#include "io/io_steps.hpp"
#include "io/reactor.hpp"
#include "io/system.hpp"
#include "os/lock.hpp"
#include "os/port.hpp"
#include "sched/current.hpp"
#include "sched/hosting.hpp"

namespace weft::detail {

using namespace core;
using namespace io;

namespace {

/// The system's are signed, and -1 is the file's own position.
constexpr std::uint64_t most_offset = INT64_MAX;

const char* name_of(file_action action) noexcept {
  switch (action) {
    case file_action::read:
    case file_action::scatter:
      return "weft: read";
    case file_action::write:
    case file_action::gather:
      return "weft: write";
    case file_action::append:
      return "weft: append";
    case file_action::sync:
    case file_action::sync_data:
      return "weft: sync";
    case file_action::truncate:
      return "weft: truncate";
    case file_action::examine:
    case file_action::examine_path:
    case file_action::examine_link:
      return "weft: metadata";
    case file_action::close:
      return "weft: close";
    case file_action::open:
      return "weft: open";
    case file_action::remove_file:
      return "weft: remove_file";
    case file_action::remove_directory:
      return "weft: remove_directory";
    case file_action::rename:
      return "weft: rename_file";
    case file_action::make_directory:
      return "weft: make_directory";
    case file_action::list:
      return "weft: list_directory";
    case file_action::read_whole:
      return "weft: read_file";
    case file_action::write_whole:
    case file_action::replace_whole:
      return "weft: write_file";
  }
  return "weft: file";
}

bool is_of_path(file_action action) noexcept {
  return action >= file_action::open;
}

/// May raise SIGPIPE, if what is written to is a pipe.  Weft's own threads have that blocked.
bool wants_own_thread(file_action action) noexcept {
  const bool may_raise = action == file_action::append || action == file_action::write_whole ||
                         action == file_action::replace_whole;
  return may_raise && !is_own_thread();
}

/// The number goes back to the system now, or with the last operation that is under way besides this one.
std::int64_t close_now(descriptor& d) noexcept {
  if (!d.uses.close()) return 0;
  const int fd = d.uses.is_only(2) ? take_number(d, given_back) : no_number;
  const std::int64_t result = fd >= 0 && sys::close(fd) != 0 && errno != EINTR ? -errno : 0;
  end_use(d, to_read, 0, false);
  return result;
}

}  // namespace

struct file_steps {
  static bool over(file_call& op, std::int64_t result) noexcept {
    op.result_ = result;
    op.how_ = wait_end::done;
    let_go(op);
    return true;
  }

  /// Counts it as a user of the file, which stays open so long.  Below zero: the error.
  static std::int64_t take_hold(file_call& op) noexcept {
    file_request& r = op.request_;
    if (is_of_path(r.action)) {
      if (op.path_.has_zero() || op.second_path_.has_zero()) return -EINVAL;
      r.path = op.path_.text();
      r.second_path = op.second_path_.text();
      return 0;
    }
    if (op.on_ == nullptr) return -EBADF;
    op.holds_ = op.on_->uses.begin();
    if (!op.holds_) return r.action == file_action::close ? 0 : -EBADF;  // closing is idempotent
    r.fd = op.on_->fd.load(std::memory_order_relaxed);  // relaxed: this is a user, so it stays
    return r.offset <= most_offset ? 0 : -EINVAL;
  }

  static void let_go(file_call& op) noexcept {
    if (std::exchange(op.holds_, false)) end_use(*op.on_, to_read, 0, false);
  }

  static void make_call(file_call& op) noexcept {
    if (op.request_.action != file_action::close) {
      op.result_ = perform(op.request_);
    } else {
      op.result_ = op.holds_ ? close_now(*op.on_) : 0;
    }
  }

  static void call_on_pool(pool_call& c) noexcept { make_call(*static_cast<file_call::own_call&>(c).owner); }

  /// False: no thread can be had to take over this one's duties.
  static bool call_here(file_call& op) noexcept {
    void* token = nullptr;
    try {
      token = begin_blocking();
    } catch (const std::exception&) {
      return false;
    }
    make_call(op);
    end_blocking(token);
    return over(op, op.result_);
  }

  [[noreturn]] static void fail(const file_call& op) {
    if (op.result_ == no_memory) throw std::bad_alloc();
    const file_request& r = op.request_;
    std::string what = name_of(r.action);
    if (is_of_path(r.action)) what.append(" ").append(op.path_.text());
    if (r.action == file_action::rename) what.append(" to ").append(op.second_path_.text());
    throw std::system_error(static_cast<int>(-op.result_), std::system_category(), what);
  }
};

bool file_call::ready(waiter& w) noexcept {
  os::step();
  if (holds_ || is_at_pool_) [[unlikely]]
    misuse_awaited_twice();
  how_ = wait_end::pending;
  request_.done = 0;
  if (is_cancelled(w)) return how_ = wait_end::cancelled, true;
  if (const std::int64_t error = file_steps::take_hold(*this)) return file_steps::over(*this, error);
  if (may_be_at_once(request_)) {
    const std::int64_t n = perform_at_once(request_);
    if (n != -EAGAIN) return file_steps::over(*this, n), may_go_on(w);
  }
  return w.kind() == waiter_kind::thread && !sched::is_host() && !wants_own_thread(request_.action) &&
         file_steps::call_here(*this);
}

bool file_call::park(waiter& w) noexcept {
  if (how_ != wait_end::pending) return park_done(w);
  is_at_pool_ = true;
  call_.owner = this;
  call_.call = &file_steps::call_on_pool;
  call_.how = wait_end::pending;
  return pool_call_park(call_, w);  // after this line *this may be gone
}

void file_call::give_up() noexcept {
  file_steps::let_go(*this);
}

std::int64_t file_call::end(waiter& w) {
  struct release {
    file_call* op;

    ~release() { file_steps::let_go(*op); }
  } const at_end{this};

  if (std::exchange(is_at_pool_, false)) {
    pool_call_finish(call_, w);
  } else {
    word_of(w).end();
    if (how_ == wait_end::cancelled) throw_wait_end(how_, w);
  }
  if (result_ < 0) file_steps::fail(*this);
  return result_;
}

}  // namespace weft::detail

namespace weft {

namespace {

constexpr bool has(open_flags flags, open_flags one) noexcept {
  return (static_cast<unsigned>(flags) & static_cast<unsigned>(one)) != 0;
}

/// -1: what contradicts itself.
int system_flags(open_flags how) noexcept {
  const bool writes = has(how, open_flags::write | open_flags::append);
  if (has(how, open_flags::truncate) && !writes) return -1;
  if (has(how, open_flags::exclusive) && !has(how, open_flags::create)) return -1;
  int flags = writes ? (has(how, open_flags::read) ? O_RDWR : O_WRONLY) : O_RDONLY;
  if (has(how, open_flags::append)) flags |= O_APPEND;
  if (has(how, open_flags::create)) flags |= O_CREAT;
  if (has(how, open_flags::truncate)) flags |= O_TRUNC;
  if (has(how, open_flags::exclusive)) flags |= O_EXCL;
  if (has(how, open_flags::no_follow)) flags |= O_NOFOLLOW;
  return flags;
}

}  // namespace

open_op::open_op(path_view path, open_flags how, unsigned mode)
    : file_call(detail::file_action::open, path.text()) {
  request().flags = system_flags(how);
  request().mode = mode;
}

}  // namespace weft
