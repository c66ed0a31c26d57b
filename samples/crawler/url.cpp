#include "url.hpp"

#include <algorithm>

namespace {

constexpr std::string_view scheme = "http://";
constexpr std::string_view blanks = " \t\r\n";

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool has_scheme(std::string_view link) {
  const std::size_t end = link.find_first_of(":/?#");
  return end != link.npos && link[end] == ':';
}

// "/a/./b/../c" is "/a/c".
std::string without_dots(std::string_view path) {
  std::vector<std::string_view> kept;
  std::size_t at = 1;
  while (at <= path.size()) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view segment = path.substr(at, end - at);
    const bool is_last = end == path.size();
    const bool is_dots = segment == "." || segment == "..";
    if (segment == ".." && !kept.empty()) kept.pop_back();
    if (!is_dots) kept.push_back(segment);
    if (is_dots && is_last) kept.push_back("");
    at = end + 1;
  }
  std::string all;
  for (const std::string_view segment : kept) all.append("/").append(segment);
  return all.empty() ? "/" : all;
}

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

// As browsers do: blanks around a link are not part of it, nor are the ends of lines that it was broken by.
std::string without_breaks(std::string_view link) {
  const std::size_t first = std::min(link.find_first_not_of(blanks), link.size());
  std::string kept(link.substr(first, link.find_last_not_of(blanks) + 1 - first));
  std::erase_if(kept, [](char c) { return c == '\t' || c == '\r' || c == '\n'; });
  return kept;
}

bool is_plain(char c) {
  return c > ' ' && c < '\x7f';
}

// What has no place in a request line would end it, or begin another.
std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string all;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_plain(c))
      all += c;
    else
      all.append({'%', digits[byte / 16], digits[byte % 16]});
  }
  return all;
}

std::size_t skip_white(std::string_view text, std::size_t at) {
  return std::min(text.find_first_not_of(blanks, at), text.size());
}

}  // namespace

std::string url::text() const {
  return std::string(scheme) + host + ":" + port + path;
}

std::optional<url> parse_url(std::string_view text) {
  if (!text.starts_with(scheme)) return std::nullopt;
  text.remove_prefix(scheme.size());
  text = text.substr(0, text.find('#'));
  const std::size_t end = std::min(text.find_first_of("/?"), text.size());
  const std::string_view authority = text.substr(0, end);
  const std::size_t colon = std::min(authority.find(':'), authority.size());
  url u;
  u.host = authority.substr(0, colon);
  std::transform(u.host.begin(), u.host.end(), u.host.begin(), lower);
  if (colon < authority.size()) u.port = authority.substr(colon + 1);
  const std::string_view rest = text.substr(end);
  const std::size_t query = std::min(rest.find('?'), rest.size());
  u.path = percent_encoded(without_dots(rest.substr(0, query)).append(rest.substr(query)));
  const bool is_port = !u.port.empty() && u.port.find_first_not_of("0123456789") == u.port.npos;
  const bool is_host = !u.host.empty() && std::all_of(u.host.begin(), u.host.end(), is_plain);
  if (!is_host || !is_port) return std::nullopt;
  return u;
}

std::optional<url> resolve_link(const url& base, std::string_view as_written) {
  std::string link = without_breaks(as_written);
  link.erase(std::min(link.find('#'), link.size()));
  if (has_scheme(link)) return parse_url(link);
  if (link.starts_with("//")) return parse_url("http:" + link);
  std::string path = base.path.substr(0, base.path.find('?'));
  if (link.starts_with('/')) {
    path = link;
  } else if (link.starts_with('?')) {
    path += link;
  } else if (!link.empty()) {
    path.erase(path.rfind('/') + 1);
    path += link;
  } else {
    path = base.path;
  }
  return parse_url(std::string(scheme) + base.host + ":" + base.port + path);
}

std::vector<std::string> links_in(std::string_view html) {
  constexpr std::string_view name = "href";
  std::vector<std::string> links;
  const auto same = [](char a, char b) { return lower(a) == b; };
  auto at = html.begin();
  while (true) {
    at = std::search(at, html.end(), name.begin(), name.end(), same);
    if (at == html.end()) return links;
    at += name.size();
    const auto here = static_cast<std::size_t>(at - html.begin());
    const std::size_t equals = skip_white(html, here);
    if (equals == html.size() || html[equals] != '=') continue;
    const std::size_t begin = skip_white(html, equals + 1);
    if (begin == html.size() || (html[begin] != '"' && html[begin] != '\'')) continue;
    const std::size_t end = html.find(html[begin], begin + 1);
    if (end == html.npos) return links;
    links.push_back(replaced(std::string(html.substr(begin + 1, end - begin - 1)), "&amp;", "&"));
    at = html.begin() + static_cast<std::ptrdiff_t>(end);
  }
}
