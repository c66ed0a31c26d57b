// Preloaded into a server: its first accept()s find no room for a client.

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" __attribute__((visibility("default"))) int accept4(int fd, sockaddr* from, socklen_t* size,
                                                              int flags) {
  constexpr std::array wanting{ENFILE, ENOBUFS, ENOMEM, EMFILE};
  static std::atomic<std::size_t> calls = 0;
  const std::size_t call = calls++;
  if (call >= wanting.size()) return static_cast<int>(::syscall(SYS_accept4, fd, from, size, flags));
  errno = wanting[call];
  return -1;
}
