#include "resp.hpp"

#include <charconv>
#include <iterator>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace {

constexpr std::int64_t longest = 512 << 20;  // bytes of a text, as the server has it; items of an array
constexpr std::size_t longest_line = 65'536;
constexpr int deepest = 32;

std::int64_t number(std::string_view text) {
  std::int64_t n = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || stop != text.data() + text.size()) throw bad_reply("a number is none");
  return n;
}

std::int64_t length(std::string_view text) {
  const std::int64_t n = number(text);
  if (n < -1 || n > longest) throw bad_reply("a length out of all bounds");
  return n;
}

}  // namespace

std::string encoded(const std::vector<std::string>& command) {
  std::string bytes = fmt::format("*{}\r\n", command.size());
  for (const std::string& word : command)
    fmt::format_to(std::back_inserter(bytes), "${}\r\n{}\r\n", word.size(), word);
  return bytes;
}

void reply_parser::add(std::string_view bytes) {
  unread_.erase(0, begin_);
  begin_ = 0;
  unread_ += bytes;
}

std::optional<reply> reply_parser::next() {
  std::size_t at = begin_;
  auto r = parse(at, 0);
  if (r) begin_ = at;
  return r;
}

// Begins anew with each piece of a reply that comes in several, which only an array of many notices.
std::optional<reply> reply_parser::parse(std::size_t& at, int depth) const {
  const auto head = line(at);
  if (!head) return std::nullopt;
  if (head->empty() || depth > deepest) throw bad_reply("no reply");
  const std::string_view rest = head->substr(1);
  switch (head->front()) {
    case '+':
      return reply{.is = reply::kind::status, .text = std::string(rest)};
    case '-':
      return reply{.is = reply::kind::error, .text = std::string(rest)};
    case ':':
      return reply{.is = reply::kind::integer, .number = number(rest)};
    case '$': {
      const std::int64_t n = length(rest);
      if (n < 0) return reply{};
      const auto size = static_cast<std::size_t>(n);
      if (unread_.size() - at < size + 2) return std::nullopt;
      if (unread_.compare(at + size, 2, "\r\n") != 0) throw bad_reply("a text is longer than it says");
      reply r{.is = reply::kind::text, .text = unread_.substr(at, size)};
      at += size + 2;
      return r;
    }
    case '*': {
      const std::int64_t n = length(rest);
      if (n < 0) return reply{};
      reply r{.is = reply::kind::array};
      for (std::int64_t i = 0; i < n; ++i) {
        auto item = parse(at, depth + 1);
        if (!item) return std::nullopt;
        r.items.push_back(*std::move(item));
      }
      return r;
    }
    default:
      throw bad_reply("no reply");
  }
}

std::optional<std::string_view> reply_parser::line(std::size_t& at) const {
  const std::size_t end = unread_.find("\r\n", at);
  if (end == unread_.npos) {
    if (unread_.size() - at > longest_line) throw bad_reply("a line without an end");
    return std::nullopt;
  }
  const std::size_t begin = std::exchange(at, end + 2);
  return std::string_view(unread_).substr(begin, end - begin);
}
