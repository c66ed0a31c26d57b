#pragma once

// answer: what a request gets, and the head that says so.  Nothing here reads or writes anything.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "request.hpp"

/// To the second, as HTTP has it.
using http_time = std::chrono::sys_seconds;

/// What is known of a file before it is read.
struct file_facts {
  std::uint64_t size = 0;
  http_time modified{};
  std::string_view type;
};

/// Of a file the bytes [first, first + length) follow the head.
struct answer {
  status code = status::ok;
  std::uint64_t first = 0;
  std::uint64_t length = 0;
  std::optional<file_facts> file{};
  bool keep_alive = true;
};

struct file_request {
  std::string path;               // beneath the root
  std::optional<status> refusal;  // or what to answer without looking
};

/// Which file a request asks for.
file_request file_of(const request& r);

/// What a GET or HEAD of this file gets: all of it, a range, or nothing because the client has it already.
answer answer_with(const request& r, const file_facts& file);

/// What goes without a file.  Its body is one line of text, which head_of() has with it.
answer answer_without_file(status code, bool keep_alive);

/// The head; the body is not the file's, or not sent, for `is_head`.
std::string head_of(const answer& a, bool is_head, http_time now);

/// "Sun, 06 Nov 1994 08:49:37 GMT"
std::string date_text(http_time t);
std::optional<http_time> parse_date(std::string_view text);

/// A part of a file, as the field Range asks for it.
struct byte_range {
  enum class how { whole, part, unsatisfiable };

  how is = how::whole;
  std::uint64_t first = 0;
  std::uint64_t length = 0;
};

/// Whole for what is no range, and for several: a server may always ignore them.
byte_range range_of(std::string_view value, std::uint64_t size);

/// Of a file by that name.
std::string_view type_of(std::string_view path);
