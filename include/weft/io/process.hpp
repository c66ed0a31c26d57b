#pragma once

// process: another program, started and waited for.

#include <weft/config.hpp>
#include <weft/detail/io_wait.hpp>
#include <weft/detail/ready_watch.hpp>
#include <weft/detail/select_cases.hpp>
#include <weft/io/pipe.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weft {

/// How a process ended.
class exit_status {
 public:
  exit_status() noexcept = default;

  exit_status(std::uint8_t code, std::uint8_t signal, bool dumped) noexcept
      : code_(code), signal_(signal), dumped_(dumped) {}

  /// By itself with 0.
  bool success() const noexcept { return signal_ == 0 && code_ == 0; }

  /// By itself: the code, 0 to 255.
  std::optional<int> exited() const noexcept {
    return signal_ == 0 ? std::optional<int>(code_) : std::nullopt;
  }

  /// By a signal: its number.
  std::optional<int> signalled() const noexcept {
    return signal_ != 0 ? std::optional<int>(signal_) : std::nullopt;
  }

  bool dumped_core() const noexcept { return dumped_; }

  bool operator==(const exit_status&) const noexcept = default;

 private:
  std::uint8_t code_ = 0;
  std::uint8_t signal_ = 0;
  bool dumped_ = false;
};

/// What a process gets as its standard input, output or error.
class child_stream {
 public:
  /// The caller's.
  static child_stream inherit() noexcept { return child_stream(how::inherit, -1); }

  /// /dev/null
  static child_stream null() noexcept { return child_stream(how::null, -1); }

  /// A pipe, whose other end is the process object's.
  static child_stream pipe() noexcept { return child_stream(how::pipe, -1); }

  /// A copy of a descriptor, which stays the caller's.  Most programs want one that blocks.
  static child_stream copy_of(int fd) noexcept { return child_stream(how::copy, fd); }

 private:
  friend struct spawn_steps;

  enum class how : std::uint8_t { inherit, null, pipe, copy };

  child_stream(how h, int fd) noexcept : how_(h), fd_(fd) {}

  how how_;
  int fd_;
};

/// Everything is borrowed until spawn() returns.  No text may have a zero byte: EINVAL.
struct process_options {
  child_stream in = child_stream::inherit();
  child_stream out = child_stream::inherit();
  child_stream err = child_stream::inherit();
  std::string_view directory = {};                     ///< to start in; empty: the caller's
  std::span<const std::string_view> environment = {};  ///< "NAME=value", instead of the caller's of that name
  bool clear_environment = false;                      ///< nothing but `environment`
};

class process;

namespace detail {

struct child;

WEFT_API exit_status status_of(child& c);
WEFT_API child* child_of(const process& p) noexcept;

}  // namespace detail

/// process::wait()
class [[nodiscard("co_await it")]] process_wait_op : public detail::io_wait {
 public:
  process_wait_op(detail::descriptor * on, detail::child * c) noexcept
      : io_wait(on, detail::io_call::ended, false, nullptr, 0), child_(c) {
    if (on == nullptr && c != nullptr) end_with(0);  // its status says what became of it
  }

  process_wait_op(const process_wait_op&) = delete;
  process_wait_op& operator=(const process_wait_op&) = delete;

  exit_status finish(detail::waiter & w) {
    end(w);
    return detail::status_of(*child_);
  }

 private:
  detail::child* child_;
};

/// A process that this one has started.
///
///   weft::process p = weft::process::spawn({"grep", "-c", "x"}, {.in = weft::child_stream::pipe()});
///   co_await p.in().write_all(text);
///   p.in().close();
///   const weft::exit_status how = co_await p.wait();
///
/// Movable, but not while operations on it are under way.  It sees neither weft's descriptors nor any other
/// that is close-on-exec.
class WEFT_API process {
 public:
  /// None.
  process() noexcept = default;

