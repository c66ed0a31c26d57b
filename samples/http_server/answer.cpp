#include "answer.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <iterator>
#include <limits>
#include <system_error>
#include <utility>

#include <fmt/compile.h>
#include <fmt/format.h>

namespace {

constexpr const char* date_format = "%a, %d %b %Y %H:%M:%S GMT";  // of the locale C, which the program is in

std::string_view reason_of(status code) {
  switch (code) {
    case status::ok:
      return "OK";
    case status::partial_content:
      return "Partial Content";
    case status::not_modified:
      return "Not Modified";
    case status::bad_request:
      return "Bad Request";
    case status::forbidden:
      return "Forbidden";
    case status::not_found:
      return "Not Found";
    case status::method_not_allowed:
      return "Method Not Allowed";
    case status::request_timeout:
      return "Request Timeout";
    case status::uri_too_long:
      return "URI Too Long";
    case status::range_not_satisfiable:
      return "Range Not Satisfiable";
    case status::header_fields_too_large:
      return "Request Header Fields Too Large";
    case status::internal_server_error:
      return "Internal Server Error";
    case status::not_implemented:
      return "Not Implemented";
    case status::service_unavailable:
      return "Service Unavailable";
    case status::version_not_supported:
      return "HTTP Version Not Supported";
  }
  return "";
}

// One too large for us is beyond every file.
std::optional<std::uint64_t> number(std::string_view digits) {
  std::uint64_t n = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  if (digits.empty() || stop != digits.data() + digits.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range) return std::numeric_limits<std::uint64_t>::max();
  return error == std::errc() ? std::optional(n) : std::nullopt;
}

bool has_it_already(const request& r, const file_facts& file) {
  // Files have no tags here: none matches but "any", and a date counts for nothing beside them.
  if (const auto tags = r.find("if-none-match")) return *tags == "*";
  const auto since = r.find("if-modified-since");
  const auto date = since ? parse_date(*since) : std::nullopt;
  return date && file.modified <= *date;
}

byte_range asked_range(const request& r, const file_facts& file) {
  const auto range = r.find("range");
  if (!range || r.method != "GET") return {};
  const auto if_range = r.find("if-range");  // the rest is wanted only of the file that the client began with
  if (if_range && *if_range != date_text(file.modified)) return {};
  return range_of(*range, file.size);
}

}  // namespace

