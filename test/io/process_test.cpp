#include <weft/blocking.hpp>
#include <weft/io/process.hpp>
#include <weft/io/select.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <initializer_list>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/support.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace weft;
using namespace std::chrono_literals;
using test::error_in;
using test::text;

namespace {

routine<std::string> read_all(pipe_end& from) {
  std::string all;
  std::array<char, 10'000> piece;
  for (;;) {
    const std::size_t n = co_await from.read_some(piece);
    if (n == 0) co_return all;
    all.append(piece.data(), n);
  }
}

/// What it writes.
std::string output_of_program(std::initializer_list<std::string_view> argv, process_options how = {}) {
  how.out = child_stream::pipe();
  process p = process::spawn(argv, how);
  std::string all = blocking::run(read_all(p.out()));
  blocking::wait(p.wait());
  return all;
}

/// What a shell's command writes.
std::string output_of(std::string_view command, process_options how = {}) {
  return output_of_program({"/bin/sh", "-c", command}, how);
}

exit_status status_of(std::string_view command) {
  process p = process::spawn({"/bin/sh", "-c", command});
  return blocking::wait(p.wait());
}

/// No child of this process waits for its status to be taken.
bool has_no_zombie() {
  siginfo_t info;
  info.si_pid = 0;
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0;
}

/// It has ended; its status has not been taken.
void wait_for_end(const process& p) {
  pollfd one{p.native_handle(), POLLIN, 0};
  while (::poll(&one, 1, -1) != 1) {
  }
}

/// A debugger, which learns of the end of its process first and tells nobody until it lets go.
class tracer {
 public:
  explicit tracer(const process& of) {
    std::array<int, 2> orders, answers;
    if (::pipe(orders.data()) != 0 || ::pipe(answers.data()) != 0) return;
    id_ = ::fork();
    if (id_ == 0) {
      char c = ::ptrace(PTRACE_SEIZE, of.id(), nullptr, nullptr) == 0 ? 'y' : 'n';
      ::close(orders[1]);
      const bool is_done = ::write(answers[1], &c, 1) == 1 && ::read(orders[0], &c, 1) == 0;
      ::_exit(is_done ? 0 : 1);
    }
    char c = 'n';
    is_attached_ = ::read(answers[0], &c, 1) == 1 && c == 'y';
    for (const int each : {orders[0], answers[0], answers[1]}) ::close(each);
    orders_ = orders[1];
  }

  tracer(const tracer&) = delete;
  tracer& operator=(const tracer&) = delete;

  ~tracer() { let_go(); }

  /// Not everybody may trace.
  bool is_attached() const { return is_attached_; }

  void let_go() {
    if (orders_ < 0) return;
    ::close(std::exchange(orders_, -1));
    ::waitpid(id_, nullptr, 0);
  }

 private:
  int orders_ = -1;
  int id_ = 0;
  bool is_attached_ = false;
};

/// Ends with 3 when it gets a line.
process process_to_trace() {
  return process::spawn({"/bin/sh", "-c", "read x; exit 3"}, {.in = child_stream::pipe()});
}

routine<exit_status> wait_for(process& p) {
  co_return co_await p.wait();
}

}  // namespace

TEST_CASE("a megabyte goes through a process both ways at once", "[io][process]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  runtime rt({.workers = width});
  const auto same =
      rt.go([]() -> routine<bool> {
          process p = process::spawn({"/bin/cat"}, {.in = child_stream::pipe(), .out = child_stream::pipe()});
          const std::string sent = text(0, 1'000'000);
          auto writing = go(
              [](process& to, const std::string& all) -> routine<> {
                co_await to.in().write_all(all);
                to.in().close();
              },
              std::ref(p), std::cref(sent));
          const std::string got = co_await read_all(p.out());
          co_await std::move(writing);
          const exit_status how = co_await p.wait();
          co_return how.success() && got == sent;
        }).join();
  REQUIRE(same);
  REQUIRE(has_no_zombie());
}

TEST_CASE("a process ends by its code or by a signal", "[io][process]") {
  REQUIRE(status_of("exit 0").success());
  REQUIRE(status_of("exit 7").exited() == 7);
  REQUIRE(status_of("exit 255").exited() == 255);
  REQUIRE_FALSE(status_of("exit 7").signalled());
  REQUIRE(status_of("kill -TERM $$").signalled() == SIGTERM);
  REQUIRE_FALSE(status_of("kill -KILL $$").exited());
  process p = process::spawn({"sleep", "1000"});
  REQUIRE(p.id() > 0);
  REQUIRE_FALSE(p.status());
  REQUIRE(p.terminate());
  const exit_status how = blocking::wait(p.wait());
  REQUIRE(how.signalled() == SIGTERM);
  REQUIRE(blocking::wait(p.wait()) == how);  // again
  REQUIRE(p.status() == how);
  REQUIRE_FALSE(p.kill(SIGKILL));
  REQUIRE(has_no_zombie());
}

