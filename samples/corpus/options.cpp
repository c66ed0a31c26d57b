#include "options.hpp"

#include <charconv>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include <fmt/core.h>

#include "report.hpp"

namespace {

constexpr const char* usage =
    R"(usage: corpus [--workers N] [--readers N] [DIRECTORY]

Counts the files, bytes, lines and words of all regular files under DIRECTORY (/usr/include
if not said) and names the 20 most frequent words.  Lines and words are those of wc in the C
locale: a word is what stands between white space and has a printable character.  Symbolic
links are not followed.  Ctrl-C ends it with what was counted so far; twice, at once.

  --workers N   threads that count, 1 to 1024 (one per CPU)
  --readers N   files that are read at the same time, 1 to 1024 (8)

Ends with 0; 1 if something could not be read; 2 if DIRECTORY is none, or the options make
no sense; 3 if it failed; 130 after Ctrl-C.
)";

[[noreturn]] void refuse(std::string_view what, std::string_view value) {
  fmt::print(stderr, "corpus: {} {}\n{}", what, value, usage);
  std::exit(exit_usage);
}

unsigned number(std::string_view option, const char* text) {
  if (text == nullptr) refuse("a number is missing after", option);
  const std::string_view digits = text;
  unsigned value = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool is_number = error == std::errc() && stop == digits.data() + digits.size();
  if (!is_number || value < 1 || value > 1024) refuse("not a number from 1 to 1024:", digits);
  return value;
}

}  // namespace

options parse(int argc, char** argv) {
  options chosen;
  bool has_directory = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--help") {
      fmt::print("{}", usage);
      std::exit(exit_complete);
    } else if (word == "--workers") {
      chosen.workers = number(word, argv[++i]);
    } else if (word == "--readers") {
      chosen.readers = number(word, argv[++i]);
    } else if (word.size() > 1 && word.front() == '-') {
      refuse("no such option:", word);
    } else if (has_directory) {
      refuse("one directory at a time, not also", word);
    } else {
      chosen.directory = word;
      has_directory = true;
    }
  }
  return chosen;
}
