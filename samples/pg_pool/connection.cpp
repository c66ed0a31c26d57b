#include "connection.hpp"

#include <weft/error.hpp>
#include <weft/io/ready.hpp>
#include <weft/io/select.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <new>
#include <utility>

namespace {

using namespace std::chrono_literals;

using result = std::unique_ptr<PGresult, decltype(&PQclear)>;

rows rows_of(const PGresult* r) {
  rows all(static_cast<std::size_t>(PQntuples(r)));
  for (int i = 0; i < PQntuples(r); ++i) {
    for (int k = 0; k < PQnfields(r); ++k)
      all[static_cast<std::size_t>(i)].emplace_back(PQgetvalue(r, i, k), PQgetlength(r, i, k));
  }
  return all;
}

// A call of libpq's that blocks: it has a connection of its own.
void ask_to_stop(PGconn* session) {
  const std::unique_ptr<PGcancel, decltype(&PQfreeCancel)> request(PQgetCancel(session), &PQfreeCancel);
  std::array<char, 256> error{};
  if (request == nullptr || PQcancel(request.get(), error.data(), error.size()) == 0)
    throw pg_error(error.data());
}

}  // namespace

weft::routine<pg_connection> pg_connection::connect(std::string conninfo) {
  pg_connection c(PQconnectStart(conninfo.c_str()));
  if (c.session_ == nullptr) throw std::bad_alloc();
  PGconn* const session = c.session_.get();
  if (PQstatus(session) == CONNECTION_BAD) throw pg_error(PQerrorMessage(session));
  PostgresPollingStatusType wants = PGRES_POLLING_WRITING;
  while (wants == PGRES_POLLING_WRITING || wants == PGRES_POLLING_READING) {
    if (wants == PGRES_POLLING_WRITING)
      co_await weft::wait_writable(PQsocket(session));
    else
      co_await weft::wait_readable(PQsocket(session));
    wants = PQconnectPoll(session);
  }
  if (wants != PGRES_POLLING_OK || PQsetnonblocking(session, 1) != 0) throw pg_error(PQerrorMessage(session));
  co_return c;
}

weft::routine<rows> pg_connection::query(const std::string& statement) {
  std::exception_ptr failure;
  try {
    if (PQsendQuery(session_.get(), statement.c_str()) == 0) throw pg_error(PQerrorMessage(session_.get()));
    co_await flush();
    co_return co_await read_results();
  } catch (...) {
    failure = std::current_exception();
  }
  // The next query would get the rest of this one's answer.
  if (is_busy()) co_await weft::shield(stop_query());
  std::rethrow_exception(failure);
}

// A server that answers while we still send must be listened to, or both would wait for each other.
weft::routine<> pg_connection::flush() {
  PGconn* const session = session_.get();
  int left = PQflush(session);
  while (left == 1) {
    co_await weft::select(weft::on_readable(PQsocket(session), [&] { PQconsumeInput(session); }),
                          weft::on_writable(PQsocket(session)));
    left = PQflush(session);
  }
  if (left < 0) throw pg_error(PQerrorMessage(session));
}

// The rows of the last result, as the statement may be several.  To the end, also after an error.
weft::routine<rows> pg_connection::read_results() {
  PGconn* const session = session_.get();
  rows last;
  std::string error;
  while (true) {
    while (PQisBusy(session) == 1) {
      co_await weft::wait_readable(PQsocket(session));
      if (PQconsumeInput(session) == 0) throw pg_error(PQerrorMessage(session));
    }
    const result r(PQgetResult(session), &PQclear);
    if (r == nullptr) break;
    const ExecStatusType status = PQresultStatus(r.get());
    if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT)  // libpq would say so for ever
      throw pg_error("COPY to or from the client is not supported\n");
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY)
      error = PQresultErrorMessage(r.get());
    last = rows_of(r.get());
  }
  if (!error.empty()) throw pg_error(error);
  co_return last;
}

// Leaves the session ready for the next statement, or broken.
weft::routine<> pg_connection::stop_query() {
  try {
    co_await weft::block_on_io(ask_to_stop, session_.get());
    co_await weft::with_timeout(5s, read_results());
  } catch (const std::exception&) {
    // "canceling statement due to user request", the session has ended, or it could not be asked.  Why the
    // query is stopped is what its caller is told.
  }
  if (is_busy()) session_.reset();
}
