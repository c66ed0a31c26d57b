// Finds live routines by walking the registry of frames and reads them while they run.
//
// A routine that waits is *pinned* by a flag in its claim word: whoever claims it spins for the few
// microseconds that the reading takes, so its frames, its operation and what that waits for stay.  One that
// does not wait is read like a seqlock: the claim word, then the few words that are constant for its life,
// then the claim word again.  The sequence number in it is never reset, so if it is the same, what was read
// belonged to one life and pointers to static data (spawn site) are good.  The pool's memory stays mapped; in
// sanitizer builds the registry's lock keeps the frame.
//
// Source: Linux's seqlock; Tokio's task dumps wake workers to get consistency (its #8372), this wakes nobody.

#include "core/describe.hpp"

#include <weft/detail/fork.hpp>
#include <weft/detail/io_wait.hpp>
#include <weft/detail/join.hpp>
#include <weft/time.hpp>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <source_location>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "base/fatal.hpp"
#include "core/foreign.hpp"
#include "core/park.hpp"
#include "core/site.hpp"
#include "os/thread_state.hpp"
#include "sched/current.hpp"
#include "sched/frame_pool.hpp"
#include "sched/scheduler.hpp"

namespace weft::core {

using detail::birth;
using detail::promise_base;
using detail::select_core;

namespace {

struct paragraph {
  std::uint64_t id;
  std::string text;
};

using std::back_inserter;

template <typename T>
T read_shared(const T& from) noexcept {
  return __atomic_load_n(&from, __ATOMIC_ACQUIRE);  // A1, pairs with the word's R2: before its second look
}

/// g++ 12 names a coroutine "void f(f(args)::_Z1fv.Frame*)": that is f.
std::string_view short_name(std::string_view function) {
  const std::size_t frame = function.find(".Frame*)");
  if (frame == std::string_view::npos) return function;
  std::size_t open = frame;
  for (int depth = 1; depth != 0 && open != 0;) {
    --open;
    if (function[open] == ')') ++depth;
    if (function[open] == '(') --depth;
  }
  function = function.substr(0, open);
  if (function.starts_with("void ")) function.remove_prefix(5);
  if (function.ends_with("::operator()")) function.remove_suffix(12);
  return function;
}

void write_site(std::string& out, std::string_view what, std::uintptr_t word) {
  const std::source_location at = site_of(word);
  if (at.line() == 0) return;
  const std::string_view function = short_name(at.function_name());
  if (function.starts_with("weft::detail::")) return;  // a coroutine of ours between two of the user's
  fmt::format_to(back_inserter(out), "\n    {} {}:{} in {}", what, at.file_name(), at.line(), function);
}

void write_head(std::string& out, std::uint64_t id, std::string_view name) {
  fmt::format_to(back_inserter(out), "routine {}", id);
  if (!name.empty()) fmt::format_to(back_inserter(out), " '{}'", name);
}

// --- what a pinned routine waits for ---

void write_select(std::string& out, const select_core& s) {
  out += "select";
  for (std::uint32_t i = 0; i < s.count; ++i) {
    const detail::select_case& c = *s.cases[i];
    if (!c.enabled || c.kind == nullptr) continue;
    fmt::format_to(back_inserter(out), "; {} ", c.kind->name);
    fmt::format_to(back_inserter(out), fmt::runtime(c.kind->is_number ? "{}" : "{:#x}"), c.kind->object(c));
  }
  if (s.deadline != detail::no_deadline) out += "; a timeout";
}

void write_wait(std::string& out, const waiter& w, os::nanos now) {
  const auto object = [&](std::string_view what) {
    fmt::format_to(back_inserter(out), "{} {}", what, *static_cast<void* const*>(w.node.op));
  };
  switch (static_cast<wait_reason>(w.node.why)) {
    case wait_reason::send:
      return object("send on channel");
    case wait_reason::recv:
      return object("recv on channel");
    case wait_reason::event:
      return object("event");
    case wait_reason::wait_group:
      return object("wait_group");
    case wait_reason::mutex:
      return object("mutex");
    case wait_reason::semaphore:
      return object("semaphore");
    case wait_reason::select:
      return write_select(out, *static_cast<const select_core*>(w.node.op));
    case wait_reason::join:
      fmt::format_to(back_inserter(out), "join of routine {}",
                     detail::id_of(*static_cast<const detail::join_wait*>(w.node.op)->child));
      return;
    case wait_reason::sleep: {
      const os::nanos until = static_cast<const sleep_op*>(w.node.op)->deadline();
      if (until == os::never) {
        out += "sleep, for ever";
      } else {
        fmt::format_to(back_inserter(out), "sleep, {:.3f} s left",
                       static_cast<double>(std::max<os::nanos>(until - now, 0)) / 1e9);
      }
      return;
    }
    case wait_reason::scope:
      out += "scope, for its children";
      return;
    case wait_reason::all:
      out += "all, for its children";
      return;
    case wait_reason::block_on_io:
      out += "block_on_io, for a thread of the pool";
      return;
    case wait_reason::readable:
    case wait_reason::writable:
      fmt::format_to(back_inserter(out), "{} of descriptor {}",
                     static_cast<wait_reason>(w.node.why) == wait_reason::readable ? "read" : "write",
                     static_cast<const detail::io_wait*>(w.node.op)->number());
      return;
    case wait_reason::resume_on:
      out += "resume_on, for a thread of the pool";
      return;
    case wait_reason::foreign:
      out += "an awaitable that is not weft's";
      return;
    default:
      out += "something";
      return;
  }
}

/// The root and the frames it awaits, innermost first.
void write_stack(std::string& out, const promise_base& root) {
  const promise_base* frame = &detail::promise_of(root.frame);
  while (frame != nullptr) {
    write_site(out, "at", read_shared(frame->site));
    frame = frame == &root || frame->born() != birth::child ? nullptr
                                                            : &detail::promise_of(frame->end.continuation);
  }
}

void write_pinned(std::string& out, const promise_base& p, os::nanos now) {
  const bool is_thread = p.kind() == waiter_kind::thread;
  if (p.born() == birth::forked) {
    fmt::format_to(back_inserter(out), "child of all() in routine {}", detail::id_of(*p.fork.group->parent));
  } else {
    write_head(out, detail::id_of(p), name_of(p));
  }
  out += is_thread ? ": blocks its thread in " : ": waits in ";
  write_wait(out, p, now);
  if (!is_thread) write_stack(out, p);
  if (p.born() != birth::forked) {
    write_site(out, "started at", p.annexed() ? p.origin.extra->spawned_at : p.origin.spawned_at);
  }
}

// --- what can be said of one that does not wait ---

struct glimpse {
  std::uint64_t id = 0;
  std::string name;
  std::uintptr_t spawned_at = 0;
  std::uintptr_t site = 0;
  wait_reason reason = wait_reason::none;
  state how = state::none;
  bool forked = false;
};

constexpr std::size_t slab_bytes = std::size_t{2} << 20;

/// The name behind an annex that may be dead: the text is copied if it lies where a name can lie.
void read_name(glimpse& g, const detail::annex& a) {
  const auto begin = reinterpret_cast<std::uintptr_t>(&a);
  const char* name = read_shared(a.name);
  const std::size_t size = std::min<std::size_t>(a.name_size, 256);
  const auto at = reinterpret_cast<std::uintptr_t>(name);
  const std::uintptr_t end = begin / slab_bytes * slab_bytes + slab_bytes;
  if (at < begin || at > end || size > end - at) return;
  for (std::size_t i = 0; i < size; ++i) g.name += read_shared(name[i]);
}

/// False: it changed meanwhile; g.how says `none` if no routine is there.
bool look_at(promise_base& p, glimpse& g) {
  const std::uint64_t before = word_of(p).read();
  g.how = state_of(before);
  if (g.how == state::none) return false;
  const auto origins = read_shared(p.origins);
  g.forked = (origins & 15) == static_cast<int>(birth::forked);
  g.id = std::uint64_t{read_shared(p.id_high)} << 32 | read_shared(p.id_low);
  g.site = read_shared(p.site);
  g.reason = static_cast<wait_reason>(read_shared(p.node.why));
  g.spawned_at = g.forked ? 0 : read_shared(p.origin.spawned_at);
  if ((origins & waiter::annex_bit) != 0) {
    const auto* a = reinterpret_cast<const detail::annex*>(g.spawned_at);
    g.spawned_at = 0;
    if ((origins & waiter::loose_bit) == 0) {
      read_name(g, *a);
      g.spawned_at = read_shared(a->spawned_at);
    }
  }
  const std::uint64_t after = word_of(p).read();
  return sequence_of(after) == sequence_of(before);
}

/// Of one that runs on a worker and may end meanwhile; again until what was read belongs to one life.
bool look_while_it_runs(const waiter& runs, glimpse& g) {
  auto* p = const_cast<promise_base*>(static_cast<const promise_base*>(&runs));
  const auto visit = [](void* to, void* frame) {
    glimpse& seen = *static_cast<glimpse*>(to);
    for (int tries = 0; tries < 10; ++tries) {
      seen = {};
      if (look_at(detail::promise_of(frame), seen)) return true;
    }
    return false;
  };
  return sched::visit_block(detail::frame_of(*p), visit, &g);
}

void write_glimpse(std::string& out, const glimpse& g, const promise_base& p, sched::scheduler& of) {
  if (g.forked) {
    out += "child of all()";
  } else {
    write_head(out, g.id, g.name);
  }
  for (unsigned i = 0, n = of.count(); i < n; ++i) {
    const sched::worker& w = of.at(i);
    if (w.current() != &p) continue;
    fmt::format_to(back_inserter(out), ": runs on worker {}", i);
    if (!of.port().simulated()) {  // there the kernel knows of the baton only
      fmt::format_to(
          back_inserter(out), " ({})",
          os::thread_state(w.thread_number.load(std::memory_order_relaxed)));  // relaxed: for dumps
    }
    write_site(out, "last awaited at", g.site);
    return write_site(out, "started at", g.spawned_at);
  }
  bool on_pool = g.how == state::won && g.reason == wait_reason::block_on_io;
  of.pool().for_each_berth([&](const sched::worker& berth) { on_pool = on_pool || berth.current() == &p; });
  if (on_pool) {
    for (const auto& busy : of.pool().busy()) {
      if (busy.routine != g.id || g.id == 0) continue;
      out += busy.is_call ? ": in block_on_io" : ": runs on the blocking pool";
      if (!of.port().simulated()) fmt::format_to(back_inserter(out), " ({})", os::thread_state(busy.number));
      return write_site(out, "started at", g.spawned_at);
    }
  }
  out += g.reason == wait_reason::all && g.how == state::running ? ": waits in all, for its children"
                                                                 : ": is ready to run";
  write_site(out, "last awaited at", g.site);
  write_site(out, "started at", g.spawned_at);
}

struct unpins {
  waiter& w;