  /// Starts a program: `argv[0]`, which is looked for in this process's PATH if it has no slash; a relative
  /// one with a slash begins at `directory`.  No signal is blocked for it; all have their default
  /// disposition, except that SIGHUP, SIGINT and SIGQUIT stay ignored if they are.
  ///
  /// Does not suspend: it blocks until the program is there, some 0.1 ms, and on a worker another thread
  /// takes over meanwhile.
  /// \throws std::system_error  ENOENT, EACCES: of the program or the directory; EINVAL; EMFILE, EAGAIN ...
  ///                            Nothing runs then.  One exception: other threads take the last numbers for
  ///                            descriptors while it starts; then it is killed
  /// \throws std::bad_alloc
  static process spawn(std::initializer_list<std::string_view> argv, const process_options& how = {}) {
    return spawn(std::span<const std::string_view>(argv.begin(), argv.size()), how);
  }

  static process spawn(std::span<const std::string_view> argv, const process_options& how = {});

  process(process&& other) noexcept
      : child_(std::exchange(other.child_, nullptr)),
        in_(std::move(other.in_)),
        out_(std::move(other.out_)),
        err_(std::move(other.err_)) {}

  process& operator=(process&& other) noexcept;

  /// Lets a process that still runs go on, as another program is not this one's to end: call kill() before if
  /// it is meant so.  Its pipes are closed.  No zombie remains: a thread that sleeps until such processes end
  /// takes their status, and ends when there are none.
  ~process();

  /// The process's number; 0: none.  It is no other's until its status was taken.
  [[nodiscard]] int id() const noexcept;

  /// The ends of its pipes; closed if it has none there.  Close in() for it to read the end.
  [[nodiscard]] pipe_end& in() noexcept { return in_; }

  [[nodiscard]] pipe_end& out() noexcept { return out_; }

  [[nodiscard]] pipe_end& err() noexcept { return err_; }

  /// Waits until it has ended; also several at a time, and again.  Its output may still be in the pipes.  A
  /// debugger that is attached to it learns its end first, and may keep it to itself for a while.
  /// \throws cancelled          and it runs on
  /// \throws std::system_error  EBADF: none; ECHILD: somebody else took its status, as the system does where
  ///                            SIGCHLD is ignored
  process_wait_op wait() noexcept;

  /// If it has ended already, as wait() sees it.  Never waits.  \throws std::system_error  ECHILD, EBADF
  [[nodiscard]] std::optional<exit_status> status();

  /// Sends it a signal.  False: it has ended.  \throws std::system_error  EINVAL, EPERM
  bool kill(int signal);

  /// kill(SIGTERM)
  bool terminate();

  /// A pidfd(2): readable when it has ended.  -1: none, or somebody else took its status before spawn()
  /// returned.
  [[nodiscard]] int native_handle() const noexcept;

 private:
  friend struct spawn_steps;
  friend detail::child* detail::child_of(const process& p) noexcept;

  void drop() noexcept;

  detail::child* child_ = nullptr;
  pipe_end in_, out_, err_;
};

namespace detail {

WEFT_API extern const case_kind process_case_kind;

template <typename F>
class exit_case final : public case_shared<exit_case<F>, F> {
 public:
  using result = typename handler_result<std::remove_reference_t<F>, exit_status>::type;

  exit_case(int fd, child* c, F&& f) : case_shared<exit_case, F>(std::forward<F>(f)), fd_(fd), child_(c) {}

  class active final : public active_shared<exit_case> {
   public:
    explicit active(exit_case&& from)
        : active_shared<exit_case>(&process_case_kind, std::move(from)),
          watch_(from.fd_, from.child_ != nullptr ? io_call::ended : io_call::none),
          child_(from.child_) {}

    void start(select_core&, std::uint32_t) noexcept {
      watch_.start();
      this->erased_.node.op = &watch_;
    }

    decltype(auto) run() {
      watch_.check();
      return handle(this->f_, status_of(*child_));
    }

   private:
    ready_watch watch_;
    child* child_;
  };

 private:
  int fd_;
  child* child_;
};

}  // namespace detail

/// The process has ended: `f` is called with its exit_status.
/// \throws std::system_error  as process::wait() and on_readable(), out of select; EAGAIN: it has ended and a
///                            debugger has its status, wait() would wait for that
template <typename F = detail::no_handler>
auto on_process_exit(const process& p, F&& f = F{}) {
  return detail::exit_case<F>(p.native_handle(), detail::child_of(p), std::forward<F>(f));
}

namespace blocking {

using weft::child_stream;
using weft::exit_status;
using weft::on_process_exit;
using weft::process;
using weft::process_options;

}  // namespace blocking

}  // namespace weft
