// embed: weft inside a program that has coroutines, or an event loop, already.
//
// First a coroutine type of this file's own, which knows nothing of weft, awaits weft's operations: a handle,
// a channel, a sleep.  Then a runtime without threads is driven by the program's own poll() loop: one
// descriptor tells when there is something to do.

#include <weft/weft.hpp>

#include <array>
#include <chrono>
#include <coroutine>
#include <cstdio>
#include <exception>
#include <future>
#include <optional>
#include <utility>

#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

using namespace std::chrono_literals;

// --- a coroutine type of another library: starts at once, gives a future ---

class task {
 public:
  struct promise_type {
    std::promise<int> result;

    task get_return_object() { return task(result.get_future()); }

    std::suspend_never initial_suspend() noexcept { return {}; }

    std::suspend_never final_suspend() noexcept { return {}; }

    void return_value(int value) { result.set_value(value); }

    void unhandled_exception() { result.set_exception(std::current_exception()); }
  };

  int wait() { return result_.get(); }

 private:
  explicit task(std::future<int> result) : result_(std::move(result)) {}

  std::future<int> result_;
};

weft::routine<int> twice(int n) {
  co_await weft::yield();
  co_return 2 * n;
}

// Runs on the thread that calls it up to the first wait, and on weft's workers from there.
task foreign(weft::channel<int> numbers) {
  auto doubled = weft::go(twice, 20);
  int sum = co_await std::move(doubled);
  co_await weft::sleep_for(1ms);
  while (auto n = co_await numbers.recv()) sum += *n;
  co_return sum;
}

void await_from_a_foreign_coroutine() {
  weft::channel<int> numbers;
  task t = foreign(numbers);
  auto feeder = weft::go(
      [](weft::channel<int> out) -> weft::routine<> {
        for (int i = 0; i < 2; ++i) co_await out.send(1);
        out.close();
      },
      numbers);
  fmt::print("a foreign coroutine: {}\n", t.wait());
  feeder.join();
}

// --- a runtime without threads in a loop of the program's own ---

weft::routine<int> tick(int times) {
  weft::ticker clock(1ms);
  for (int i = 0; i < times; ++i) co_await clock.tick();
  co_return times;
}

void drive_from_a_poll_loop() {
  std::array<int, 2> mail{};  // what the program waits for besides: here a pipe
  if (::pipe(mail.data()) != 0) {
    std::perror("pipe");
    std::exit(1);
  }

  weft::runtime rt({.workers = weft::manual});
  auto ticking = rt.go(tick, 5);
  auto posting = rt.go([fd = mail[1]]() -> weft::routine<> {
    co_await weft::sleep_for(2ms);
    if (::write(fd, "!", 1) != 1) std::perror("write");
  });

  bool has_mail = false;
  while (!ticking.done() || !posting.done() || !has_mail) {
    std::array<pollfd, 2> sources{{{rt.native_handle(), POLLIN, 0}, {mail[0], POLLIN, 0}}};
    ::poll(sources.data(), sources.size(), -1);
    if (sources[0].revents != 0) rt.poll();  // runs what is ready, and never waits
    if (sources[1].revents != 0) {
      char letter = 0;
      has_mail = ::read(mail[0], &letter, 1) == 1;
    }
  }
  fmt::print("a poll loop: {} ticks and a letter\n", ticking.join());
  posting.join();
  ::close(mail[0]);
  ::close(mail[1]);
}

int main() {
  await_from_a_foreign_coroutine();
  drive_from_a_poll_loop();
}
