// The system calls of operations.  None of them raises SIGPIPE; EINTR is tried again.  None blocks: those on
// sockets say so each time, but for accept(), which cannot.  That one, and what is no socket, must be
// non-blocking, as weft makes it; another process that shares it can undo that.

#include <weft/io/buffer.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/io_steps.hpp"
#include "io/system.hpp"
#include "sched/current.hpp"
#include "sched/scheduler.hpp"

namespace weft::io {

namespace {

using detail::io_call;

/// Buffers that are given to the system at a time.
constexpr std::size_t most_parts = 64;

template <typename F>
std::int64_t call(F f) noexcept {
  for (;;) {
    const std::int64_t n = f();
    if (n >= 0) return n;
    if (errno != EINTR) return errno == EWOULDBLOCK ? not_ready : -errno;
  }
}

/// Pipes know no MSG_NOSIGNAL.  Weft's own threads have SIGPIPE blocked; on another it is blocked for the
/// call.  One that the call has raised is taken away.
class without_sigpipe {
 public:
  without_sigpipe() noexcept {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    if (is_blocked_) return;
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    if (!was_pending_) pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }

  without_sigpipe(const without_sigpipe&) = delete;
  without_sigpipe& operator=(const without_sigpipe&) = delete;

  ~without_sigpipe() {
    if (was_pending_) return;
    const int error = errno;
    const timespec now{};
    while (raised_ && ::sigtimedwait(&pipe_, nullptr, &now) < 0 && errno == EINTR) {
    }
    if (!is_blocked_) pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = error;
  }

  void note_raised() noexcept { raised_ = true; }

 private:
  const bool is_blocked_ = is_own_thread();
  sigset_t pipe_, before_;
  bool was_pending_ = false;
  bool raised_ = false;
};

std::int64_t write_quietly(int fd, const iovec* parts, std::size_t count) noexcept {
  without_sigpipe quiet;
  const std::int64_t n = call([&] { return sys::writev(fd, parts, static_cast<int>(count)); });
  if (n == -EPIPE) quiet.note_raised();
  return n;
}

/// What is left of several buffers.
template <typename Buffer>
class parts_left {
 public:
  explicit parts_left(const io_try& t) noexcept {
    const auto* each = static_cast<const Buffer*>(t.data);
    std::size_t skip = t.done;
    for (std::size_t i = 0; i < t.size && count_ < most_parts; ++i, ++each) {
      if (skip >= each->size()) {
        skip -= each->size();
        continue;
      }
      auto* const from = const_cast<char*>(static_cast<const char*>(each->data()));
      parts_[count_++] = {from + skip, each->size() - skip};
      skip = 0;
    }
  }

  iovec* data() noexcept { return parts_.data(); }

  std::size_t size() const noexcept { return count_; }

 private:
  std::array<iovec, most_parts> parts_;
  std::size_t count_ = 0;
};

std::int64_t send_message(int fd, msghdr& m) noexcept {
  return call([&] { return sys::sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT); });
}

std::int64_t receive_message(int fd, msghdr& m) noexcept {
  return call([&] { return sys::recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); });
}

std::int64_t gather(const io_try& t) noexcept {
  parts_left<const_buffer> parts(t);
  msghdr m{};
  m.msg_iov = parts.data();
  m.msg_iovlen = parts.size();
  const std::int64_t n = send_message(t.fd, m);
  return n != -ENOTSOCK ? n : write_quietly(t.fd, parts.data(), parts.size());
}

std::int64_t scatter(const io_try& t) noexcept {
  parts_left<mutable_buffer> parts(t);
  msghdr m{};
  m.msg_iov = parts.data();
  m.msg_iovlen = parts.size();
  const std::int64_t n = receive_message(t.fd, m);
  if (n != -ENOTSOCK) return n;
  return call([&] { return sys::readv(t.fd, parts.data(), static_cast<int>(parts.size())); });
}

