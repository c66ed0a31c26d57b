// pg_pool: runs SQL statements on a PostgreSQL server, through libpq and a pool of sessions.
//
//   pg_pool CONNINFO SESSIONS MILLISECONDS
//
// Each line of the input is a statement, run at the same time as the others, as far as there are sessions
// (pool.hpp), and for so long at most.  The answers are printed in the order of the lines.

#include <weft/error.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "pool.hpp"

namespace {

struct work {
  pg_pool pool;
  std::chrono::milliseconds limit;
};

weft::routine<std::string> run(work& w, std::string statement) {
  std::string text;
  try {
    const rows got = co_await w.pool.query(std::move(statement), w.limit);
    for (const auto& row : got) text += fmt::format("{}\n", fmt::join(row, " | "));
    text += fmt::format("({} rows)\n", got.size());
  } catch (const weft::timeout_error&) {
    text = "cancelled: it took too long\n";
  } catch (const pg_error& e) {
    text = e.what();
  } catch (const std::system_error& e) {  // of this statement, as when descriptors run out
    text = fmt::format("{}\n", e.what());
  }
  co_return text;
}

std::optional<std::string> read_line() {
  std::string line;
  if (!std::getline(std::cin, line)) return std::nullopt;
  return line;
}

weft::routine<> start_all(work& w, weft::channel_sender<weft::join_handle<std::string>> started) {
  while (auto line = co_await weft::block_on_io(read_line)) {
    auto running = weft::go(run, std::ref(w), *std::move(line));
    co_await started.send(std::move(running));
  }
}

weft::routine<> print_all(weft::channel_receiver<weft::join_handle<std::string>> started) {
  while (auto next = co_await started.recv()) {
    const std::string text = co_await *std::move(next);
    fmt::print("{}", text);
    std::fflush(stdout);
  }
}

weft::routine<> run_all(work& w) {
  co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
    auto [started, to_print] = weft::make_channel<weft::join_handle<std::string>>(1000);
    s.go(start_all, std::ref(w), std::move(started));
    s.go(print_all, std::move(to_print));
    co_return;
  });
}

}  // namespace

int main(int argc, char** argv) {
  const int sessions = argc == 4 ? std::atoi(argv[2]) : 0;
  const int milliseconds = argc == 4 ? std::atoi(argv[3]) : 0;
  if (sessions < 1 || milliseconds < 1) {
    fmt::print(stderr, "usage: pg_pool CONNINFO SESSIONS MILLISECONDS\n");
    return 2;
  }
  work w{pg_pool(argv[1], static_cast<std::size_t>(sessions)), std::chrono::milliseconds(milliseconds)};
  weft::go(run_all, std::ref(w)).join();
}
