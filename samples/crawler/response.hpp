#pragma once

// response: what an HTTP/1.1 server answers, out of bytes.  Nothing here reads or writes anything.

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

/// It is no HTTP, or too much of it.
struct bad_response : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct response {
  int code = 0;
  std::string type;      // Content-Type
  std::string location;  // where a redirect leads
  std::string body;
};

/// Is given the bytes as they come.
class response_parser {
 public:
  static constexpr std::size_t most = 16 << 20;  // bytes of a body

  /// \throws bad_response
  void add(std::string_view bytes);

  /// The connection has ended.  \throws bad_response  before the answer has
  void end();

  bool is_complete() const { return at_ == part::done; }

  /// When it is.
  response take() { return std::move(out_); }

 private:
  enum class part { head, sized, to_end, chunk_size, chunk, after_chunk, trailer, done };

  bool step();
  bool parse_head();
  bool take_body();
  bool take_line(std::string_view& line);

  part at_ = part::head;
  response out_;
  std::string unread_;
  std::size_t begin_ = 0;  // of what is unread
  std::size_t left_ = 0;   // of the body, or of a chunk
};
