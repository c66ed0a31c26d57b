// peer-epoll echo [-w WORKERS] [-n N]: the server of the bench echo without a runtime, one thread over epoll;
// the floor of what a server of one thread costs.  -w is what the others are given: nothing here depends on
// it.

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../echo_load.hpp"

namespace {

int listen_on_loopback(unsigned& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof here;
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&here), size) != 0 || ::listen(fd, SOMAXCONN) != 0)
    return -1;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&here), &size);
  port = ntohs(here.sin_port);
  return fd;
}

void watch(int all, int fd) {
  epoll_event e{};
  e.events = EPOLLIN;
  e.data.fd = fd;
  ::epoll_ctl(all, EPOLL_CTL_ADD, fd, &e);
}

void take(int all, int listener) {
  const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  const int yes = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  watch(all, fd);
}

/// A message of 64 bytes comes whole over loopback, and goes whole.
void answer(int fd) {
  std::array<char, 4096> buffer;
  const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
  if (n <= 0 || ::send(fd, buffer.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL) != n) ::close(fd);
}

/// Until `load` is readable.
void serve(int listener, int load) {
  const int all = ::epoll_create1(EPOLL_CLOEXEC);
  watch(all, listener);
  watch(all, load);
  std::array<epoll_event, 64> events;
  for (;;) {
    const int n = ::epoll_wait(all, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == load) return;
      if (fd == listener) {
        take(all, fd);
      } else {
        answer(fd);
      }
    }
  }
}

int print_usage() {
  std::fputs("usage: peer-epoll echo [-w WORKERS] [-n N]\n", stderr);
  return 2;
}

bool read_number(const char* text, std::uint64_t& out) {
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, out);
  return error == std::errc() && stop == end && out > 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--list") return std::puts("echo epoll") < 0;
  if (argc < 2 || argc % 2 != 0 || std::string_view(argv[1]) != "echo") return print_usage();
  std::uint64_t n = 500'000, workers = 1;
  for (int i = 2; i < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option != "-n" && option != "-w") return print_usage();
    if (!read_number(argv[i + 1], option == "-n" ? n : workers)) return print_usage();
  }
  unsigned port = 0;
  const int listener = listen_on_loopback(port);
  if (listener < 0) {
    std::perror("peer-epoll: listen");
    return 1;
  }
  perf::echo_load load(port, n);
  serve(listener, load.descriptor());
  const perf::result got = load.wait();
  if (!got.is_right) {
    std::fputs("peer-epoll echo: wrong result\n", stderr);
    return 1;
  }
  std::printf(R"({"bench":"echo","impl":"epoll","workers":%llu,"n":%llu,"ns_per_op":%.6g%s,"rss_mb":%.1f})"
              "\n",
              static_cast<unsigned long long>(workers), static_cast<unsigned long long>(n),
              got.seconds * 1e9 / static_cast<double>(n), got.more.c_str(),
              static_cast<double>(perf::peak_resident_bytes()) / 1e6);
}