std::int64_t send_datagram(const io_try& t) noexcept {
  const auto& what = *static_cast<const detail::datagram*>(t.data);
  iovec one{what.bytes, what.size};
  msghdr m{};
  m.msg_name = what.address_size == 0 ? nullptr : what.address;
  m.msg_namelen = static_cast<socklen_t>(what.address_size);
  m.msg_iov = &one;
  m.msg_iovlen = 1;
  return send_message(t.fd, m);
}

std::int64_t receive_datagram(const io_try& t) noexcept {
  auto& what = *static_cast<detail::datagram*>(t.data);
  iovec one{what.bytes, what.size};
  msghdr m{};
  m.msg_name = what.address;
  m.msg_namelen = static_cast<socklen_t>(what.address == nullptr ? 0 : what.address_size);
  m.msg_iov = &one;
  m.msg_iovlen = 1;
  const std::int64_t n = receive_message(t.fd, m);
  if (n >= 0) what.address_size = m.msg_namelen;
  return n;
}

/// Linux 6.5, newer than the C library's headers.
constexpr int scm_pidfd = 4;

/// A message of one byte, with room for a descriptor and for what the program may have asked for by
/// SO_PASSCRED, which comes first, and by SO_PASSPIDFD.
struct one_descriptor {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred)) + 2 * CMSG_SPACE(sizeof(int))> room{};
  msghdr message{};

  explicit one_descriptor(std::size_t size) noexcept {
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = room.data();
    message.msg_controllen = size;
  }

  one_descriptor(const one_descriptor&) = delete;
  one_descriptor& operator=(const one_descriptor&) = delete;
};

std::int64_t pass_descriptor(const io_try& t) noexcept {
  one_descriptor one(CMSG_LEN(sizeof(int)));
  cmsghdr* const head = CMSG_FIRSTHDR(&one.message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(head), &static_cast<const detail::passed_descriptor*>(t.data)->fd, sizeof(int));
  return send_message(t.fd, one.message);
}

/// The first that the peer has sent goes to `to`; the others are closed, and the pidfd of SO_PASSPIDFD, too.
void keep_one(const cmsghdr& came, int& to) noexcept {
  if (came.cmsg_level != SOL_SOCKET || (came.cmsg_type != SCM_RIGHTS && came.cmsg_type != scm_pidfd)) return;
  const std::size_t count = (came.cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (std::size_t i = 0; i < count; ++i) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(&came) + i * sizeof fd, sizeof fd);
    if (to < 0 && came.cmsg_type == SCM_RIGHTS)
      to = fd;
    else
      ::close(fd);
  }
}

/// Where it comes but there is no number for it, the system drops it and says that something is cut off.
std::int64_t take_descriptor(const io_try& t) noexcept {
  one_descriptor one(sizeof one.room);
  const std::int64_t n = receive_message(t.fd, one.message);
  int& fd = static_cast<detail::passed_descriptor*>(t.data)->fd;
  fd = -1;
  if (n <= 0) return n;
  for (cmsghdr* each = CMSG_FIRSTHDR(&one.message); each != nullptr; each = CMSG_NXTHDR(&one.message, each)) {
    keep_one(*each, fd);
  }
  return fd < 0 && (one.message.msg_flags & MSG_CTRUNC) != 0 ? -EMFILE : n;
}

/// If nobody listens on a port the system may draw that one for this end, and TCP connects it to itself.  Its
/// close is to leave no TIME_WAIT, which would keep the port from who is to listen there.
///
/// Source: Go's selfConnect() in net/tcpsock_posix.go.
bool is_connected_to_itself(int fd, const sockaddr_storage& peer, socklen_t length) noexcept {
  sockaddr_storage own;
  socklen_t own_length = sizeof own;
  if (sys::getsockname(fd, &own, &own_length) != 0) return false;
  if (own_length != length || std::memcmp(&own, &peer, length) != 0) return false;
  const linger reset{1, 0};
  sys::setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  return true;
}

