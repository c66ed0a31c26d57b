// weft-echo-load PORT REQUESTS: one thread over epoll, 64 connections to that port of loopback, each with one
// message of 64 bytes in flight; the load of the bench echo, the same for all servers.
//
// Prints one line: seconds, and of the requests' times in us p50, p99, p99.9.  README.md says more.

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using clock = std::chrono::steady_clock;

constexpr std::size_t connections = 64;
using message = std::array<char, 64>;

struct connection {
  int fd = -1;
  message sent{};
  clock::time_point sent_at;
};

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "weft-echo-load: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

void connect_to(unsigned port, connection& c) {
  sockaddr_in there{};
  there.sin_family = AF_INET;
  there.sin_port = htons(static_cast<std::uint16_t>(port));
  there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(c.fd, reinterpret_cast<const sockaddr*>(&there), sizeof there) != 0) give_up("connect");
  const int yes = 1;
  ::setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

void ask(connection& c, std::uint64_t number) {
  std::memcpy(c.sent.data(), &number, sizeof number);
  c.sent_at = clock::now();
  if (::send(c.fd, c.sent.data(), c.sent.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(c.sent.size()))
    give_up("send");
}

double since(clock::time_point from) {
  return std::chrono::duration<double, std::micro>(clock::now() - from).count();
}

float of_thousand(const std::vector<float>& sorted, std::size_t share) {
  return sorted[(sorted.size() - 1) * share / 1'000];
}

}  // namespace

int main(int argc, char** argv) {
  const auto port = static_cast<unsigned>(argc == 3 ? std::strtoul(argv[1], nullptr, 10) : 0);
  const std::uint64_t requests = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 0;
  if (port == 0 || requests == 0) {
    std::fputs("usage: weft-echo-load PORT REQUESTS\n", stderr);
    return 2;
  }
  const int all = ::epoll_create1(EPOLL_CLOEXEC);
  std::array<connection, connections> lines;
  for (connection& c : lines) {
    connect_to(port, c);
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.ptr = &c;
    ::epoll_ctl(all, EPOLL_CTL_ADD, c.fd, &e);
  }
  std::vector<float> times;
  times.reserve(requests);
  std::uint64_t asked = 0;
  const auto start = clock::now();
  for (connection& c : lines) {
    if (asked < requests) ask(c, asked++);
  }
  while (times.size() < requests) {
    std::array<epoll_event, connections> events;
    const int n = ::epoll_wait(all, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) {
      connection& c = *static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      message got;
      if (::recv(c.fd, got.data(), got.size(), MSG_WAITALL) != static_cast<ssize_t>(got.size()) ||
          got != c.sent)
        give_up("recv");
      times.push_back(static_cast<float>(since(c.sent_at)));
      if (asked < requests) ask(c, asked++);
    }
  }
  const double seconds = since(start) / 1e6;
  std::sort(times.begin(), times.end());
  std::printf("%.9g %.6g %.6g %.6g\n", seconds, of_thousand(times, 500), of_thousand(times, 990),
              of_thousand(times, 999));
}
