#pragma once

// pool: a number of sessions that routines take turns with.  A channel is all it needs: who takes one from it
// waits until there is one, in the order of coming, and gives it back by sending it.

#include <weft/weft.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "connection.hpp"

class pg_pool {
 public:
  /// At most so many sessions, which are made when they are needed.
  pg_pool(std::string conninfo, std::size_t sessions) : conninfo_(std::move(conninfo)), places_(sessions) {
    for (std::size_t i = 0; i < sessions; ++i) give_back(std::nullopt);
  }

  /// Runs a statement in the next session that is free, for at most so long.  One that has broken is replaced
  /// by its next user, who has as long for that.
  /// \throws pg_error, weft::timeout_error, weft::cancelled
  weft::routine<rows> query(std::string statement, std::chrono::milliseconds limit) {
    place taken(*this);
    auto free = co_await places_.recv();
    taken.session = *std::move(free);
    taken.is_held = true;
    if (!taken.session || taken.session->is_broken())
      taken.session = co_await weft::with_timeout(limit, pg_connection::connect(conninfo_));
    co_return co_await weft::with_timeout(limit, taken.session->query(statement));
  }

 private:
  /// Gives the session back, however the routine ends.
  struct place {
    explicit place(pg_pool& p) : pool(p) {}

    place(const place&) = delete;
    place& operator=(const place&) = delete;

    ~place() {
      if (is_held) pool.give_back(std::move(session));
    }

    pg_pool& pool;
    std::optional<pg_connection> session{};
    bool is_held = false;
  };

  void give_back(std::optional<pg_connection> session) {
    (void)places_.try_send(std::move(session));  // there is room for all of them
  }

  const std::string conninfo_;
  weft::channel<std::optional<pg_connection>> places_;
};
