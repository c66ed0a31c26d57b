// Processes: posix_spawn, which shares this process's memory until the program is there and runs nothing of
// weft's in the child; a pidfd to wait on.

#include <weft/block_on_io.hpp>
#include <weft/io/process.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/child.hpp"
#include "io/descriptor.hpp"
#include "io/owned_fd.hpp"
#include "os/lock.hpp"
#include "os/port.hpp"

extern char** environ;

namespace weft {

using io::owned_fd;

namespace {

constexpr const char* what = "weft: spawn";

void check(int error) {
  if (error != 0) throw std::system_error(error, std::system_category(), what);
}

/// As the system wants it, who would cut it off at a zero byte.
std::string text(std::string_view from) {
  if (from.find('\0') != std::string_view::npos) check(EINVAL);
  return std::string(from);
}

/// Strings as exec wants them.
class string_list {
 public:
  void add(std::string_view each) { all_.push_back(text(each)); }

  char* const* data() {
    for (std::string& each : all_) pointers_.push_back(each.data());
    pointers_.push_back(nullptr);
    return pointers_.data();
  }

 private:
  std::vector<std::string> all_;
  std::vector<char*> pointers_;
};

std::string_view name_of(std::string_view variable) noexcept {
  return variable.substr(0, variable.find('='));
}

string_list environment_of(const process_options& how) {
  string_list list;
  for (char** at = environ; !how.clear_environment && at != nullptr && *at != nullptr; ++at) {
    bool is_replaced = false;
    for (const std::string_view each : how.environment) is_replaced |= name_of(each) == name_of(*at);
    if (!is_replaced) list.add(*at);
  }
  for (const std::string_view each : how.environment) list.add(each);
  return list;
}

class spawn_attributes {
 public:
  spawn_attributes() {
    check(::posix_spawnattr_init(&is_));
    sigset_t none, reset;
    sigemptyset(&none);
    sigfillset(&reset);
    for (const int kept : {SIGHUP, SIGINT, SIGQUIT})
      sigdelset(&reset, kept);  // of a handler exec makes default
    ::posix_spawnattr_setsigmask(&is_, &none);
    ::posix_spawnattr_setsigdefault(&is_, &reset);
    ::posix_spawnattr_setflags(&is_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }

  spawn_attributes(const spawn_attributes&) = delete;
  spawn_attributes& operator=(const spawn_attributes&) = delete;

  ~spawn_attributes() { ::posix_spawnattr_destroy(&is_); }

  const posix_spawnattr_t* get() const noexcept { return &is_; }

 private:
  posix_spawnattr_t is_;
};

class spawn_actions {
 public:
  spawn_actions() { check(::posix_spawn_file_actions_init(&are_)); }

  spawn_actions(const spawn_actions&) = delete;
  spawn_actions& operator=(const spawn_actions&) = delete;

  ~spawn_actions() { ::posix_spawn_file_actions_destroy(&are_); }

  void becomes(int fd, int number) { check(::posix_spawn_file_actions_adddup2(&are_, fd, number)); }

  void change_directory(std::string_view to) {
    check(::posix_spawn_file_actions_addchdir_np(&are_, text(to).c_str()));
  }

  const posix_spawn_file_actions_t* get() const noexcept { return &are_; }

