#pragma once

// Pipes.

#include <weft/io/stream.hpp>

#include <utility>

namespace weft {

class pipe_end;

/// `auto [from, to] = make_pipe();`: what is written to the second is read from the first.  When the second
/// is closed, the first reads the end; when the first is closed, writing throws EPIPE.
/// \throws std::system_error
WEFT_API std::pair<pipe_end, pipe_end> make_pipe();

/// One end of a pipe.
class pipe_end : public byte_stream {
 public:
  pipe_end() noexcept = default;

  /// Takes over `fd`, of a pipe, a terminal or another thing that can be waited for, and makes it
  /// non-blocking; closes it if this throws.
  WEFT_API static pipe_end adopt(int fd);

 private:
  friend std::pair<pipe_end, pipe_end> make_pipe();

  explicit pipe_end(detail::descriptor_handle end) noexcept
      : byte_stream(std::move(end), detail::io_call::read, detail::io_call::write) {}
};

}  // namespace weft
