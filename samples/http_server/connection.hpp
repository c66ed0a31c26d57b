#pragma once

// connection: one HTTP/1.1 connection, from its first request to its last answer, in a routine.
//
// A cancellation is the order to stop.  It ends the wait for a request, and nothing else: whatever has begun
// is shielded from it.  Each of those waits has a limit of its own instead, so all of it ends; also the last,
// for the peer's end.
//
// Stream reads and writes as weft::tcp_stream does.  Site has
//   weft::routine<Site::document> open(std::string path)
// and a document has what site::opened has, and a read_at() as weft::file's.

#include <weft/error.hpp>
#include <weft/io/buffer.hpp>
#include <weft/io/select.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "answer.hpp"
#include "input.hpp"
#include "request.hpp"

template <typename Stream, typename Site>
class connection {
 public:
  connection(Stream peer, Site& files, const limits& l) : peer_(std::move(peer)), files_(files), limits_(l) {}

  weft::routine<> serve() {
    try {
      bool goes_on = true;
      while (goes_on) {
        goes_on = co_await await_request();
        if (goes_on) goes_on = co_await weft::shield(exchange(weft::this_routine::cancelled()));
      }
      co_await weft::shield(part());
    } catch (const std::exception&) {
      // The peer is gone or too slow, or memory has run out: the end of this connection and of no other.
    }
  }

 private:
  using document = typename Site::document;

  static constexpr std::chrono::seconds farewell{1};
  static constexpr std::size_t piece_size = 65'536;  // all that one connection holds of a file
  static constexpr std::size_t most_owed = 65'536;

  // False: the peer has ended or was idle for too long, or the server stops.
  weft::routine<bool> await_request() {
    bool is_stopping = false;
    try {
      if (input_.empty()) co_await read_more(limits_.idle);
    } catch (const weft::cancelled&) {
      is_stopping = true;
    } catch (const weft::timeout_error&) {
    }
    if (is_stopping) co_await weft::shield(look_a_last_time());
    co_return !input_.empty();
  }

  // What lies there when the server is told to stop has begun, too, and is owed an answer.  What comes later
  // is not: a client that never pauses would keep the server from its end.
  weft::routine<> look_a_last_time() {
    has_looked_ = true;
    bool has_more = true;
    while (has_more && input_.unread().size() < most_owed) {
      const std::size_t which =
          co_await weft::select(weft::on_readable(peer_.native_handle()), weft::otherwise());
      has_more = which == 0;
      if (has_more) has_more = co_await read_more(limits_.idle);  // which is at once
    }
    owed_ = input_.unread().size();
  }

  weft::routine<bool> read_more(std::chrono::milliseconds limit) {
    const std::size_t n = co_await weft::with_timeout(limit, peer_.read_some(input_.room()));
    input_.add(n);
    co_return n > 0;
  }

  // Answers one request.  False: it was the last.
  weft::routine<bool> exchange(bool is_stopping) {
    if (is_stopping && !has_looked_) co_await look_a_last_time();
    request asked;
    parsed head = parse_head(input_.unread(), limits_, asked);
    if (head.is == parsed::how::incomplete) head = co_await rest_of_head(asked);
    if (head.is == parsed::how::incomplete) co_return false;
    document file;
    if (head.is == parsed::how::refused) {
      const answer refused = answer_without_file(head.refusal, false);
      co_await send(refused, false, file);
      co_return false;
    }

    // Nobody reads bodies here, and whoever is told to close knows that later requests were not seen.
    const bool is_last = is_stopping && owed_ <= head.size;
    asked.keep_alive = asked.keep_alive && !asked.has_body && !is_last;
    const file_request wanted = file_of(asked);
    if (!wanted.refusal) file = co_await files_.open(wanted.path);
    const bool is_found = !wanted.refusal && file.is_found();
    const answer a = is_found ? answer_with(asked, file.facts)
                              : answer_without_file(wanted.refusal.value_or(file.refusal), asked.keep_alive);
    const bool is_sent = co_await send(a, asked.method == "HEAD", file);
    input_.consume(head.size);
    owed_ -= std::min(owed_, head.size);
    co_return is_sent&& a.keep_alive;
  }

  // Incomplete: the peer has ended in the middle.
  weft::routine<parsed> rest_of_head(request& asked) {
    try {
      co_return co_await weft::with_timeout(limits_.head_time, read_head(asked));
    } catch (const weft::timeout_error&) {
      co_return parsed{parsed::how::refused, 0, status::request_timeout};
    }
  }

  weft::routine<parsed> read_head(request& asked) {
    parsed head;
    while (head.is == parsed::how::incomplete) {
      const bool has_more = co_await read_more(limits_.head_time);
      if (!has_more) break;
      head = parse_head(input_.unread(), limits_, asked);
    }
    co_return head;
  }

  // The head and the first piece go in one system call.  False: the file has become shorter meanwhile, which
  // only the end of the connection can tell.
  weft::routine<bool> send(answer a, bool is_head, document& file) {
    std::uint64_t at = a.first;
    std::uint64_t left = is_head ? 0 : a.length;
    std::vector<char> piece(std::min<std::uint64_t>(left, piece_size));
    std::size_t n = 0;
    try {
      if (left > 0) n = co_await file.read_at(at, piece);
    } catch (const std::system_error&) {  // which can still be said
      a = answer_without_file(status::internal_server_error, a.keep_alive);
      left = 0;
    }
    const std::string head = head_of(a, is_head, now());
    const std::array both{weft::const_buffer(head), weft::const_buffer(piece.data(), n)};
    co_await weft::with_timeout(limits_.write_time, peer_.write_all(both));
    while (n > 0 && n < left) {
      at += n;
      left -= n;
      const weft::mutable_buffer room(piece.data(), std::min<std::uint64_t>(left, piece.size()));
      n = co_await file.read_at(at, room);
      co_await weft::with_timeout(limits_.write_time, peer_.write_all(weft::const_buffer(piece.data(), n)));
    }
    co_return n == left;
  }

  // Bytes that lie unread in a socket that is closed, or come to it later, are a reset for the peer, which
  // may overtake the answer.
  weft::routine<> part() {
    peer_.shutdown_write();
    input_.consume(input_.unread().size());
    co_await weft::with_timeout(farewell, read_to_end());
  }

  weft::routine<> read_to_end() {
    bool has_more = true;
    while (has_more) {
      has_more = co_await read_more(farewell);
      input_.consume(input_.unread().size());
    }
  }

  static http_time now() {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  }

  Stream peer_;
  Site& files_;
  const limits& limits_;
  input_buffer input_;
  bool has_looked_ = false;  // since the server was told to stop
  std::size_t owed_ = 0;     // bytes of requests that had come by then
};
