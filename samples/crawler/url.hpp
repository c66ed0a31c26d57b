#pragma once

// url: addresses of pages, and the links in a page.  Of RFC 3986 what http needs.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct url {
  std::string host;
  std::string port = "80";
  std::string path = "/";  // with the query

  std::string text() const;

  bool operator==(const url&) const = default;
  auto operator<=>(const url&) const = default;
};

/// "http://host:port/path"; a fragment is dropped, blanks and the like are encoded.  Empty: something else.
std::optional<url> parse_url(std::string_view text);

/// What a link in the page at `base` refers to.  Empty: nothing of http.
std::optional<url> resolve_link(const url& base, std::string_view link);

/// The values of all href attributes, in order.
std::vector<std::string> links_in(std::string_view html);
