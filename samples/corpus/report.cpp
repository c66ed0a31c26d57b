#include "report.hpp"

#include <cerrno>
#include <cstdlib>
#include <string_view>

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

constexpr std::size_t shown_words = 20;
constexpr const char* clear_line = "\r\x1b[K";

// Names and words may hold anything; a terminal should not.
std::string visible(std::string_view text) {
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f)
      shown += c;
    else
      shown += fmt::format("\\x{:02x}", byte);
  }
  return shown;
}

}  // namespace

console::console() : is_terminal_(::isatty(STDERR_FILENO) == 1) {}

void console::unreadable(const problem& what) {
  problems_.fetch_add(1, std::memory_order_relaxed);
  fmt::print(stderr, "{}corpus: cannot read {}: {}\n", is_terminal_ ? clear_line : "", visible(what.path),
             what.why.message());
}

void console::count(const tally& read) {
  files_.fetch_add(read.files, std::memory_order_relaxed);
  bytes_.fetch_add(read.bytes, std::memory_order_relaxed);
}

void console::show_progress() const {
  fmt::print(stderr, "{}{} files, {} MB", clear_line, files_.load(std::memory_order_relaxed),
             bytes_.load(std::memory_order_relaxed) / 1'000'000);
}

void console::clear_progress() const {
  fmt::print(stderr, "{}", clear_line);
}

int report(const word_counter& total, const console& con, bool is_partial) {
  if (is_partial) fmt::print("interrupted: partial counts\n");
  const tally& sum = total.sum();
  fmt::print("files {}\nbytes {}\nlines {}\nwords {}\nunreadable {}\n", sum.files, sum.bytes, sum.lines,
             sum.words, con.problems());
  if (sum.not_ranked > 0) {
    fmt::print("not ranked {}: words of more than {} bytes\n", sum.not_ranked, longest_ranked);
  }
  fmt::print("\n");
  for (const auto& [word, count] : total.most_frequent(shown_words)) {
    fmt::print("{:>10} {}\n", count, visible(word));
  }
  if (is_partial) return exit_interrupted;
  return con.problems() > 0 ? exit_unreadable : exit_complete;
}

void require_directory(const std::string& path) {
  struct stat about {};

  std::string_view why;
  std::string system_says;
  if (::lstat(path.c_str(), &about) != 0) {
    system_says = std::error_code(errno, std::system_category()).message();
    why = system_says;
  } else if (S_ISLNK(about.st_mode)) {
    why = "a symbolic link, and those are not followed (with a / at its end it is)";
  } else if (!S_ISDIR(about.st_mode)) {
    why = "not a directory";
  }
  if (why.empty()) return;
  fmt::print(stderr, "corpus: {}: {}\n", visible(path), why);
  std::exit(exit_usage);
}
