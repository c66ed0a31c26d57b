#include "response.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace {

constexpr std::size_t longest_head = 65'536;

std::size_t number(std::string_view text, int base) {
  std::size_t n = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), n, base);
  if (error != std::errc() || stop != text.data() + text.size())
    throw bad_response("a bad number in the answer");
  return n;
}

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  return first == text.npos ? std::string_view()
                            : text.substr(first, text.find_last_not_of(" \t") + 1 - first);
}

}  // namespace

void response_parser::add(std::string_view bytes) {
  unread_.erase(0, begin_);
  begin_ = 0;
  unread_ += bytes;
  while (step()) {
  }
  if (out_.body.size() > most) throw bad_response("the answer is too long");
}

void response_parser::end() {
  if (at_ == part::to_end) at_ = part::done;
  if (at_ != part::done) throw bad_response("the connection ended in the middle of the answer");
}

// False: more bytes are needed.
bool response_parser::step() {
  std::string_view line;
  switch (at_) {
    case part::head:
      return parse_head();
    case part::sized:
      if (!take_body()) return false;
      at_ = part::done;
      return true;
    case part::to_end:
      left_ = unread_.size() - begin_;
      take_body();
      return false;
    case part::chunk_size:
      if (!take_line(line)) return false;
      left_ = number(trimmed(line.substr(0, line.find(';'))), 16);
      at_ = left_ == 0 ? part::trailer : part::chunk;
      return true;
    case part::chunk:
      if (!take_body()) return false;
      at_ = part::after_chunk;
      return true;
    case part::after_chunk:
      if (!take_line(line)) return false;
      if (!line.empty()) throw bad_response("a chunk is longer than it says");
      at_ = part::chunk_size;
      return true;
    case part::trailer:
      if (!take_line(line)) return false;
      if (line.empty()) at_ = part::done;
      return true;
    case part::done:
      return false;
  }
  return false;
}

bool response_parser::parse_head() {
  const std::size_t end = unread_.find("\r\n\r\n", begin_);
  if (end == unread_.npos) {
    if (unread_.size() > longest_head) throw bad_response("the head of the answer is too long");
    return false;
  }
  std::string_view line;
  take_line(line);
  if (!line.starts_with("HTTP/1.") || line.size() < 12) throw bad_response("this is not HTTP/1");
  out_.code = static_cast<int>(number(line.substr(9, 3), 10));
  at_ = out_.code == 204 || out_.code == 304 ? part::done : part::to_end;
  while (take_line(line) && !line.empty()) {
    const std::size_t colon = std::min(line.find(':'), line.size() - 1);
    const std::string_view name = line.substr(0, colon), value = trimmed(line.substr(colon + 1));
    if (same_name(name, "content-type")) out_.type = value;
    if (same_name(name, "location")) out_.location = value;
    if (same_name(name, "content-length") && at_ == part::to_end) {
      left_ = number(value, 10);
      at_ = part::sized;
    }
    if (same_name(name, "transfer-encoding") && at_ != part::done) at_ = part::chunk_size;
  }
  if (out_.code / 100 == 1) {  // the answer proper is still to come
    at_ = part::head;
    out_ = {};
  }
  return true;
}

// What there is of the body, or of a chunk.  True: that was all of it.
bool response_parser::take_body() {
  const std::size_t n = std::min(left_, unread_.size() - begin_);
  out_.body.append(unread_, begin_, n);
  begin_ += n;
  left_ -= n;
  return left_ == 0;
}

bool response_parser::take_line(std::string_view& line) {
  const std::size_t end = unread_.find("\r\n", begin_);
  if (end == unread_.npos) {
    if (unread_.size() - begin_ > longest_head) throw bad_response("a line of the answer is too long");
    return false;
  }
  line = std::string_view(unread_).substr(begin_, end - begin_);
  begin_ = end + 2;
  return true;
}