 private:
  posix_spawn_file_actions_t are_;
};

/// Not one of the standard three, which the child's are made of one after the other.
owned_fd above_standard(int fd) {
  return {::fcntl(fd, F_DUPFD_CLOEXEC, 3), what};
}

/// Ended by the system's hand: it was started and cannot be waited for.
void undo(int id) noexcept {
  ::kill(id, SIGKILL);
  while (::waitpid(id, nullptr, 0) < 0 && errno == EINTR) {
  }
}

int pidfd_of(int id) noexcept {
  return static_cast<int>(::syscall(SYS_pidfd_open, id, 0));
}

/// A child of this process whose status nobody has taken.
bool is_ours(idtype_t type, int id) noexcept {
  siginfo_t info;
  return ::waitid(type, static_cast<id_t>(id), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/// What is needed to wait for a process is there before it runs: the pidfd of this one stands for it.
detail::descriptor_handle place_for_pidfd() {
  return detail::descriptor_handle(owned_fd(pidfd_of(::getpid()), what).release());
}

/// The pidfd takes its place.  Somebody else may have taken the status by now, as the system does where
/// SIGCHLD is ignored: then the number is no one's, or another process's.
void put_pidfd(detail::child& c) {
  detail::descriptor& d = *c.handle.get();
  ::close(d.fd.load(std::memory_order_relaxed));  // relaxed: nobody else knows it
  const int fd = pidfd_of(c.id), error = errno;
  d.fd.store(fd, std::memory_order_relaxed);  // relaxed: as above
  const bool is_there = fd >= 0 ? is_ours(P_PIDFD, fd) : is_ours(P_PID, c.id);
  if (!is_there) {
    c.is_lost = true;
    c.handle = {};
  } else if (fd < 0) {
    undo(c.id);
    check(error);
  }
}

}  // namespace

struct spawn_steps {
  using how = child_stream::how;

  /// What becomes the child's `number`, kept in `keep`; the other end of a pipe is `ours`.
  static void give(spawn_actions& actions, const child_stream& s, int number, std::vector<owned_fd>& keep,
                   pipe_end& ours) {
    if (s.how_ == how::inherit) return;
    const bool writes = number != STDIN_FILENO;
    if (s.how_ == how::null) {
      const owned_fd null(::open("/dev/null", (writes ? O_WRONLY : O_RDONLY) | O_CLOEXEC), what);
      keep.push_back(above_standard(null.number()));
    } else if (s.how_ == how::copy) {
      keep.push_back(above_standard(s.fd_));
    } else {
      std::array<int, 2> ends;
      if (::pipe2(ends.data(), O_CLOEXEC) != 0) io::throw_errno(what);
      owned_fd from(ends[0], what), to(ends[1], what);
      keep.push_back(above_standard((writes ? to : from).number()));
      ours = pipe_end::adopt((writes ? from : to).release());
    }
    actions.becomes(keep.back().number(), number);
  }

  static process start(std::span<const std::string_view> argv, const process_options& options) {
    if (argv.empty()) check(EINVAL);
    if (os::current_port().simulated()) check(ENOTSUP);
    process p;
    auto c = std::make_unique<detail::child>();
    string_list arguments;
    for (const std::string_view each : argv) arguments.add(each);
    string_list environment = environment_of(options);
    const spawn_attributes attributes;
    spawn_actions actions;
    std::vector<owned_fd> theirs;
    give(actions, options.in, STDIN_FILENO, theirs, p.in_);
    give(actions, options.out, STDOUT_FILENO, theirs, p.out_);
    give(actions, options.err, STDERR_FILENO, theirs, p.err_);
    if (!options.directory.empty()) actions.change_directory(options.directory);
    char* const* const words = arguments.data();
    c->handle = place_for_pidfd();
    check(::posix_spawnp(&c->id, words[0], actions.get(), attributes.get(), words, environment.data()));
    theirs.clear();
    put_pidfd(*c);
    p.child_ = c.release();
    return p;
  }
};

process process::spawn(std::span<const std::string_view> argv, const process_options& how) {
  const blocking_region announced;
  return spawn_steps::start(argv, how);
}

process& process::operator=(process&& other) noexcept {
  if (this == &other) return *this;
  drop();
  child_ = std::exchange(other.child_, nullptr);
  in_ = std::move(other.in_);
  out_ = std::move(other.out_);
  err_ = std::move(other.err_);
  return *this;
}

process::~process() {
  drop();
}

void process::drop() noexcept {
  if (child_ == nullptr) return;
  for (pipe_end* each : {&in_, &out_, &err_}) each->close();
  detail::child* const c = std::exchange(child_, nullptr);
  bool has_ended;
  {
    const os::guard hold(c->lock);
    has_ended = io::take_status(*c, c->handle.number());
  }
  if (has_ended) {
    delete c;
  } else {
    io::reap_later(c);
  }
}

int process::id() const noexcept {
  return child_ == nullptr ? 0 : child_->id;
}

int process::native_handle() const noexcept {
  return child_ == nullptr ? -1 : child_->handle.number();
}

process_wait_op process::wait() noexcept {
  return {child_ == nullptr ? nullptr : child_->handle.get(), child_};
}

std::optional<exit_status> process::status() {
  if (child_ == nullptr) throw std::system_error(EBADF, std::system_category(), "weft: wait for a process");
  {
    const os::guard hold(child_->lock);
    if (!io::take_status(*child_, child_->handle.number())) return std::nullopt;
  }
  return detail::status_of(*child_);
}

bool process::kill(int signal) {
  if (child_ == nullptr) return false;
  {
    const os::guard hold(child_->lock);
    if (io::take_status(*child_, native_handle())) return false;
  }
  if (::syscall(SYS_pidfd_send_signal, native_handle(), signal, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  io::throw_errno("weft: kill");
}

bool process::terminate() {
  return kill(SIGTERM);
}

namespace detail {

child* child_of(const process& p) noexcept {
  return p.child_;
}

exit_status status_of(child& c) {
  const os::guard hold(c.lock);
  const int error = !io::take_status(c, c.handle.number()) ? EAGAIN : c.is_lost ? ECHILD : 0;
  if (error != 0) throw std::system_error(error, std::system_category(), "weft: wait for a process");
  return c.status;
}

}  // namespace detail

namespace io {

bool take_status(detail::child& c, int pidfd) noexcept {
  if (c.has_status || c.is_lost) return true;
  siginfo_t info;
  for (;;) {
    info.si_pid = 0;
    if (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG) == 0) break;
    if (errno != EINTR) return c.is_lost = true;
  }
  if (info.si_pid == 0) return false;
  const auto value = static_cast<std::uint8_t>(info.si_status);
  const bool by_itself = info.si_code == CLD_EXITED;
  c.status = exit_status(by_itself ? value : std::uint8_t{0}, by_itself ? std::uint8_t{0} : value,
                         info.si_code == CLD_DUMPED);
  return c.has_status = true;
}

}  // namespace io

}  // namespace weft
