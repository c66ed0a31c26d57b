// corpus_facade: the corpus sample in plain blocking code, without a single co_await.
//
//   walker --paths--> readers --pieces--> counters --results--> merger
//
// The same parts and the same channels as corpus.cpp; here each stage is an ordinary function on a thread of
// its own while it waits, and wait() does what co_await does there: the worker's routines go on meanwhile.

#include <weft/blocking.hpp>
#include <weft/io/directory.hpp>
#include <weft/io/file.hpp>
#include <weft/runtime.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "files.hpp"
#include "interrupt.hpp"
#include "options.hpp"
#include "report.hpp"
#include "text.hpp"

namespace {

using namespace weft::blocking;
using namespace std::chrono_literals;

/// What all stages of a run share; it outlives them.
struct counting {
  const options& chosen;
  const interrupt_watch& ctrl_c;
  console& con;
  const unsigned counters;

  channel<std::string> paths{64};
  channel<piece> pieces{16};
  channel<word_counter> results{0};
  std::atomic<unsigned> readers_left = chosen.readers;
  std::atomic<unsigned> counters_left = counters;
  weft::event is_over{};
};

// Symbolic links are neither followed nor named.
void walk_directory(counting& r, const std::string& directory, std::vector<std::string>& to_walk) {
  const weft::directory_listing found = wait(weft::list_directory(directory));
  for (const weft::directory_entry entry : found) {
    if (r.ctrl_c.is_interrupted()) return;  // as if the tree ended here
    std::string path = path_in(directory, entry.name);
    weft::file_kind kind = entry.kind;
    if (kind == weft::file_kind::unknown) kind = wait(weft::link_metadata(path)).kind;
    if (kind == weft::file_kind::directory) to_walk.push_back(path);
    if (kind == weft::file_kind::regular) r.paths.send(std::move(path));
  }
}

void walk(counting& r) {
  std::vector<std::string> to_walk{r.chosen.directory};
  while (!to_walk.empty() && !r.ctrl_c.is_interrupted()) {
    const std::string directory = std::move(to_walk.back());
    to_walk.pop_back();
    try {
      walk_directory(r, directory, to_walk);
    } catch (const std::system_error& e) {
      r.con.unreadable({directory, e.code()});
    }
  }
  r.paths.close();
}

void read_file(counting& r, const std::string& path) {
  weft::file file = wait(weft::file::open(path, weft::open_flags::read | weft::open_flags::no_follow));
  const weft::file_metadata about = wait(file.metadata());
  require_regular(about);
  piece_cutter cutter(about);
  std::uint64_t at = 0;
  while (!cutter.is_at_end() && !r.ctrl_c.is_interrupted()) {
    const std::size_t n = wait(file.read_at(at, cutter.room()));
    at += n;
    piece p = cutter.cut(n);
    r.con.count(p.counted);
    r.pieces.send(std::move(p));
  }
}

void read_files(counting& r) {
  for (const std::string& path : r.paths) {
    if (r.ctrl_c.is_interrupted()) continue;  // what is queued is dropped
    try {
      read_file(r, path);
    } catch (const std::system_error& e) {
      r.con.unreadable({path, e.code()});
    }
  }
  if (--r.readers_left == 0) r.pieces.close();
}

void count(counting& r) {
  word_counter counter;
  for (const piece& p : r.pieces) {
    counter.add(p.text);
    counter.add(p.counted);
  }
  r.results.send(std::move(counter));
  if (--r.counters_left == 0) r.results.close();
}

void show_progress(counting& r) {
  while (!r.is_over.is_set()) {
    r.con.show_progress();
    select(on_event(r.is_over), on_timeout(200ms));
  }
  r.con.clear_progress();
}

// A scope returns when all that was started in it has ended; if one of them throws, the others are cancelled:
// their next wait throws, too.
word_counter count_tree(counting& r) {
  return scope([&](task_scope& s) {
    if (r.con.shows_progress()) s.go(show_progress, std::ref(r));
    s.go(walk, std::ref(r));
    for (unsigned i = 0; i < r.chosen.readers; ++i) s.go(read_files, std::ref(r));
    for (unsigned i = 0; i < r.counters; ++i) s.go(count, std::ref(r));

    word_counter total;
    for (word_counter& counted : r.results) total.merge(std::move(counted));
    r.is_over.set();
    return total;
  });
}

}  // namespace

int main(int argc, char** argv) {
  const options chosen = parse(argc, argv);
  require_directory(chosen.directory);
  try {
    console con;
    const interrupt_watch ctrl_c;  // before the runtime has threads
    weft::runtime rt({.workers = chosen.workers});
    counting r{.chosen = chosen, .ctrl_c = ctrl_c, .con = con, .counters = rt.workers()};
    const word_counter total = rt.go(count_tree, std::ref(r)).join();
    return report(total, con, ctrl_c.is_interrupted());
  } catch (const std::exception& e) {
    fmt::print(stderr, "corpus: {}\n", e.what());
    return exit_failed;
  }
}
