#include "sim/stream.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <limits.h>
#include <poll.h>

#include "sim/machine.hpp"
#include "sim/system_call.hpp"

namespace weft::sim {

void stream::join_pipe(const std::shared_ptr<stream>& from, const std::shared_ptr<stream>& to) {
  from->in_ = to->out_ = std::make_shared<flow>(default_buffer);
  from->peer_ = to;
  to->peer_ = from;
  from->connected_ = to->connected_ = true;
}

void stream::join(const std::shared_ptr<stream>& a, const std::shared_ptr<stream>& b) {
  a->in_ = b->out_ = std::make_shared<flow>(a->receive_buffer_ + b->send_buffer_);
  a->out_ = b->in_ = std::make_shared<flow>(b->receive_buffer_ + a->send_buffer_);
  a->peer_ = b;
  b->peer_ = a;
  a->connected_ = b->connected_ = true;
}

// --- bytes ---

/// By the seed, on both sides.
void stream::meet_resets(system_call& by) {
  if (kind_ != kind::tcp || !connected_ || !on_.happens(on_.how().resets, "a connection is reset")) return;
  if (const auto peer = peer_.lock()) peer->break_off(by);
  break_off(by);
}

std::int64_t stream::read(system_call& by, const parts& to) {
  if (in_ == nullptr) return kind_ == kind::pipe ? -EBADF : error_ != 0 ? -take_error() : -ENOTCONN;
  meet_resets(by);
  const std::size_t there = in_->readable(on_.now());
  if (there == 0) {
    if (error_ == ECONNRESET) return -take_error();  // who has read the end reads it again
    return reading_is_over_ || in_->has_ended(on_.now()) ? 0 : -EAGAIN;
  }
  const std::size_t most = std::min(there, to.size());
  const std::size_t n = on_.cut(most, "a read is short");
  // A short read of TCP says that there is no more for now (epoll(7)): the rest comes right after it.
  if (n < most) by.tell_readable(*this);
  in_->take(to, n);
  if (const auto peer = peer_.lock()) by.tell_writable(*peer);
  return static_cast<std::int64_t>(n);
}

std::int64_t stream::write(system_call& by, const parts& from) {
  if (out_ == nullptr) return kind_ == kind::pipe ? -EBADF : error_ != 0 ? -take_error() : -ENOTCONN;
  meet_resets(by);
  if (error_ != 0) return -take_error();
  const auto peer = peer_.lock();
  const bool is_heard = !out_->reader_gone;
  if (writing_is_over_ || (!is_heard && kind_ != kind::tcp)) return -EPIPE;
  const std::size_t size = from.size();
  const bool is_whole = kind_ == kind::pipe && size <= PIPE_BUF;  // or nothing is written
  const std::size_t most = std::min(size, out_->room());
  if (size != 0 && (most == 0 || (is_whole && most < size))) return -EAGAIN;
  const std::size_t n = is_whole ? size : on_.cut(most, "a write is short");
  if (!is_heard) {
    break_off(by);  // the answer
    return static_cast<std::int64_t>(n);
  }
  const os::nanos now = on_.now();
  const os::nanos late = kind_ == kind::tcp ? on_.delay("what is written is late") : 0;
  out_->put(from, n, now + late);
  if (peer == nullptr) return static_cast<std::int64_t>(n);
  if (out_->latest() <= now) {
    by.tell_readable(*peer);
  } else {
    on_.later(out_->latest(), *peer, [](system_call& then, thing& it) { then.tell_readable(it); });
  }
  return static_cast<std::int64_t>(n);
}

std::int64_t stream::receive(system_call& by, const parts& to, void*, socklen_t* size) {
  if (size != nullptr) *size = 0;
  return read(by, to);
}

std::int64_t stream::send(system_call& by, const parts& from, const void* receiver, socklen_t) {
  if (receiver != nullptr) return connected_ ? -EISCONN : -ENOTCONN;
  return write(by, from);
}

int stream::look() {
  if (line_ != nullptr) return line_->accepted.empty() ? 0 : POLLIN;
  int events = 0;
  const os::nanos now = on_.now();
  const bool has_ended = in_ != nullptr && in_->has_ended(now);
  if (error_ != 0) events |= POLLERR | POLLIN | POLLOUT;
  if (in_ != nullptr && (in_->readable(now) != 0 || has_ended || reading_is_over_)) events |= POLLIN;
  if (has_ended || reading_is_over_) events |= POLLRDHUP;
  if (out_ != nullptr && (out_->room() != 0 || out_->reader_gone || writing_is_over_)) events |= POLLOUT;
  if (out_ != nullptr && kind_ == kind::pipe && out_->reader_gone) events |= POLLERR;
  if (in_ == nullptr && out_ == nullptr && !connecting_) events |= POLLOUT | POLLHUP;
  return events;
}

// --- the end ---

void stream::break_off(system_call& by) {
  if (!connected_) return;
  connected_ = false;
  const os::nanos now = on_.now();
  error_ = in_->has_ended(now) ? EPIPE : ECONNRESET;
  in_->break_off(now);
  writing_is_over_ = true;
  by.tell_end(*this);
}

void stream::reset_peer(system_call& by) {
  const auto peer = peer_.lock();
  if (peer == nullptr) return;
  const os::nanos now = on_.now();
  const os::nanos due = std::max(now + on_.delay("a reset is late"), out_->latest());
  if (due <= now) {
    peer->break_off(by);
  } else {
    on_.later(due, *peer, [](system_call& then, thing& it) { static_cast<stream&>(it).break_off(then); });
  }
}

void stream::end_writing(system_call& by) {
  if (out_ == nullptr || std::exchange(writing_is_over_, true)) return;
  const os::nanos now = on_.now();
  const os::nanos late = kind_ == kind::tcp ? on_.delay("the end of a connection is late") : 0;
  const os::nanos due = out_->end(now + late);
  const auto peer = peer_.lock();
  if (peer == nullptr) return;
  if (due <= now) {
    by.tell_read_end(*peer);
  } else {
    on_.later(due, *peer, [](system_call& then, thing& it) { then.tell_read_end(it); });
  }
}

/// Local ones and pipes tell the writer; TCP goes on receiving.
void stream::stop_reading(system_call& by) {
  if (in_ == nullptr || std::exchange(reading_is_over_, true)) return;
  by.tell_read_end(*this);
  if (kind_ == kind::tcp) return;
  in_->reader_gone = true;
  if (const auto peer = peer_.lock()) by.tell_write_end(*peer);
}

int stream::shut_down(system_call& by, int how) {
  if (!connected_) return -ENOTCONN;
  if (how != SHUT_RD) end_writing(by);
  if (how != SHUT_WR) stop_reading(by);
  return 0;
}

void stream::close(system_call& by) {
  if (line_ != nullptr) stop_listening(by);
  if (is_bound_) on_.net().unbind(*this);
  connecting_ = false;
  if (!connected_) return;
  const bool is_unread = in_ != nullptr && in_->held() != 0;
  if (kind_ == kind::tcp && (is_unread || resets_on_close_)) {
    reset_peer(by);
  } else {
    const auto peer = peer_.lock();
    if (kind_ == kind::local && is_unread && peer != nullptr) peer->error_ = ECONNRESET;
    end_writing(by);
    stop_reading(by);
  }
  if (in_ != nullptr) in_->reader_gone = true;
  connected_ = false;
}

std::string stream::description() const {
  if (kind_ == kind::pipe) return in_ != nullptr ? "a pipe, to read from" : "a pipe, to write to";
  const std::string own = kind_ == kind::tcp ? own_.text() : local_text(false);
  if (line_ != nullptr) return fmt::format("a listener at {}", own);
  if (in_ == nullptr) return "a socket that is not connected";
  return fmt::format("a connection from {} to {}", own,
                     kind_ == kind::tcp ? of_peer_.text() : local_text(true));
}

}  // namespace weft::sim
