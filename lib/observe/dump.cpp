#include <weft/dump.hpp>
#include <weft/stats.hpp>

#include <fmt/format.h>

#include "base/fatal.hpp"
#include "core/describe.hpp"
#include "sched/scheduler.hpp"

namespace weft {

void runtime::dump(int fd) const {
  detail::dump(
      *this, [](void* to, std::string_view text) { base::write_text(*static_cast<int*>(to), text); }, &fd);
}

namespace detail {

void dump(const runtime& rt, void (*write)(void* to, std::string_view text), void* to) {
  const runtime_stats now = rt.stats();
  sched::scheduler& of = rt.core();
  const core::text_sink sink{write, to};
  write(to, fmt::format("weft: runtime '{}': {} live routines, {} workers ({} idle), {} threads\n\n",
                        of.how().name, now.live, now.workers, now.idle_workers, now.threads));
  core::describe_routines(of, sink);
  write(to, "\n");
  core::describe_threads(of, sink);
}

}  // namespace detail
}  // namespace weft
