#pragma once

// stream: one end of a pipe or of a connection, TCP's or local, and a socket that is to become one or that
// listens.
//
// As Linux has it: who closes with bytes unread resets the connection; bytes for one who has closed are taken
// and answered by a reset; what had come before a reset is read before its error, which is told once
// (ECONNRESET; EPIPE, and to a writer only, if the peer had ended before), then reads find the end and writes
// EPIPE.  A connection that finds the listener's line full knocks until there is room; a local one is refused
// by EAGAIN.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "sim/net_address.hpp"
#include "sim/thing.hpp"

namespace weft::sim {

class stream final : public socket {
 public:
  enum class kind : std::uint8_t { pipe, local, tcp };

  /// Not connected.  `family` counts for TCP.
  stream(machine& on, kind k, int family) noexcept : socket(on), kind_(k), family_(family) {}

  /// What is written to `to` is read from `from`.
  static void join_pipe(const std::shared_ptr<stream>& from, const std::shared_ptr<stream>& to);
  /// Both ways.
  static void join(const std::shared_ptr<stream>& a, const std::shared_ptr<stream>& b);

  socket* as_socket() noexcept override { return kind_ == kind::pipe ? nullptr : this; }

  // --- stream.cpp ---
  std::int64_t read(system_call& by, const parts& to) override;
  std::int64_t write(system_call& by, const parts& from) override;

  std::int64_t receive(system_call& by, const parts& to, void* sender, socklen_t* size) override;

  std::int64_t send(system_call& by, const parts& from, const void* receiver, socklen_t size) override;
  int look() override;
  void close(system_call& by) override;
  std::string description() const override;
  int shut_down(system_call& by, int how) override;

  // --- stream_socket.cpp ---
  int bind(const void* address, socklen_t size) override;
  int listen(int backlog) override;
  int accept(system_call& by) override;
  int connect(system_call& by, const void* address, socklen_t size) override;
  int name(bool of_peer, void* address, socklen_t* size) const override;
  int set_option(int level, int name, const void* value, socklen_t size) override;

 private:
  /// Of a socket that listens.
  struct line {
    std::size_t backlog = 0;
    std::deque<std::shared_ptr<stream>> accepted;  // by the system; the far ends
    std::deque<std::weak_ptr<stream>> knocking;

    bool is_full() const noexcept { return accepted.size() > backlog; }
  };

  std::shared_ptr<stream> self() { return std::static_pointer_cast<stream>(shared_from_this()); }

  // --- stream.cpp ---
  void meet_resets(system_call& by);
  /// The connection is gone, for this end: at once.
  void break_off(system_call& by);
  /// The peer is told, as soon as it can be.
  void reset_peer(system_call& by);
  void end_writing(system_call& by);
  void stop_reading(system_call& by);

  // --- stream_socket.cpp ---
  int bind_local(const std::string& name);
  int connect_local(system_call& by, const std::string& name);
  int connect_tcp(system_call& by, const net_address& to);
  /// The connection has come to the other side.  0, -ECONNREFUSED, or -EINPROGRESS: it knocks.
  int knock(system_call& by);
  void meet(system_call& by, stream& listener);
  void stop_listening(system_call& by);
  std::string local_text(bool of_peer) const;

  const kind kind_;
  const int family_;
  std::shared_ptr<flow> in_, out_;  // null: none
  std::weak_ptr<stream> peer_;
  bool connected_ = false;
  bool connecting_ = false;
  bool reading_is_over_ = false;  // by this end
  bool writing_is_over_ = false;
  bool resets_on_close_ = false;
  bool takes_v4_ = true;
  bool may_share_ = false;
  bool is_bound_ = false;
  std::size_t receive_buffer_ = default_buffer;
  std::size_t send_buffer_ = 0;
  net_address own_, of_peer_;
  std::string own_name_, name_of_peer_;  // of local ones
  std::unique_ptr<line> line_;

  static constexpr std::size_t default_buffer = 65'536;  // a pipe's
};

}  // namespace weft::sim