/// Woken early, by another change of the socket, it may still be under way.
std::int64_t connect_result(int fd) noexcept {
  int error = 0;
  if (sys::take_error(fd, &error) != 0) return -errno;
  if (error != 0) return -error;
  sockaddr_storage peer;
  socklen_t length = sizeof peer;
  if (sys::getpeername(fd, &peer, &length) != 0) return errno == ENOTCONN ? not_ready : -errno;
  return is_connected_to_itself(fd, peer, length) ? -ECONNREFUSED : 0;
}

std::int64_t connect(const io_try& t) noexcept {
  if (t.again) return connect_result(t.fd);
  if (sys::connect(t.fd, t.data, static_cast<socklen_t>(t.size)) == 0) return 0;
  return errno == EINPROGRESS || errno == EINTR ? not_ready : -errno;
}

std::int64_t look(const io_try& t, short events) noexcept {
  if (t.fd < 0) return -EBADF;  // poll() passes it over
  pollfd p{t.fd, events, 0};
  const std::int64_t n = call([&] { return sys::poll(&p); });
  if (n <= 0) return n == 0 ? not_ready : n;
  return (p.revents & POLLNVAL) != 0 ? -EBADF : 0;
}

/// The end of a process is its tracer's first, if there is one; when that one lets go the pidfd tells it
/// anew. Errors are the status's to say.
std::int64_t look_for_end(const io_try& t) noexcept {
  siginfo_t info;
  info.si_pid = 0;
  const std::int64_t n =
      call([&] { return ::waitid(P_PIDFD, static_cast<id_t>(t.fd), &info, WEXITED | WNOHANG | WNOWAIT); });
  return n == 0 && info.si_pid == 0 ? not_ready : 0;
}

/// A connection that was reset before it could be accepted, and errors of the network that belong to it.
bool is_of_the_connection(std::int64_t error) noexcept {
  switch (error) {
    case -ECONNABORTED:
    case -ENETDOWN:
    case -EPROTO:
    case -ENOPROTOOPT:
    case -EHOSTDOWN:
    case -ENONET:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
      return true;
    default:
      return false;
  }
}

std::int64_t accept(const io_try& t) noexcept {
  for (;;) {
    const std::int64_t fd = call([&] { return sys::accept(t.fd); });
    if (!is_of_the_connection(fd)) return fd;
  }
}

}  // namespace

bool is_own_thread() noexcept {
  const sched::worker* const w = sched::current_worker();
  return w != nullptr ? !w->home().how().manual : sched::current_pool() != nullptr;
}

std::int64_t attempt(const io_try& t) noexcept {
  char* const at = static_cast<char*>(t.data) + t.done;
  const std::size_t left = t.size - t.done;
  switch (t.call) {
    case io_call::read:
      return call([&] { return sys::read(t.fd, at, left); });
    case io_call::receive:
    case io_call::receive_tcp:
      return call([&] { return sys::recv(t.fd, at, left, MSG_DONTWAIT); });
    case io_call::send:
      return call([&] { return sys::send(t.fd, at, left, MSG_NOSIGNAL | MSG_DONTWAIT); });
    case io_call::write: {
      const iovec one{at, left};
      return write_quietly(t.fd, &one, 1);
    }
    case io_call::gather:
      return gather(t);
    case io_call::scatter:
      return scatter(t);
    case io_call::accept:
      return accept(t);
    case io_call::connect:
      return connect(t);
    case io_call::message:
      return receive_datagram(t);
    case io_call::datagram:
      return send_datagram(t);
    case io_call::pass_fd:
      return pass_descriptor(t);
    case io_call::take_fd:
      return take_descriptor(t);
    case io_call::ended:
      return look_for_end(t);
    case io_call::none:
      return look(t, POLLIN | POLLRDHUP);
    case io_call::none_out:
      return look(t, POLLOUT);
  }
  return -EINVAL;
}

}  // namespace weft::io
