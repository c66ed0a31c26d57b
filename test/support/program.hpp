#pragma once

// program: another program that a test starts, reads from and ends by its id.

#include <weft/blocking.hpp>
#include <weft/io/process.hpp>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <unistd.h>

namespace weft::test {

using words = std::vector<std::string>;

inline routine<std::string> read_all(pipe_end& from) {
  std::string all;
  std::array<char, 16'384> piece;
  for (;;) {
    const std::size_t n = co_await from.read_some(piece);
    if (n == 0) co_return all;
    all.append(piece.data(), n);
  }
}

/// Runs as long as this object lives, at most, and no longer than this thread.  Its standard error is the
/// test's.
class program {
 public:
  explicit program(const words& argv, bool with_input = false) {
    std::vector<std::string_view> all{"setpriv", "--pdeathsig", "KILL", "--"};
    all.insert(all.end(), argv.begin(), argv.end());
    is_ = process::spawn(
        all, {.in = with_input ? child_stream::pipe() : child_stream::null(), .out = child_stream::pipe()});
  }

  program(const program&) = delete;
  program& operator=(const program&) = delete;

  ~program() {
    if (is_.status()) return;
    is_.kill(SIGKILL);
    blocking::wait(is_.wait());
  }

  int id() const { return is_.id(); }

  void kill(int signal) { is_.kill(signal); }

  void write(std::string_view text) { blocking::wait(is_.in().write_all(text)); }

  void end_input() { is_.in().close(); }

  /// It writes to nobody from now on.
  void close_output() { is_.out().close(); }

  /// Without the end of the line.  \throws std::runtime_error  it has ended
  std::string read_line() {
    std::size_t end = read_.find('\n');
    while (end == read_.npos) {
      std::array<char, 4096> piece;
      const std::size_t n = blocking::wait(is_.out().read_some(piece));
      if (n == 0) throw std::runtime_error("the program has ended: " + read_);
      read_.append(piece.data(), n);
      end = read_.find('\n');
    }
    std::string line = read_.substr(0, end);
    read_.erase(0, end + 1);
    return line;
  }

  /// What it has still to say, to its end.
  std::string read_rest() { return std::exchange(read_, {}) + blocking::run(read_all(is_.out())); }

  exit_status wait() { return blocking::wait(is_.wait()); }

  /// Of a server that says where it listens: "listening on 127.0.0.1:1234".
  std::uint16_t read_port() {
    const std::string line = read_line();
    return static_cast<std::uint16_t>(std::stoul(line.substr(line.rfind(':') + 1)));
  }

 private:
  process is_;
  std::string read_;
};

struct outcome {
  exit_status how;
  std::string output;
};

/// Runs a program to its end.
inline outcome run_program(const words& argv) {
  program p(argv);
  std::string output = p.read_rest();
  return {p.wait(), std::move(output)};
}

/// A directory that goes with this object, and all that is in it.
class scratch_directory {
 public:
  scratch_directory() {
    std::string name = (std::filesystem::temp_directory_path() / "weft-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = name;
  }

  scratch_directory(const scratch_directory&) = delete;
  scratch_directory& operator=(const scratch_directory&) = delete;

  ~scratch_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }

  /// A file there.
  std::string write(const std::string& name, std::string_view content) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::FILE* const f = std::fopen(file.c_str(), "wb");
    if (f == nullptr) throw std::runtime_error("cannot write " + file.string());
    std::fwrite(content.data(), 1, content.size(), f);
    std::fclose(f);
    return file.string();
  }

 private:
  std::filesystem::path path_;
};

}  // namespace weft::test
