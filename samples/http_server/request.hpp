#pragma once

// request: the heads of HTTP/1.x requests (RFC 9112), out of bytes.  Nothing here reads or writes anything.

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What a client may ask for, and how long it may take.
struct limits {
  std::size_t target = 8'000;  // bytes; RFC 9112 wants at least that
  std::size_t head = 16'384;   // bytes, all lines
  std::size_t fields = 100;
  std::chrono::milliseconds idle{60'000};  // between two requests
  std::chrono::milliseconds head_time{10'000};
  std::chrono::milliseconds write_time{30'000};  // for a piece of the answer, 64 KiB
};

enum class status {
  ok = 200,
  partial_content = 206,
  not_modified = 304,
  bad_request = 400,
  forbidden = 403,
  not_found = 404,
  method_not_allowed = 405,
  request_timeout = 408,
  uri_too_long = 414,
  range_not_satisfiable = 416,
  header_fields_too_large = 431,
  internal_server_error = 500,
  not_implemented = 501,
  service_unavailable = 503,
  version_not_supported = 505,
};

/// Refers to the bytes that it was parsed from.
struct request {
  struct field {
    std::string_view name, value;
  };

  std::string_view method, target;
  int minor = 1;  // of the version
  std::vector<field> fields;
  bool keep_alive = true;
  bool has_body = false;

  /// The first field of that name, in any case.
  std::optional<std::string_view> find(std::string_view name) const;
};

struct parsed {
  enum class how { incomplete, complete, refused };

  how is = how::incomplete;
  std::size_t size = 0;                  // complete: of the head
  status refusal = status::bad_request;  // refused: what to answer
};

/// Parses the head at the beginning of `input`; `out` has a value if it is complete.
parsed parse_head(std::string_view input, const limits& l, request& out);

/// Where the target lies beneath the root: without the query, percent-decoded, not absolute, `index.html`
/// added to a directory's.  Empty: it is nothing that could lie there, as what has a `..` in it.
std::optional<std::string> path_of(std::string_view target);

/// The same but for the case of ASCII letters.
bool same_name(std::string_view a, std::string_view b);
