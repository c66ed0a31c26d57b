#pragma once

// machine: the operating system of a simulated run: its numbers, its network, its files.  All of it is
// memory, and guarded by the baton.
//
// Faults are decisions of the schedule, as all others: see options.  How much of it happens - how short, how
// late - is drawn.
//
// The thread may change at the end of a call that has made something ready (system_call), and before those
// that others can see though no operation of weft begins with them: bind, listen, shutdown, and each of
// files.

#include <weft/sim.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/reactor.hpp"
#include "io/system.hpp"
#include "sim/file_tree.hpp"
#include "sim/network.hpp"
#include "sim/thing.hpp"
#include "sim/wire.hpp"

namespace weft::sim {

class port;

class machine final : public io::system {
 public:
  machine(port& of, const options& how);
  machine(const machine&) = delete;
  machine& operator=(const machine&) = delete;
  ~machine();

  // --- for what the numbers refer to ---

  const options& how() const noexcept { return how_; }

  network& net() noexcept { return net_; }

  os::nanos now() const noexcept;
  bool happens(unsigned of_a_thousand, const char* fault) noexcept;
  std::size_t draw(std::size_t n) noexcept;
  /// 0: what is to happen happens now.
  os::nanos delay(const char* fault) noexcept;
  /// If it is still there then.
  void later(os::nanos due, thing& who, std::function<void(system_call& by, thing& who)> then);
  /// Less than could be moved, but something.
  std::size_t cut(std::size_t size, const char* fault) noexcept;
  /// A number for it, or -EMFILE.
  int add(std::shared_ptr<thing> what);
  int add_socket(const std::string& path, const std::shared_ptr<stream>& server);
  /// `server` is null if it has gone.
  int find_socket(const std::string& path, std::shared_ptr<stream>& server) const;

  // --- for the port ---

  bool has_open() const noexcept;
  /// What is open.
  void describe(std::string& to) const;
  /// On the run's main thread: nothing happens any more, nothing is watched.
  void end() noexcept;

  // --- system_call's ---

  port& by() noexcept { return port_; }

  /// What io::note_event() takes; 0: nobody watches it.
  std::uint64_t watcher_of(int fd) const noexcept;

  // --- io::system ---

  int close(int fd) noexcept override;
  int duplicate(int fd) noexcept override;
  int check(int fd) noexcept override;
  int poll(int fd, int wanted) noexcept override;
  void watch(io::descriptor& d) noexcept override;
  std::int64_t read(int fd, const iovec* to, std::size_t parts) noexcept override;
  std::int64_t write(int fd, const iovec* from, std::size_t parts) noexcept override;
  std::int64_t receive(int fd, const iovec* to, std::size_t parts, void* sender,
                       socklen_t* size) noexcept override;
  std::int64_t send(int fd, const iovec* from, std::size_t parts, const void* receiver,
                    socklen_t size) noexcept override;
  int pipe(int* both) noexcept override;
  int socket(int family, int type) noexcept override;
  int socket_pair(int* both) noexcept override;
  int bind(int fd, const void* address, socklen_t size) noexcept override;
  int listen(int fd, int backlog) noexcept override;
  int accept(int fd) noexcept override;
  int connect(int fd, const void* address, socklen_t size) noexcept override;
  int shut_down(int fd, int how) noexcept override;
  int name(int fd, bool of_peer, void* address, socklen_t* size) noexcept override;
  int set_option(int fd, int level, int name, const void* value, socklen_t size) noexcept override;
  int take_error(int fd, int* error) noexcept override;
  int open(const char* path, int flags, unsigned mode) noexcept override;
  std::int64_t read_at(int fd, const iovec* to, std::size_t parts, std::int64_t offset,
                       bool at_once) noexcept override;
  std::int64_t write_at(int fd, const iovec* from, std::size_t parts, std::int64_t offset) noexcept override;
  int sync(int fd) noexcept override;
  int truncate(int fd, std::int64_t size) noexcept override;
  int examine(int fd, struct stat* about) noexcept override;
  int examine(const char* path, struct stat* about) noexcept override;
  int remove_file(const char* path) noexcept override;
  int remove_directory(const char* path) noexcept override;
  int rename(const char* from, const char* to) noexcept override;
  int make_directory(const char* path, unsigned mode) noexcept override;
  int list(const char* path, bool (*take)(void* to, const char* name, mode_t mode), void* to) override;

 private:
  /// A number that is open refers to something; weft knows who waits there.
  struct place {
    std::shared_ptr<thing> is;
    std::uint64_t watcher = 0;
  };

  /// Tells of events when they happen.
  class events final : public io::reactor {
   public:
    explicit events(machine& of) noexcept : of_(of) {}

    bool wait(os::nanos) noexcept override { return false; }

    void deliver() noexcept override {}

    void interrupt() noexcept override {}

    void poll() noexcept override {}

    int handle() const noexcept override { return -1; }

   private:
    int begin_watch(io::descriptor& d, int fd) noexcept override;
    void end_watch(io::descriptor& d, int fd) noexcept override;

    machine& of_;
  };

  static std::size_t index_of(int fd) noexcept { return static_cast<std::size_t>(fd - io::first_simulated); }

  bool lacks_descriptors() noexcept;
  int number(std::shared_ptr<thing> what);
  int add_both(const std::shared_ptr<thing>& a, const std::shared_ptr<thing>& b, int* both);
  /// Null: not open.
  std::shared_ptr<thing> at(int fd) const noexcept;
  int why_not(int fd) const noexcept;
  template <typename F>
  auto on_thing(int fd, F f) noexcept -> decltype(f(std::declval<system_call&>(), std::declval<thing&>()));
  template <typename F>
  auto on_socket(int fd, F f) noexcept
      -> decltype(f(std::declval<system_call&>(), std::declval<sim::socket&>()));

  void begin_file_call() noexcept;
  template <typename F>
  auto on_file(int fd, F f) noexcept -> decltype(f(std::declval<open_file&>()));

  port& port_;
  const options& how_;
  std::vector<place> numbers_;
  network net_;
  file_tree files_;
  wire wire_;
  events events_;
};

}  // namespace weft::sim