TEST_CASE("what cannot be executed is an error of spawn, and leaves nothing", "[io][process]") {
  const std::size_t before = test::open_descriptors();
  const auto spawn = [](std::string_view program, std::string_view directory) {
    return error_in([&] {
      process p = process::spawn({program}, {.in = child_stream::pipe(),
                                             .out = child_stream::pipe(),
                                             .err = child_stream::null(),
                                             .directory = directory});
    });
  };
  REQUIRE(spawn("/no/such/program", "") == ENOENT);
  REQUIRE(spawn("no-such-program-anywhere", "") == ENOENT);
  REQUIRE(spawn("/etc", "") == EACCES);
  REQUIRE(spawn("/bin/cat", "/no/such/directory") == ENOENT);
  REQUIRE(error_in([] { process::spawn(std::span<const std::string_view>()); }) == EINVAL);
  REQUIRE(error_in([] { blocking::wait(process().wait()); }) == EBADF);
  REQUIRE(error_in([] { blocking::select(on_process_exit(process()), on_timeout(30s)); }) == EBADF);
  REQUIRE(test::open_descriptors() == before);
  REQUIRE(has_no_zombie());
}

TEST_CASE("a process has the directory and the environment that it was given", "[io][process]") {
  REQUIRE(output_of("pwd", {.directory = "/"}) == "/\n");
  ::setenv("WEFT_TEST_A", "old", 1);
  const std::array<std::string_view, 2> variables{"WEFT_TEST_A=new", "WEFT_TEST_B=b b"};
  const std::string_view say = "echo \"$WEFT_TEST_A,$WEFT_TEST_B,${PATH:+path}\"";
  REQUIRE(output_of(say) == "old,,path\n");
  REQUIRE(output_of(say, {.environment = variables}) == "new,b b,path\n");
  const std::string all = "\n" + output_of_program({"/usr/bin/env"}, {.environment = variables});
  REQUIRE(all.find("\nWEFT_TEST_A=new\n") != std::string::npos);
  REQUIRE(all.find("\nWEFT_TEST_A=old\n") == std::string::npos);  // a shell tells one of two
  process_options alone{.out = child_stream::pipe(), .environment = variables, .clear_environment = true};
  process p = process::spawn({"/usr/bin/env"}, alone);
  REQUIRE(blocking::run(read_all(p.out())) == "WEFT_TEST_A=new\nWEFT_TEST_B=b b\n");
  ::unsetenv("WEFT_TEST_A");
}

TEST_CASE("a process's streams are null, a pipe, or copies of descriptors", "[io][process]") {
  REQUIRE(output_of("cat; echo end", {.in = child_stream::null()}) == "end\n");
  std::array<int, 2> ends;
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  process p = process::spawn({"/bin/sh", "-c", "echo out; echo err >&2"},
                             {.out = child_stream::copy_of(ends[1]), .err = child_stream::copy_of(ends[1])});
  ::close(ends[1]);
  pipe_end from = pipe_end::adopt(ends[0]);
  REQUIRE(blocking::run(read_all(from)) == "out\nerr\n");
  REQUIRE_FALSE(p.out().is_open());
  // Each other's places.
  std::array<int, 2> in, out;
  REQUIRE(::pipe2(in.data(), O_CLOEXEC) == 0);
  REQUIRE(::pipe2(out.data(), O_CLOEXEC) == 0);
  process q =
      process::spawn({"/bin/sh", "-c", "cat; echo no more >&2"}, {.in = child_stream::copy_of(in[0]),
                                                                  .out = child_stream::copy_of(out[1]),
                                                                  .err = child_stream::pipe()});
  for (const int each : {in[0], out[1]}) ::close(each);
  REQUIRE(::write(in[1], "abc", 3) == 3);
  ::close(in[1]);
  pipe_end got = pipe_end::adopt(out[0]);
  REQUIRE(blocking::run(read_all(got)) == "abc");
  REQUIRE(blocking::run(read_all(q.err())) == "no more\n");
}

TEST_CASE("a process has no signal blocked and none of this one's descriptors", "[io][process]") {
  runtime rt({.workers = 1});
  std::size_t inherited = 0;  // what this program was given itself
  for (int fd = 3; fd < 1'024; ++fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    inherited += flags >= 0 && (flags & FD_CLOEXEC) == 0;
  }
  std::signal(SIGPIPE, SIG_IGN);
  // Started on a worker, where all signals are blocked.
  const std::string said =
      rt.go([] {
          // Without a shell: dash unblocks all.
          return output_of_program({"sed", "-n", "s/^Sig[BI][lg][kn]://p", "/proc/self/status"}) +
                 output_of("ls /proc/self/fd | wc -l");
        }).join();
  std::signal(SIGPIPE, SIG_DFL);
  const unsigned long library =
      std::stoul("180000000", nullptr, 16);  // 32 and 33, which the C library ignores
  std::size_t at = 0;
  REQUIRE(std::stoul(said, &at, 16) == 0);
  std::size_t more = 0;
  REQUIRE((std::stoul(said.substr(at), &more, 16) & ~library) == 0);
  REQUIRE(std::stoul(said.substr(at + more)) == 4 + inherited);  // 0, 1, 2 and that of ls
}