  ~unpins() { word_of(w).unpin(); }
};

// --- all of them ---

constexpr std::size_t batch = 4096;
constexpr int attempts = 1000;

class collector {
 public:
  collector(sched::scheduler& of, text_sink to) : of_(of), to_(to), now_(of.port().now()) {}

  static bool visit(void* self, void* frame) {
    static_cast<collector*>(self)->look(detail::promise_of(frame));
    return true;
  }

  void flush() {
    std::sort(found_.begin(), found_.end(),
              [](const paragraph& a, const paragraph& b) { return a.id < b.id; });
    for (paragraph& each : found_) {
      each.text += "\n";
      to_.write(to_.context, each.text);
    }
    found_.clear();
  }

 private:
  void look(promise_base& p) {
    std::uint64_t seen = word_of(p).read();
    if (state_of(seen) == state::none || !of_.owns(read_shared(p.worker))) return;
    std::string text;
    std::uint64_t id = 0;
    if (word_of(p).pin()) {
      const unpins at_end{p};
      id = detail::id_of(p);
      write_pinned(text, p, now_);
    } else {
      glimpse g;
      int tries = 0;
      while (!look_at(p, g) && g.how != state::none && ++tries < attempts) g = {};
      if (g.how == state::none) return;
      id = g.id;
      if (tries == attempts) {
        text = "a routine that waits and runs too often to be read";
      } else {
        write_glimpse(text, g, p, of_);
      }
    }
    found_.push_back({id, std::move(text)});
    if (found_.size() == batch) flush();
  }

