#pragma once

// thing: what a number of a simulated run refers to.

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <sys/socket.h>

#include "sim/flow.hpp"

namespace weft::sim {

class machine;
class open_file;
class socket;
class system_call;

/// All give what the system's call gives, or the error below zero.
class thing : public std::enable_shared_from_this<thing> {
 public:
  thing(const thing&) = delete;
  thing& operator=(const thing&) = delete;
  virtual ~thing() = default;

  virtual std::int64_t read(system_call& by, const parts& to) = 0;
  virtual std::int64_t write(system_call& by, const parts& from) = 0;
  /// What poll(2) would say.
  virtual int look() = 0;
  /// It has lost its last number.
  virtual void close(system_call& by) = 0;
  /// For reports.
  virtual std::string description() const = 0;

  virtual socket* as_socket() noexcept { return nullptr; }

  virtual open_file* as_file() noexcept { return nullptr; }

  std::vector<int> numbers;

 protected:
  explicit thing(machine& on) noexcept : on_(on) {}

  machine& on_;
};

class socket : public thing {
 public:
  socket* as_socket() noexcept override { return this; }

  virtual std::int64_t receive(system_call& by, const parts& to, void* sender, socklen_t* size) = 0;
  virtual std::int64_t send(system_call& by, const parts& from, const void* receiver, socklen_t size) = 0;
  virtual int bind(const void* address, socklen_t size) = 0;
  virtual int listen(int backlog) = 0;
  virtual int accept(system_call& by) = 0;
  virtual int connect(system_call& by, const void* address, socklen_t size) = 0;
  virtual int shut_down(system_call& by, int how) = 0;
  virtual int name(bool of_peer, void* address, socklen_t* size) const = 0;
  virtual int set_option(int level, int name, const void* value, socklen_t size) = 0;

  int take_error() noexcept { return std::exchange(error_, 0); }

 protected:
  using thing::thing;

  int error_ = 0;
};

}  // namespace weft::sim
