#include "core/unhandled.hpp"

#include <weft/error.hpp>
#include <weft/go.hpp>
#include <weft/runtime.hpp>

#include <cstdlib>
#include <exception>
#include <string>
#include <utility>

#include <unistd.h>

#include "base/fatal.hpp"
#include "core/fork_group.hpp"
#include "core/join.hpp"
#include "core/park.hpp"
#include "core/simulation.hpp"
#include "core/site.hpp"
#include "sched/current.hpp"

namespace weft {

cancelled::~cancelled() = default;

const char* cancelled::what() const noexcept {
  return "weft: the routine was cancelled";
}

deadline_exceeded::~deadline_exceeded() = default;

const char* deadline_exceeded::what() const noexcept {
  return "weft: the routine's deadline has passed";
}

timeout_error::timeout_error() : std::runtime_error("weft: the time limit has passed") {}

timeout_error::~timeout_error() = default;

routine_cancelled::routine_cancelled()
    : std::runtime_error("weft: the joined routine was cancelled and has no result") {}

routine_cancelled::~routine_cancelled() = default;

stopped::stopped() : std::runtime_error("weft: the runtime was stopped and takes no new routines") {}

stopped::stopped(const char* what) : std::runtime_error(what) {}

stopped::~stopped() = default;

}  // namespace weft

namespace weft::core {

namespace {

void write_what(int fd, const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    base::write_text(fd, e.what());
  } catch (...) {
    base::write_text(fd, "an exception that is no std::exception");
  }
}

void describe_this_routine(int fd) noexcept {
  const waiter* running = sched::current_routine();
  if (running == nullptr) return;
  base::write_text(fd, "  in ");
  describe(static_cast<const detail::promise_base&>(routine_of(*running)), fd);
  base::write_text(fd, "\n");
}

void describe_this_thread(int fd) noexcept {
  describe_this_routine(fd);
  if (const simulation* run = simulation_of(os::current_port())) run->describe_run(fd);
}

[[maybe_unused]] const bool registered = (base::set_context_writer(&describe_this_thread), true);

}  // namespace

std::string sentence_of(const detail::promise_base& p, const std::exception_ptr& error) {
  std::string text = "unhandled exception in routine " + std::to_string(detail::id_of(p));
  if (const std::string_view name = name_of(p); !name.empty()) text.append(" '").append(name).append("'");
  if (const std::source_location at = spawn_site_of(p); at.line() != 0) {
    text.append(" started at ").append(at.file_name()).append(":").append(std::to_string(at.line()));
  }
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return text.append(": ").append(e.what());
  } catch (...) {
    return text.append(": an exception that is no std::exception");
  }
}

std::string_view name_of(const detail::promise_base& p) noexcept {
  if (!p.annexed()) return {};
  return {p.origin.extra->name, p.origin.extra->name_size};
}

std::source_location spawn_site_of(const detail::promise_base& p) noexcept {
  return site_of(p.annexed() ? p.origin.extra->spawned_at : p.origin.spawned_at);
}

void describe(const detail::promise_base& p, int fd) noexcept {
  base::write_text(fd, "routine ");
  base::write_number(fd, detail::id_of(p));
  if (const std::string_view name = name_of(p); !name.empty()) {
    base::write_text(fd, " '");
    base::write_text(fd, name);
    base::write_text(fd, "'");
  }
  const std::source_location at = spawn_site_of(p);
  if (at.line() == 0) return;
  base::write_text(fd, " started at ");
  base::write_text(fd, at.file_name());
  base::write_text(fd, ":");
  base::write_number(fd, at.line());
}

void report_unhandled(detail::promise_base& p) noexcept {
  const exception_handler& handler = *static_cast<const exception_handler*>(p.frame);
  std::exception_ptr error = failure_of(p);
  if (handler.call != nullptr) {
    handler.call(handler.context, {std::move(error), detail::id_of(p), name_of(p), spawn_site_of(p)});
    return;
  }
  if (simulation* run = simulation_of(worker_of(p).home().port())) return run->unhandled(p, error);
  base::write_text(STDERR_FILENO, "weft: unhandled exception in ");
  describe(p, STDERR_FILENO);
  base::write_text(STDERR_FILENO, ": ");
  write_what(STDERR_FILENO, error);
  base::write_text(STDERR_FILENO, "\n  (join the routine, or set runtime_options::on_unhandled_exception)\n");
  std::abort();
}

}  // namespace weft::core