file_request file_of(const request& r) {
  constexpr std::array others{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"};
  if (r.method != "GET" && r.method != "HEAD") {
    const bool is_known = std::find(others.begin(), others.end(), r.method) != others.end();
    return {"", is_known ? status::method_not_allowed : status::not_implemented};
  }
  auto path = path_of(r.target);
  if (!path) return {"", status::bad_request};
  return {*std::move(path), std::nullopt};
}

answer answer_with(const request& r, const file_facts& file) {
  answer a{.length = file.size, .file = file, .keep_alive = r.keep_alive};
  if (has_it_already(r, file)) {
    a.code = status::not_modified;
    a.length = 0;
    return a;
  }
  const byte_range range = asked_range(r, file);
  if (range.is == byte_range::how::whole) return a;
  const bool has_part = range.is == byte_range::how::part;
  a.code = has_part ? status::partial_content : status::range_not_satisfiable;
  a.first = range.first;
  a.length = range.length;
  return a;
}

answer answer_without_file(status code, bool keep_alive) {
  return {.code = code, .keep_alive = keep_alive};
}

std::string head_of(const answer& a, bool is_head, http_time now) {
  fmt::memory_buffer head;
  const auto to = std::back_inserter(head);
  fmt::format_to(to, FMT_COMPILE("HTTP/1.1 {} {}\r\nDate: {}\r\n"), static_cast<int>(a.code),
                 reason_of(a.code), date_text(now));
  std::string text;  // the body, if it is none of a file's bytes
  if (!a.file || a.code == status::range_not_satisfiable) {
    text = fmt::format("{} {}\n", static_cast<int>(a.code), reason_of(a.code));
    fmt::format_to(to, FMT_COMPILE("Content-Type: text/plain\r\nContent-Length: {}\r\n"), text.size());
  } else {
    fmt::format_to(to, FMT_COMPILE("Last-Modified: {}\r\nAccept-Ranges: bytes\r\n"),
                   date_text(a.file->modified));
    if (a.code != status::not_modified)
      fmt::format_to(to, FMT_COMPILE("Content-Type: {}\r\nContent-Length: {}\r\n"), a.file->type, a.length);
  }
  if (a.code == status::partial_content)
    fmt::format_to(to, FMT_COMPILE("Content-Range: bytes {}-{}/{}\r\n"), a.first, a.first + a.length - 1,
                   a.file->size);
  if (a.code == status::range_not_satisfiable)
    fmt::format_to(to, FMT_COMPILE("Content-Range: bytes */{}\r\n"), a.file->size);
  if (a.code == status::method_not_allowed) fmt::format_to(to, FMT_COMPILE("Allow: GET, HEAD\r\n"));
  fmt::format_to(to, FMT_COMPILE("Connection: {}\r\n\r\n"), a.keep_alive ? "keep-alive" : "close");
  if (!is_head) head.append(text);
  return fmt::to_string(head);
}

std::string date_text(http_time t) {
  const std::time_t seconds = t.time_since_epoch().count();
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 64> text;
  return {text.data(), std::strftime(text.data(), text.size(), date_format, &parts)};
}

std::optional<http_time> parse_date(std::string_view text) {
  const std::string whole(text);
  std::tm parts{};
  const char* const end = ::strptime(whole.c_str(), date_format, &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return http_time(std::chrono::seconds(::timegm(&parts)));
}

byte_range range_of(std::string_view value, std::uint64_t size) {
  constexpr std::string_view unit = "bytes=";
  const std::size_t dash = value.find('-');
  if (!same_name(value.substr(0, unit.size()), unit) || dash == value.npos) return {};
  const std::string_view from = value.substr(unit.size(), dash - unit.size()), to = value.substr(dash + 1);
  const auto first = number(from), last = number(to);
  if ((!first && !from.empty()) || (!last && !to.empty()) || (!first && !last)) return {};
  if (!first) {  // the last so many
    const std::uint64_t length = std::min(*last, size);
    if (length == 0) return {byte_range::how::unsatisfiable};
    return {byte_range::how::part, size - length, length};
  }
  if (last && *last < *first) return {};
  if (*first >= size) return {byte_range::how::unsatisfiable};
  const std::uint64_t end = std::min(last.value_or(size - 1), size - 1);
  return {byte_range::how::part, *first, end - *first + 1};
}

std::string_view type_of(std::string_view path) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 18> types{{
      {".css", "text/css; charset=utf-8"},
      {".csv", "text/csv; charset=utf-8"},
      {".gif", "image/gif"},
      {".htm", "text/html; charset=utf-8"},
      {".html", "text/html; charset=utf-8"},
      {".ico", "image/x-icon"},
      {".jpeg", "image/jpeg"},
      {".jpg", "image/jpeg"},
      {".js", "text/javascript; charset=utf-8"},
      {".json", "application/json"},
      {".md", "text/markdown; charset=utf-8"},
      {".pdf", "application/pdf"},
      {".png", "image/png"},
      {".svg", "image/svg+xml"},
      {".txt", "text/plain; charset=utf-8"},
      {".wasm", "application/wasm"},
      {".webp", "image/webp"},
      {".xml", "application/xml"},
  }};
  const std::size_t dot = path.find_last_of("./");
  const std::string_view extension = dot == path.npos ? std::string_view() : path.substr(dot);
  const auto found =
      std::find_if(types.begin(), types.end(), [&](const auto& t) { return same_name(t.first, extension); });
  return found == types.end() ? "application/octet-stream" : found->second;
}