TEST_CASE("a hundred processes run at once", "[io][process]") {
  const unsigned width = GENERATE(1U, 2U);
  const std::size_t before = test::open_descriptors();
  {
    runtime rt({.workers = width});
    const auto codes =
        rt.go([]() -> routine<int> {
            std::vector<process> all;
            std::vector<join_handle<exit_status>> waits;
            for (int i = 0; i < 100; ++i) {
              const std::string command = "read x; exit " + std::to_string(i);
              all.push_back(process::spawn({"/bin/sh", "-c", command}, {.in = child_stream::pipe()}));
            }
            for (process& each : all) {
              waits.push_back(go([](process& p) -> routine<exit_status> { co_return co_await p.wait(); },
                                 std::ref(each)));
            }
            for (process& each : all) each.in().close();
            int right = 0;
            for (int i = 0; i < 100; ++i) {
              const exit_status how = co_await std::move(waits[static_cast<std::size_t>(i)]);
              right += how.exited() == i;
            }
            co_return right;
          }).join();
    REQUIRE(codes == 100);
  }
  REQUIRE(test::open_descriptors() == before);
  REQUIRE(has_no_zombie());
}

TEST_CASE("a wait for a process that was cancelled leaves it running, to be waited for again",
          "[io][process]") {
  const unsigned width = GENERATE(1U, 2U);
  runtime rt({.workers = width});
  const auto late = rt.go([]() -> routine<std::pair<bool, exit_status>> {
                        process p = process::spawn({"/bin/cat"}, {.in = child_stream::pipe()});
                        bool is_late = false;
                        try {
                          co_await with_timeout(5ms, p.wait());
                        } catch (const timeout_error&) {
                          is_late = true;
                        }
                        p.in().close();
                        const exit_status how = co_await p.wait();
                        co_return std::pair{is_late, how};
                      }).join();
  REQUIRE(late.first);
  REQUIRE(late.second.success());
}

TEST_CASE("a select waits for the end of a process", "[io][process][select]") {
  runtime rt({.workers = 2});
  const auto [first, how] =
      rt.go([]() -> routine<std::pair<std::size_t, exit_status>> {
          process p = process::spawn({"/bin/sh", "-c", "read x; exit 3"}, {.in = child_stream::pipe()});
          exit_status status;
          const auto keep = [&status](exit_status s) { status = s; };
          const std::size_t running = co_await select(on_process_exit(p, keep), on_timeout(5ms));
          p.in().close();
          channel<int> never;
          const std::size_t ended = co_await select(on_recv(never), on_process_exit(p, keep));
          const std::size_t again = co_await select(on_process_exit(p), on_recv(never));
          co_return std::pair{running * 100 + ended * 10 + again, status};
        }).join();
  REQUIRE(first == 110);
  REQUIRE(how.exited() == 3);
}

TEST_CASE("a process that is dropped runs on, and leaves no zombie and no descriptor", "[io][process]") {
  const std::size_t before = test::open_descriptors();
  for (int i = 0; i < 5; ++i) {
    std::array<int, 2> ends;
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    pipe_end says = pipe_end::adopt(ends[0]);
    {
      process first = process::spawn({"/bin/sh", "-c", "read x; echo still here"},
                                     {.in = child_stream::pipe(), .out = child_stream::copy_of(ends[1])});
      process second = process::spawn({"/bin/true"});
      ::close(ends[1]);
    }
    REQUIRE(blocking::run(read_all(says)) == "still here\n");
  }
  while (test::open_descriptors() > before + 2 || !has_no_zombie()) blocking::sleep_for(1ms);
}

