#include "base/fatal.hpp"

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <limits>

#include <unistd.h>

namespace weft::base {

namespace {

std::atomic<context_writer> context{nullptr};
std::atomic<int> ends{0};     // main has returned: the thread that destroys the statics
std::atomic<int> speaker{0};  // the thread that says why the process ends; others are too late

[[noreturn]] void end(std::string_view kind, std::string_view sentence, detail_writer more = nullptr,
                      const void* about = nullptr) noexcept {
  int first = 0;
  if (!speaker.compare_exchange_strong(first, ::gettid(), std::memory_order_relaxed) &&  // relaxed: a flag
      first != ::gettid()) {
    for (;;) ::pause();
  }
  write_text(STDERR_FILENO, kind);
  write_text(STDERR_FILENO, sentence);
  write_text(STDERR_FILENO, "\n");
  if (more != nullptr) more(STDERR_FILENO, about);
  if (const auto writer =
          context.exchange(nullptr, std::memory_order_acquire))  // A1, pairs with R1: its data
    writer(STDERR_FILENO);
  std::abort();
}

}  // namespace

void set_context_writer(context_writer writer) noexcept {
  context.store(writer, std::memory_order_release);  // R1, pairs with A1: what the writer reads is there
}

void misuse(std::string_view sentence) noexcept {
  end("weft: misuse: ", sentence);
}

void misuse(std::string_view sentence, detail_writer more, const void* about) noexcept {
  end("weft: misuse: ", sentence, more, about);
}

void misuse_before_exit(std::string_view sentence, detail_writer more, const void* about) noexcept {
  if (ends.load(std::memory_order_relaxed) == 0) misuse(sentence, more, about);  // relaxed: its own
}

void main_has_returned() noexcept {
  ends.store(::gettid(), std::memory_order_relaxed);  // relaxed: for this thread
}

bool is_after_main() noexcept {
  const int thread = ends.load(std::memory_order_relaxed);  // relaxed: its own, or another's
  return thread != 0 && thread == ::gettid();
}

void broken(std::string_view sentence) noexcept {
  end("weft: internal error: ", sentence);
}

void write_text(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const auto written = ::write(fd, text.data(), text.size());
    if (written >= 0)
      text.remove_prefix(static_cast<std::size_t>(written));
    else if (errno != EINTR)
      return;
  }
}

void write_number(int fd, std::uint64_t number) noexcept {
  char digits[std::numeric_limits<std::uint64_t>::digits10 + 1];
  const auto end_of_digits = std::to_chars(digits, digits + sizeof digits, number).ptr;
  write_text(fd, {digits, static_cast<std::size_t>(end_of_digits - digits)});
}

}  // namespace weft::base
