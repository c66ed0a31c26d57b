// corpus: counts the files, bytes, lines and words of a directory tree and names the most frequent words.
//
//   walker --paths--> readers --pieces--> counters --results--> merger
//
// Each arrow is a bounded channel: whoever is too fast waits.  Files are read by weft::file, which blocks no
// worker: those count.  The same with plain blocking code instead of coroutines: corpus_facade.cpp.

#include <weft/io/directory.hpp>
#include <weft/io/file.hpp>
#include <weft/weft.hpp>

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

using namespace std::chrono_literals;

using path_sender = weft::channel_sender<std::string>;
using path_receiver = weft::channel_receiver<std::string>;
using piece_sender = weft::channel_sender<piece>;
using piece_receiver = weft::channel_receiver<piece>;
using result_sender = weft::channel_sender<word_counter>;

/// What all routines of a run share; it outlives them.
struct run {
  const options& chosen;
  const interrupt_watch& ctrl_c;
  console& con;
};

// Symbolic links are neither followed nor named.
weft::routine<> walk_directory(run& r, const std::string& directory, const path_sender& paths,
                               std::vector<std::string>& to_walk) {
  const weft::directory_listing found = co_await weft::list_directory(directory);
  for (const weft::directory_entry entry : found) {
    if (r.ctrl_c.is_interrupted()) co_return;  // as if the tree ended here
    std::string path = path_in(directory, entry.name);
    weft::file_kind kind = entry.kind;
    if (kind == weft::file_kind::unknown) kind = (co_await weft::link_metadata(path)).kind;
    if (kind == weft::file_kind::directory) to_walk.push_back(path);
    if (kind == weft::file_kind::regular) co_await paths.send(std::move(path));
  }
}

weft::routine<> walk(run& r, path_sender paths) {
  std::vector<std::string> to_walk{r.chosen.directory};
  while (!to_walk.empty() && !r.ctrl_c.is_interrupted()) {
    const std::string directory = std::move(to_walk.back());
    to_walk.pop_back();
    try {
      co_await walk_directory(r, directory, paths, to_walk);
    } catch (const std::system_error& e) {
      r.con.unreadable({directory, e.code()});
    }
  }
}

weft::routine<> read_file(run& r, const std::string& path, const piece_sender& pieces) {
  weft::file file = co_await weft::file::open(path, weft::open_flags::read | weft::open_flags::no_follow);
  const weft::file_metadata about = co_await file.metadata();
  require_regular(about);
  piece_cutter cutter(about);
  std::uint64_t at = 0;
  while (!cutter.is_at_end() && !r.ctrl_c.is_interrupted()) {
    const std::size_t n = co_await file.read_at(at, cutter.room());
    at += n;
    piece p = cutter.cut(n);
    r.con.count(p.counted);
    co_await pieces.send(std::move(p));
  }
}

weft::routine<> read_files(run& r, path_receiver paths, piece_sender pieces) {
  while (auto path = co_await paths.recv()) {
    if (r.ctrl_c.is_interrupted()) co_return;
    try {
      co_await read_file(r, *path, pieces);
    } catch (const std::system_error& e) {
      r.con.unreadable({*path, e.code()});
    }
  }
}

weft::routine<> count(piece_receiver pieces, result_sender results) {
  word_counter counter;
  while (auto p = co_await pieces.recv()) {
    counter.add(p->text);
    counter.add(p->counted);
  }
  co_await results.send(std::move(counter));
}

weft::routine<> show_progress(const console& con, weft::event& is_over) {
  while (!is_over.is_set()) {
    con.show_progress();
    co_await weft::select(weft::on_event(is_over), weft::on_timeout(200ms));
  }
  con.clear_progress();
}

void start_readers(weft::task_scope& s, run& r, path_receiver paths, piece_sender pieces) {
  for (unsigned i = 0; i < r.chosen.readers; ++i) s.go(read_files, std::ref(r), paths, pieces);
}

void start_counters(weft::task_scope& s, unsigned how_many, piece_receiver pieces, result_sender results) {
  for (unsigned i = 0; i < how_many; ++i) s.go(count, pieces, results);
}

// The stages end one after another: with its last sender a channel closes, and the next stage runs dry. Hence
// no end may stay here.
weft::routine<word_counter> count_tree(run& r, unsigned counters) {
  co_return co_await weft::scope([&](weft::task_scope& s) -> weft::routine<word_counter> {
    auto [paths_out, paths_in] = weft::make_channel<std::string>(64);
    auto [pieces_out, pieces_in] = weft::make_channel<piece>(16);
    auto [results_out, results_in] = weft::make_channel<word_counter>();
    s.go(walk, std::ref(r), std::move(paths_out));
    start_readers(s, r, std::move(paths_in), std::move(pieces_out));
    start_counters(s, counters, std::move(pieces_in), std::move(results_out));

    word_counter total;
    while (auto counted = co_await results_in.recv()) total.merge(*std::move(counted));
    co_return total;
  });
}

weft::routine<word_counter> count_and_show_progress(run& r, unsigned counters) {
  if (!r.con.shows_progress()) co_return co_await count_tree(r, counters);
  co_return co_await weft::scope([&](weft::task_scope& s) -> weft::routine<word_counter> {
    weft::event is_over;
    s.go(show_progress, std::cref(r.con), std::ref(is_over));
    word_counter total = co_await count_tree(r, counters);
    is_over.set();
    co_return total;
  });
}

}  // namespace

int main(int argc, char** argv) {
  const options chosen = parse(argc, argv);
  require_directory(chosen.directory);
  try {
    console con;
    const interrupt_watch ctrl_c;  // before the runtime has threads
    run r{chosen, ctrl_c, con};
    weft::runtime rt({.workers = chosen.workers});
    const word_counter total = rt.go(count_and_show_progress, std::ref(r), rt.workers()).join();
    return report(total, con, ctrl_c.is_interrupted());
  } catch (const std::exception& e) {
    fmt::print(stderr, "corpus: {}\n", e.what());
    return exit_failed;
  }
}