TEST_CASE("a process whose end a debugger keeps to itself has no status, and is waited for in peace",
          "[io][process]") {
  const bool by_thread = GENERATE(false, true);
  process p = process_to_trace();
  tracer debugger(p);
  if (!debugger.is_attached()) return;
  blocking::wait(p.in().write_all("\n"));
  wait_for_end(p);
  REQUIRE_FALSE(p.status());
  runtime rt({.workers = 1});
  const std::int64_t before = test::cpu_time();
  bool is_late = false;
  try {
    if (by_thread) {
      blocking::with_timeout(200ms, p.wait());
    } else {
      rt.go([](process& q) -> routine<> { co_await with_timeout(200ms, q.wait()); }, std::ref(p)).join();
    }
  } catch (const timeout_error&) {
    is_late = true;
  }
  REQUIRE(is_late);
  REQUIRE(test::cpu_time() - before < 20'000'000);
  REQUIRE(error_in([&] { blocking::select(on_process_exit(p), on_timeout(30s)); }) == EAGAIN);
  if (by_thread) {
    std::thread letting_go([&] { debugger.let_go(); });
    const exit_status how = blocking::wait(p.wait());
    letting_go.join();
    REQUIRE(how.exited() == 3);
  } else {
    auto waiting = rt.go(wait_for, std::ref(p));
    test::dump_with(rt, "descriptor");  // it waits
    debugger.let_go();
    REQUIRE(waiting.join().exited() == 3);
  }
  REQUIRE(p.status()->exited() == 3);
  REQUIRE(has_no_zombie());
}

TEST_CASE("a process that is dropped while a debugger has its status costs nothing until that lets go",
          "[io][process]") {
  process p = process_to_trace();
  tracer debugger(p);
  if (!debugger.is_attached()) return;
  blocking::wait(p.in().write_all("\n"));
  wait_for_end(p);
  p = process();
  const std::int64_t before = test::cpu_time();
  blocking::sleep_for(200ms);
  REQUIRE(test::cpu_time() - before < 20'000'000);
  debugger.let_go();
  while (!has_no_zombie()) blocking::sleep_for(1ms);
}

TEST_CASE("where SIGCHLD is ignored processes run, and their status is nobody's", "[io][process]") {
  const std::size_t before = test::open_descriptors();
  std::signal(SIGCHLD, SIG_IGN);
  int lost = 0, killed = 0, chosen = 0;
  constexpr int rounds = 300;  // in some of them it has ended before spawn() returns
  for (int i = 0; i < rounds; ++i) {
    process p = process::spawn({"/bin/true"});
    lost += error_in([&] { blocking::wait(p.wait()); }) == ECHILD;
    chosen += error_in([&] { blocking::select(on_process_exit(p), on_timeout(30s)); }) == ECHILD;
    killed += p.kill(SIGTERM);
  }
  std::signal(SIGCHLD, SIG_DFL);
  REQUIRE(lost == rounds);
  REQUIRE(chosen == rounds);
  REQUIRE(killed == 0);
  REQUIRE(test::open_descriptors() <= before + 4);  // the driver's
}

#if !WEFT_TEST_ASAN  // UBSan looks at objects through a pipe of its own, and there is none to be had

TEST_CASE("a process for which there is no descriptor is not started", "[io][process]") {
  rusage before, after;
  ::getrusage(RUSAGE_CHILDREN, &before);
  int refused = 0;
  for (int i = 0; i < 10; ++i) {
    const test::no_descriptors limited;
    refused += error_in([] { process::spawn({"/bin/true"}); }) == EMFILE;
  }
  ::getrusage(RUSAGE_CHILDREN, &after);
  REQUIRE(refused == 10);
  REQUIRE(after.ru_minflt == before.ru_minflt);
}

#endif

TEST_CASE("processes that are dropped when no descriptor is to be had leave no zombie", "[io][process]") {
  const std::size_t before = test::open_descriptors();
  std::array<int, 2> ends;
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  {
    process first = process::spawn({"/bin/cat"}, {.in = child_stream::copy_of(ends[0])});
    process second = process::spawn({"/bin/cat"}, {.in = child_stream::copy_of(ends[0])});
    const test::no_descriptors limited;
    first = process();
    second = process();
  }
  for (const int each : ends) ::close(each);
  while (test::open_descriptors() > before || !has_no_zombie()) blocking::sleep_for(1ms);
}

TEST_CASE("a zero byte in what a process is given is refused, not cut off", "[io][process]") {
  constexpr std::string_view bad("/tmp\0x", 6);
  const std::array<std::string_view, 1> variables{bad};
  REQUIRE(error_in([&] { process::spawn({bad}); }) == EINVAL);
  REQUIRE(error_in([&] { process::spawn({"/bin/true", bad}); }) == EINVAL);
  REQUIRE(error_in([&] { process::spawn({"/bin/true"}, {.directory = bad}); }) == EINVAL);
  REQUIRE(error_in([&] { process::spawn({"/bin/true"}, {.environment = variables}); }) == EINVAL);
}

TEST_CASE("kill() of a process that has ended is false, also before its status was asked for",
          "[io][process]") {
  process p = process::spawn({"/bin/sh", "-c", "exit 3"});
  wait_for_end(p);
  REQUIRE_FALSE(p.kill(SIGTERM));
  REQUIRE_FALSE(p.terminate());
  REQUIRE(p.status()->exited() == 3);
}
