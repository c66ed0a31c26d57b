#pragma once

// connection: a session with a PostgreSQL server, by libpq without its blocking calls.
//
// libpq owns the socket and says what it waits for; wait_readable() and wait_writable() wait for that.

#include <weft/weft.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <libpq-fe.h>

/// What the server says is wrong, or libpq.
struct pg_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Of one statement: as text, without the names of the columns.  Empty: it gives no rows.
using rows = std::vector<std::vector<std::string>>;

class pg_connection {
 public:
  /// `conninfo` is libpq's: "host=127.0.0.1 dbname=test".  \throws pg_error, weft::cancelled
  static weft::routine<pg_connection> connect(std::string conninfo);

  /// Runs one statement and waits for all of its rows.
  ///
  /// Cancelled - by with_timeout, say - or failed in the middle, it asks the server to stop, and waits for it
  /// to have done so: the session can be used again, or is_broken().
  /// \throws pg_error           the statement is wrong, or the session has ended
  /// \throws std::system_error  there was no descriptor to wait with
  weft::routine<rows> query(const std::string& statement);

  /// It is of no more use.
  bool is_broken() const {
    return session_ == nullptr || PQstatus(session_.get()) != CONNECTION_OK || is_busy();
  }

 private:
  struct finish {
    void operator()(PGconn* session) const { PQfinish(session); }
  };

  explicit pg_connection(PGconn* session) : session_(session) {}

  /// With a query that has not been read to its end.
  bool is_busy() const { return PQtransactionStatus(session_.get()) == PQTRANS_ACTIVE; }

  weft::routine<> flush();
  weft::routine<rows> read_results();
  weft::routine<> stop_query();

  std::unique_ptr<PGconn, finish> session_;
};
