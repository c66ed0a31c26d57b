#pragma once

// report: what the user sees - the result, the progress line, what could not be read.

#include <atomic>
#include <cstdint>
#include <string>

#include "files.hpp"
#include "text.hpp"

constexpr int exit_complete = 0;
constexpr int exit_unreadable = 1;  // complete, but for what could not be read: as wc
constexpr int exit_usage = 2;
constexpr int exit_failed = 3;
constexpr int exit_interrupted = 130;  // as shells say it of SIGINT

/// Everything but the result goes to standard error.  Any thread.
class console {
 public:
  console();

  /// One line on standard error; what it names is skipped.
  void unreadable(const problem& what);
  /// For the progress line.
  void count(const tally& read);

  bool shows_progress() const { return is_terminal_; }

  void show_progress() const;
  void clear_progress() const;

  std::uint64_t problems() const { return problems_; }

 private:
  bool is_terminal_;
  std::atomic<std::uint64_t> files_ = 0;
  std::atomic<std::uint64_t> bytes_ = 0;
  std::atomic<std::uint64_t> problems_ = 0;
};

/// Prints the result; gives the exit code.
int report(const word_counter& total, const console& con, bool is_partial);

/// Ends the process with exit_usage if `path` is not a directory.
void require_directory(const std::string& path);
