#include "request.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <system_error>

namespace {

constexpr std::string_view white = " \t";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// RFC 9110: names of methods and fields.
bool is_token(std::string_view text) {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return is_digit(c) || is_letter(c) || others.find(c) != others.npos;
  });
}

bool is_visible(char c) {
  return c > ' ' && c < '\x7f';
}

// A control character in a value might be a line's end for somebody else.
bool is_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return c == '\t' || (u >= ' ' && u != 0x7f);
  });
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(white);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(white) + 1 - first);
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

// True if one of the elements of a list, as `close, TE`.
bool lists(std::string_view list, std::string_view element) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (same_name(trimmed(list.substr(0, comma)), element)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

std::optional<status> parse_request_line(std::string_view line, const limits& l, request& out) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == line.npos || first == last) return status::bad_request;
  out.method = line.substr(0, first);
  out.target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(out.method) || out.target.empty()) return status::bad_request;
  if (out.target.size() > l.target) return status::uri_too_long;
  if (!std::all_of(out.target.begin(), out.target.end(), is_visible)) return status::bad_request;
  if (version.size() != 8 || !version.starts_with("HTTP/") || !is_digit(version[5]) || version[6] != '.' ||
      !is_digit(version[7]))
    return status::bad_request;
  if (version[5] != '1') return status::version_not_supported;
  out.minor = version[7] - '0';
  return std::nullopt;
}

std::optional<status> parse_field(std::string_view line, const limits& l, request& out) {
  const std::size_t colon = line.find(':');
  if (colon == line.npos || !is_token(line.substr(0, colon))) return status::bad_request;
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (!is_value(value)) return status::bad_request;
  if (out.fields.size() == l.fields) return status::header_fields_too_large;
  out.fields.push_back({line.substr(0, colon), value});
  return std::nullopt;
}

// What the fields mean for the connection.  Two opinions about where a request ends would let one be
// smuggled into another.
std::optional<status> interpret_fields(request& r) {
  std::size_t hosts = 0;
  std::optional<std::string_view> length;
  bool has_coding = false;
  r.keep_alive = r.minor >= 1;
  for (const auto& [name, value] : r.fields) {
    if (same_name(name, "host")) {
      ++hosts;
    } else if (same_name(name, "content-length")) {
      if (value.empty() || !std::all_of(value.begin(), value.end(), is_digit)) return status::bad_request;
      if (length && *length != value) return status::bad_request;
      length = value;
    } else if (same_name(name, "transfer-encoding")) {
      has_coding = true;
    } else if (same_name(name, "connection")) {
      if (lists(value, "close")) r.keep_alive = false;
      if (r.minor == 0 && lists(value, "keep-alive")) r.keep_alive = true;
    }
  }
  if (hosts > 1 || (hosts == 0 && r.minor >= 1)) return status::bad_request;
  if (has_coding && (length || r.minor == 0)) return status::bad_request;
  r.has_body = has_coding || (length && length->find_first_not_of('0') != length->npos);
  return std::nullopt;
}

std::optional<int> hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (lower(c) >= 'a' && lower(c) <= 'f') return lower(c) - 'a' + 10;
  return std::nullopt;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size() + std::string_view("index.html").size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    const auto high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
    if (!high || !low || *high + *low == 0) return std::nullopt;  // a zero would end the path for the system
    out += static_cast<char>(*high * 16 + *low);
    i += 2;
  }
  return out;
}

bool has_dot_dot(std::string_view path) {
  while (true) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    if (path.substr(0, slash) == "..") return true;
    if (slash == path.size()) return false;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::optional<std::string_view> request::find(std::string_view name) const {
  const auto found =
      std::find_if(fields.begin(), fields.end(), [&](const field& f) { return same_name(f.name, name); });
  if (found == fields.end()) return std::nullopt;
  return found->value;
}

parsed parse_head(std::string_view input, const limits& l, request& out) {
  out = {};
  bool has_line = false;  // the request line
  std::size_t at = 0;
  const auto refused = [](status s) { return parsed{parsed::how::refused, 0, s}; };
  while (true) {
    const std::size_t end = input.find('\n', at);
    if (std::min(end, input.size()) > l.head) {
      return refused(has_line || at > l.target ? status::header_fields_too_large : status::uri_too_long);
    }
    if (end == input.npos) return {};
    std::string_view line = input.substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    at = end + 1;
    if (line.empty()) {
      if (!has_line) continue;  // left over from the request before, says the RFC
      if (const auto wrong = interpret_fields(out)) return refused(*wrong);
      return {parsed::how::complete, at};
    }
    const auto wrong = has_line ? parse_field(line, l, out) : parse_request_line(line, l, out);
    if (wrong) return refused(*wrong);
    has_line = true;
  }
}

std::optional<std::string> path_of(std::string_view target) {
  if (constexpr std::string_view scheme = "http://"; same_name(target.substr(0, scheme.size()), scheme)) {
    target.remove_prefix(std::min(target.find('/', scheme.size()), target.size()));
    if (target.empty()) target = "/";
  }
  if (!target.starts_with('/')) return std::nullopt;
  auto path = percent_decoded(target.substr(0, target.find_first_of("?#")));
  if (!path || has_dot_dot(*path)) return std::nullopt;
  if (path->ends_with('/')) *path += "index.html";
  path->erase(0, path->find_first_not_of('/'));
  return path;
}
