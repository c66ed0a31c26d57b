#include "sim/machine.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <poll.h>

#include "sim/datagram_socket.hpp"
#include "sim/port.hpp"
#include "sim/stream.hpp"
#include "sim/system_call.hpp"

namespace weft::sim {

namespace {

/// What is late is late by 1 us to 1 s: each magnitude as often as another.
constexpr std::size_t least_delay = 1'000;
constexpr std::size_t delay_magnitudes = 20;

}  // namespace

// --- calls ---

system_call::system_call(machine& on) noexcept : on_(on), spared_(on.by().spare_allocations(true)) {}

system_call::~system_call() {
  on_.by().spare_allocations(spared_);
  won_.deliver_all();
}

void system_call::tell(const thing& of, const io::what_happened& what) noexcept {
  for (const int fd : of.numbers) {
    if (const std::uint64_t watcher = on_.watcher_of(fd)) io::note_event(watcher, what, won_);
  }
}

// --- what things need ---

machine::machine(port& of, const options& how) : port_(of), how_(how), wire_(*this, of), events_(*this) {}

machine::~machine() = default;

os::nanos machine::now() const noexcept {
  return port_.now();
}

bool machine::happens(unsigned of_a_thousand, const char* fault) noexcept {
  return of_a_thousand != 0 && port_.happens(of_a_thousand, fault);
}

std::size_t machine::draw(std::size_t n) noexcept {
  return port_.draw(n);
}

os::nanos machine::delay(const char* fault) noexcept {
  if (!happens(how_.delays, fault)) return 0;
  const std::size_t least = least_delay << draw(delay_magnitudes);
  return static_cast<os::nanos>(least + draw(least));
}

std::size_t machine::cut(std::size_t size, const char* fault) noexcept {
  if (size < 2 || !happens(how_.short_transfers, fault)) return size;
  return size - 1 - draw(size - 1);
}

void machine::later(os::nanos due, thing& who, std::function<void(system_call& by, thing& who)> then) {
  wire_.at(due, [is = who.weak_from_this(), then = std::move(then)](system_call& by) {
    if (const auto still = is.lock()) then(by, *still);
  });
}

// --- numbers ---

bool machine::lacks_descriptors() noexcept {
  return happens(how_.no_descriptors, "there is no descriptor");
}

int machine::add(std::shared_ptr<thing> what) {
  return lacks_descriptors() ? -EMFILE : number(std::move(what));
}

/// The least that is free, as the system does.
int machine::number(std::shared_ptr<thing> what) {
  const auto free = std::find_if(numbers_.begin(), numbers_.end(), [](const place& p) { return !p.is; });
  const int fd = io::first_simulated + static_cast<int>(free - numbers_.begin());
  what->numbers.push_back(fd);
  if (free == numbers_.end()) {
    numbers_.push_back({std::move(what)});
  } else {
    *free = {std::move(what)};
  }
  return fd;
}

int machine::add_both(const std::shared_ptr<thing>& a, const std::shared_ptr<thing>& b, int* both) {
  both[0] = add(a);
  if (both[0] < 0) return both[0];
  both[1] = add(b);
  if (both[1] >= 0) return 0;
  const int error = both[1];
  numbers_[index_of(both[0])] = {};
  return error;
}

std::shared_ptr<thing> machine::at(int fd) const noexcept {
  const bool is_one = fd >= io::first_simulated && index_of(fd) < numbers_.size();
  return is_one ? numbers_[index_of(fd)].is : nullptr;
}

int machine::why_not(int fd) const noexcept {
  return fd >= 0 && fd < io::first_simulated ? -ENOTSUP : -EBADF;
}

std::uint64_t machine::watcher_of(int fd) const noexcept {
  return numbers_[index_of(fd)].watcher;
}

int machine::close(int fd) noexcept {
  system_call by(*this);
  const auto what = at(fd);
  if (what == nullptr) return why_not(fd);
  numbers_[index_of(fd)] = {};
  std::erase(what->numbers, fd);
  if (what->numbers.empty()) what->close(by);
  return 0;
}

int machine::duplicate(int fd) noexcept {
  system_call by(*this);
  const auto what = at(fd);
  return what == nullptr ? why_not(fd) : add(what);
}

int machine::check(int fd) noexcept {
  return at(fd) == nullptr ? why_not(fd) : 0;
}

int machine::poll(int fd, int wanted) noexcept {
  const system_call by(*this);
  const auto what = at(fd);
  if (what == nullptr) return fd < 0 || fd >= io::first_simulated ? POLLNVAL : -ENOTSUP;
  return what->look() & (wanted | POLLERR | POLLHUP);
}

void machine::watch(io::descriptor& d) noexcept {
  const auto what = at(d.fd.load(std::memory_order_relaxed));  // relaxed: under its lock
  if (what == nullptr || what->as_file() != nullptr) return;
  static_cast<void>(events_.add(d));
  // What has ended before, as a connection that nobody had accepted, tells no more: a short read is not the
  // last word.
  if ((what->look() & (POLLRDHUP | POLLERR)) != 0) d.sides[weft::detail::to_read].word.note_event(true);
}

int machine::events::begin_watch(io::descriptor& d, int fd) noexcept {
  of_.numbers_[index_of(fd)].watcher = io::ticket_of(d);
  return 0;
}

void machine::events::end_watch(io::descriptor&, int fd) noexcept {
  of_.numbers_[index_of(fd)].watcher = 0;
}

bool machine::has_open() const noexcept {
  return std::any_of(numbers_.begin(), numbers_.end(), [](const place& p) { return p.is != nullptr; });
}

void machine::describe(std::string& to) const {
  int fd = io::first_simulated;
  for (const place& each : numbers_) {
    if (each.is != nullptr)
      fmt::format_to(std::back_inserter(to), "descriptor {}: {}\n", fd, each.is->description());
    ++fd;
  }
}

void machine::end() noexcept {
  wire_.end();
  events_.end();
}

// --- by number ---

template <typename F>
auto machine::on_thing(int fd, F f) noexcept
    -> decltype(f(std::declval<system_call&>(), std::declval<thing&>())) {
  system_call by(*this);
  const auto what = at(fd);
  return what == nullptr ? why_not(fd) : f(by, *what);
}

template <typename F>
auto machine::on_socket(int fd, F f) noexcept
    -> decltype(f(std::declval<system_call&>(), std::declval<sim::socket&>())) {
  system_call by(*this);
  const auto what = at(fd);
  if (what == nullptr) return why_not(fd);
  sim::socket* const s = what->as_socket();
  return s == nullptr ? -ENOTSOCK : f(by, *s);
}

std::int64_t machine::read(int fd, const iovec* to, std::size_t count) noexcept {
  return on_thing(fd, [&](system_call& by, thing& t) { return t.read(by, {to, count}); });
}

std::int64_t machine::write(int fd, const iovec* from, std::size_t count) noexcept {
  return on_thing(fd, [&](system_call& by, thing& t) { return t.write(by, {from, count}); });
}

std::int64_t machine::receive(int fd, const iovec* to, std::size_t count, void* sender,
                              socklen_t* size) noexcept {
  return on_socket(fd, [&](system_call& by, sim::socket& s) {
    return s.receive(by, {to, count}, sender, size);
  });
}

std::int64_t machine::send(int fd, const iovec* from, std::size_t count, const void* receiver,
                           socklen_t size) noexcept {
  return on_socket(fd, [&](system_call& by, sim::socket& s) {
    return s.send(by, {from, count}, receiver, size);
  });
}

// --- sockets and pipes ---

int machine::pipe(int* both) noexcept {
  const system_call by(*this);
  const auto from = std::make_shared<stream>(*this, stream::kind::pipe, AF_UNSPEC);
  const auto to = std::make_shared<stream>(*this, stream::kind::pipe, AF_UNSPEC);
  stream::join_pipe(from, to);
  return add_both(from, to, both);
}

int machine::socket_pair(int* both) noexcept {
  const system_call by(*this);
  const auto a = std::make_shared<stream>(*this, stream::kind::local, AF_UNIX);
  const auto b = std::make_shared<stream>(*this, stream::kind::local, AF_UNIX);
  stream::join(a, b);
  return add_both(a, b, both);
}

int machine::socket(int family, int type) noexcept {
  const system_call by(*this);
  const bool is_ip = family == AF_INET || family == AF_INET6;
  if (!is_ip && family != AF_UNIX) return -EAFNOSUPPORT;
  if (is_ip && type == SOCK_DGRAM) return add(std::make_shared<datagram_socket>(*this, family));
  if (type != SOCK_STREAM) return -EPROTONOSUPPORT;
  const auto k = is_ip ? stream::kind::tcp : stream::kind::local;
  return add(std::make_shared<stream>(*this, k, family));
}

int machine::bind(int fd, const void* address, socklen_t size) noexcept {
  os::step();
  return on_socket(fd, [&](system_call&, sim::socket& s) { return s.bind(address, size); });
}

int machine::listen(int fd, int backlog) noexcept {
  os::step();
  return on_socket(fd, [&](system_call&, sim::socket& s) { return s.listen(backlog); });
}

int machine::accept(int fd) noexcept {
  return on_socket(fd, [&](system_call& by, sim::socket& s) { return s.accept(by); });
}

int machine::connect(int fd, const void* address, socklen_t size) noexcept {
  return on_socket(fd, [&](system_call& by, sim::socket& s) { return s.connect(by, address, size); });
}

int machine::shut_down(int fd, int how) noexcept {
  os::step();
  return on_socket(fd, [&](system_call& by, sim::socket& s) { return s.shut_down(by, how); });
}

int machine::name(int fd, bool of_peer, void* address, socklen_t* size) noexcept {
  return on_socket(fd, [&](system_call&, sim::socket& s) { return s.name(of_peer, address, size); });
}

int machine::set_option(int fd, int level, int name, const void* value, socklen_t size) noexcept {
  return on_socket(fd, [&](system_call&, sim::socket& s) { return s.set_option(level, name, value, size); });
}

int machine::take_error(int fd, int* error) noexcept {
  return on_socket(fd, [&](system_call&, sim::socket& s) { return *error = s.take_error(), 0; });
}

}  // namespace weft::sim
