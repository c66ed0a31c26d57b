// What streams do beyond one call; pipes; descriptors of others.

#include <weft/io/pipe.hpp>
#include <weft/io/ready.hpp>
#include <weft/io/stream.hpp>

#include <array>
#include <cerrno>
#include <system_error>

#include "io/descriptor.hpp"
#include "io/io_steps.hpp"
#include "io/owned_fd.hpp"
#include "io/system.hpp"
#include "os/port.hpp"

namespace weft {

using detail::descriptor_handle;
using detail::io_call;

namespace {

template <typename Buffer>
std::size_t total_of(std::span<const Buffer> parts) noexcept {
  std::size_t n = 0;
  for (const Buffer& each : parts) n += each.size();
  return n;
}

template <typename Buffer>
void* list_of(std::span<const Buffer> parts) noexcept {
  return const_cast<Buffer*>(parts.data());
}

}  // namespace

transfer_op byte_stream::read_some(std::span<const mutable_buffer> to) noexcept {
  return transfer_op(is_.get(), io_call::scatter, false, list_of(to), to.size(), total_of(to));
}

transfer_op byte_stream::write_all(std::span<const const_buffer> from) noexcept {
  return transfer_op(is_.get(), io_call::gather, true, list_of(from), from.size(), total_of(from));
}

std::size_t read_exactly_op::finish(detail::waiter& w) {
  const auto n = static_cast<std::size_t>(end(w));
  if (n != 0 && n < asked_for()) {
    throw std::system_error(ENODATA, std::system_category(),
                            "weft: the stream ended in the middle of what was to be read");
  }
  return n;
}

std::pair<pipe_end, pipe_end> make_pipe() {
  std::array<int, 2> both;
  if (io::sys::pipe(both.data()) != 0) io::throw_errno("weft: pipe");
  io::owned_fd second(both[1], "weft: pipe");
  pipe_end first{descriptor_handle(both[0])};
  return {std::move(first), pipe_end(descriptor_handle(second.release()))};
}

pipe_end pipe_end::adopt(int fd) {
  io::owned_fd mine = io::taken_over(fd);
  io::set_up(mine);
  return pipe_end(descriptor_handle(mine.release()));
}

bool ready_op::ready(detail::waiter& w) noexcept {
  if (own_.get() == nullptr) {
    std::int64_t n = io::attempt({call(), fd_, nullptr, 0, 0, false});
    if (n == io::not_ready) {
      // A number of its own: that of the other library may be closed, and be another thing's, when it is to
      // be forgotten.
      const int copy = io::sys::duplicate(fd_);
      n = copy < 0 ? -errno : -ENOMEM;
      try {
        if (copy >= 0) {
          own_ = descriptor_handle(copy);
          io::note_looked_at(*own_.get());
        }
      } catch (const std::bad_alloc&) {  // closed, and said by n
      }
    }
    on(own_.get());
    end_with(n);
  }
  return io_wait::ready(w);
}

}  // namespace weft
