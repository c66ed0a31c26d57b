#pragma once

// What tests of descriptors share.

#include <weft/io/pipe.hpp>
#include <weft/io/tcp.hpp>
#include <weft/weft.hpp>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <sys/resource.h>
#include <unistd.h>

#include "support/descriptors.hpp"

namespace weft::test {

/// The code of the std::system_error that `r` ends with; 0: it ends without one.
template <typename T>
routine<int> error_of(routine<T> r) {
  try {
    (void)co_await std::move(r);
  } catch (const std::system_error& e) {
    co_return e.code().value();
  }
  co_return 0;
}

template <>
inline routine<int> error_of(routine<void> r) {
  try {
    co_await std::move(r);
  } catch (const std::system_error& e) {
    co_return e.code().value();
  }
  co_return 0;
}

/// The same of a call.
template <typename F>
int error_in(F f) {
  try {
    f();
  } catch (const std::system_error& e) {
    return e.code().value();
  }
  return 0;
}

/// What rt.dump() says as soon as it says this, too.
inline std::string dump_with(const runtime& rt, std::string_view wanted) {
  for (;;) {
    auto [from, to] = make_pipe();
    rt.dump(to.native_handle());
    to.close();
    std::string said;
    std::array<char, 1'000> piece;
    while (const std::size_t n = blocking::wait(from.read_some(piece))) said.append(piece.data(), n);
    if (said.find(wanted) != std::string::npos) return said;
  }
}

/// Of this process, in nanoseconds.
inline std::int64_t cpu_time() {
  timespec t;
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

/// No number above the one that comes next can be had while it lives.
class no_descriptors {
 public:
  no_descriptors() {
    // UBSan wants a descriptor to look at an object of a type for the first time.
    (void)error_in([] { throw std::system_error(EMFILE, std::system_category()); });
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const int next = ::dup(0);
    ::close(next);
    const rlimit less{static_cast<rlim_t>(next), before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &less);
  }

  no_descriptors(const no_descriptors&) = delete;
  no_descriptors& operator=(const no_descriptors&) = delete;

  ~no_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

struct connection {
  tcp_stream near, far;
};

/// Over loopback.
inline routine<connection> connect_here() {
  tcp_listener listener(ip_endpoint::loopback());
  auto near = go([](ip_endpoint to) -> routine<tcp_stream> { co_return co_await tcp_stream::connect(to); },
                 listener.local_endpoint());
  connection c;
  c.far = co_await listener.accept();
  c.near = co_await std::move(near);
  co_return c;
}

/// Waits for the next byte, so that the stream is watched; 0: it has ended.
inline routine<char> first_byte(byte_stream& from) {
  std::array<char, 1> byte{};
  co_await from.read_some(byte);
  co_return byte[0];
}

/// Byte i of an endless text that does not repeat soon.
inline char letter(std::size_t i) noexcept {
  return static_cast<char>('!' + (i * 2654435761U >> 13) % 90);
}

inline std::string text(std::size_t from, std::size_t size) {
  std::string s(size, ' ');
  for (std::size_t i = 0; i < size; ++i) s[i] = letter(from + i);
  return s;
}

/// A byte that is none of text()'s.
inline constexpr char poison = '\x7f';

}  // namespace weft::test
