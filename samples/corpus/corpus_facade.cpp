// corpus_facade: the corpus sample in plain blocking code, without a single co_await.
//
//   walker --paths--> readers --pieces--> counters --results--> merger
//
// The same parts and the same channels as corpus.cpp; here each stage is an ordinary function on a thread of
// its own while it waits.  block_on_io says that a call blocks, so that the worker's routines go on
// meanwhile.

#include <weft/blocking.hpp>
#include <weft/runtime.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
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

void walk(counting& r) {
  std::vector<std::string> directories{r.chosen.directory};
  while (!directories.empty() && !r.ctrl_c.is_interrupted()) {
    const std::string directory = std::move(directories.back());
    directories.pop_back();
    listing found = block_on_io(list_directory, directory);
    for (const problem& p : found.problems) r.con.unreadable(p);
    for (std::string& sub : found.directories) directories.push_back(std::move(sub));
    for (std::string& file : found.files) r.paths.send(std::move(file));
  }
  r.paths.close();
}

void read_file(counting& r, const std::string& path) {
  text_file file(path);
  bool has_more = true;
  while (has_more && !r.ctrl_c.is_interrupted()) {
    piece p;
    has_more = block_on_io([&] { return file.next(p); });
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
