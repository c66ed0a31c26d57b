#include "site.hpp"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

status status_of(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
      return status::forbidden;
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
    case EXDEV:  // it leads out of the root
    case EISDIR:
    case ENXIO:
      return status::not_found;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return status::service_unavailable;
    default:
      return status::internal_server_error;
  }
}

}  // namespace

site::site(const std::string& root) : root_(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
  if (root_ < 0) throw std::system_error(errno, std::system_category(), root);
}

site::~site() {
  ::close(root_);
}

site::opened site::open(const std::string& path) const noexcept {
  return opened_by(path, 0);
}

std::optional<site::opened> site::open_cached(const std::string& path) const noexcept {
  const opened found = opened_by(path, RESOLVE_CACHED);
  return found.file >= 0 ? std::optional(found) : std::nullopt;
}

site::opened site::opened_by(const std::string& path, unsigned way) const noexcept {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;  // a FIFO must not keep us waiting
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | way;
  const auto fd = static_cast<int>(::syscall(SYS_openat2, root_, path.c_str(), &how, sizeof how));
  if (fd < 0) return {.refusal = status_of(errno)};

  struct stat about {};

  if (::fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
    ::close(fd);
    return {};
  }
  return {.file = fd,
          .facts = {.size = static_cast<std::uint64_t>(about.st_size),
                    .modified = http_time(std::chrono::seconds(about.st_mtim.tv_sec)),
                    .type = type_of(path)}};
}
