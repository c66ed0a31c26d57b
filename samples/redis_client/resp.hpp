#pragma once

// resp: what is said to a Redis server and what it answers, RESP2.  Nothing here reads or writes anything.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

struct reply {
  enum class kind { status, error, integer, text, nil, array };

  kind is = kind::nil;
  std::string text{};  // of a status, an error, a text
  std::int64_t number = 0;
  std::vector<reply> items{};

  bool operator==(const reply&) const = default;
};

/// The server does not speak RESP2.
struct bad_reply : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// As the server wants it.
std::string encoded(const std::vector<std::string>& command);

/// Is given the bytes as they come.
class reply_parser {
 public:
  void add(std::string_view bytes);

  /// The next whole reply.  \throws bad_reply
  std::optional<reply> next();

 private:
  std::optional<reply> parse(std::size_t& at, int depth) const;
  std::optional<std::string_view> line(std::size_t& at) const;

  std::string unread_;
  std::size_t begin_ = 0;
};