  sched::scheduler& of_;
  text_sink to_;
  os::nanos now_;
  std::vector<paragraph> found_;
};

}  // namespace

void describe_routines(sched::scheduler& of, text_sink to) {
  collector all(of, to);
  sched::for_each_block(&collector::visit, &all);
  all.flush();
  std::string others;
  describe_foreign(others, of);
  if (!others.empty()) to.write(to.context, others);
}

void describe_routines(std::string& out, sched::scheduler& of) {
  describe_routines(
      of, {[](void* to, std::string_view text) { static_cast<std::string*>(to)->append(text); }, &out});
}

void describe_here(std::string& out) {
  const waiter* r = sched::current_routine();
  if (r == nullptr || r->kind() != waiter_kind::routine) return;
  const auto& p = static_cast<const promise_base&>(*r);
  out += " in ";
  if (p.born() == birth::forked) {
    out += "a child of all()";
  } else {
    write_head(out, detail::id_of(p), name_of(p));
  }
}

void describe_wait(std::string& out, const waiter& w, os::nanos now) {
  write_wait(out, w, now);
}

namespace {

std::string describe_stuck(const sched::worker& w, const waiter* runs, os::nanos since, long call) {
  std::string text = fmt::format("worker {}: stuck in {} since {:.1f} ms, unannounced", w.index(),
                                 os::describe_call(call), static_cast<double>(since) / 1e6);
  if (glimpse g; runs != nullptr && look_while_it_runs(*runs, g)) {
    if (g.forked) {
      text += ", in a child of all()";
    } else {
      text += ", in ";
      write_head(text, g.id, g.name);
    }
    write_site(text, "last awaited at", g.site);
    write_site(text, "started at", g.spawned_at);
  }
  return text += '\n';
}

}  // namespace

void describe_threads(sched::scheduler& of, text_sink to) {
  const auto write = [&](const std::string& line) { to.write(to.context, line); };
  for (unsigned i = 0, n = of.count(); i < n; ++i) {
    const sched::worker& w = of.at(i);
    const waiter* runs = w.current();
    if (runs == nullptr && !w.is_blocked()) continue;
    const int number = w.thread_number.load(std::memory_order_relaxed);  // relaxed: for dumps
    if (w.is_stuck()) {
      write(describe_stuck(w, runs, of.port().now() - w.stuck_since(), os::look_at_thread(number).call));
      continue;
    }
    write(fmt::format("worker {}: {}, {} queued; its thread {}\n", i, w.is_blocked() ? "blocked" : "busy",
                      w.queued(), os::thread_state(number)));
  }
  for (const auto& busy : of.pool().busy()) {
    const char* const what = busy.is_call ? "runs a call" : "runs";
    const char* const whose = busy.is_call ? " for routine" : " routine";
    write(fmt::format("blocking thread: {}{}; it {}\n", what,
                      busy.routine != 0 ? fmt::format("{} {}", whose, busy.routine) : std::string(),
                      os::thread_state(busy.number)));
  }
}

namespace {

/// Threads that run no routine: main(), say, or a call on the blocking pool.
void describe_party(const sched::sleeping_party& p, os::nanos now) {
  if (p.alone == nullptr) return;
  std::string text = fmt::format("thread {}: blocks in ", p.thread);
  write_wait(text, *p.alone, now);
  base::write_text(STDERR_FILENO, text + "\n");
}

void report_deadlock(const sched::sleepers& all) noexcept {
  const text_sink to_stderr{[](void*, std::string_view text) { base::write_text(STDERR_FILENO, text); },
                            nullptr};
  base::write_text(STDERR_FILENO,
                   "weft: all routines are asleep, and every thread that could wake them: a deadlock\n\n");
  try {
    for (sched::scheduler* s = all.runtimes; s != nullptr; s = s->next_runtime)
      describe_routines(*s, to_stderr);
    const os::nanos now = os::current_port().now();
    for (const sched::sleeping_party* p = all.parties; p != nullptr; p = p->next) describe_party(*p, now);
  } catch (...) {
    base::write_text(STDERR_FILENO, "(no memory to describe them)\n");
  }
}

[[maybe_unused]] const auto registered = sched::set_deadlock_reporter(&report_deadlock);

void read_culprit(const waiter& runs, sched::culprit& to) noexcept {
  try {
    glimpse g;
    if (!look_while_it_runs(runs, g)) return;
    to.routine = g.forked ? 0 : g.id;
    to.spawned_at = g.spawned_at;
    to.name[g.name.copy(to.name, sizeof to.name - 1)] = '\0';
  } catch (...) {  // no memory for its name
  }
}

[[maybe_unused]] const auto registered_reader = sched::set_culprit_reader(&read_culprit);

}  // namespace

}  // namespace weft::core
