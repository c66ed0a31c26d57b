#include "files.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

constexpr std::size_t largest_piece = 262'144;  // 256 KiB: a system call then costs little beside its copying

std::error_code last_error() {
  return {errno, std::system_category()};
}

// Of an entry whose directory does not say.
unsigned char type_of(const std::string& path, std::vector<problem>& problems) {
  struct stat about {};

  if (::lstat(path.c_str(), &about) == 0) return static_cast<unsigned char>(IFTODT(about.st_mode));
  problems.push_back({path, last_error()});
  return DT_UNKNOWN;
}

}  // namespace

listing list_directory(const std::string& path) {
  listing found;
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) {
    found.problems.push_back({path, last_error()});
    return found;
  }
  const std::string prefix = path.back() == '/' ? path : path + '/';
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory);
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    std::string full = prefix + name;
    const unsigned char type = entry->d_type != DT_UNKNOWN ? entry->d_type : type_of(full, found.problems);
    if (type == DT_DIR)
      found.directories.push_back(std::move(full));
    else if (type == DT_REG)
      found.files.push_back(std::move(full));
  }
  if (errno != 0) found.problems.push_back({path, last_error()});
  ::closedir(directory);
  return found;
}

text_file::~text_file() {
  if (fd_ >= 0) ::close(fd_);
}

// The walk saw a regular file, but others may have replaced it since: a FIFO must not block us, nor a link
// lead us away.
void text_file::open() {
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

  struct stat about {};

  if (fd_ < 0 || ::fstat(fd_, &about) != 0) throw std::system_error(last_error());
  if (!S_ISREG(about.st_mode)) throw std::system_error(std::make_error_code(std::errc::invalid_argument));
  const std::size_t size = static_cast<std::size_t>(about.st_size) + 1;  // one more: the end is seen at once
  piece_size_ = std::clamp<std::size_t>(size, 4096, largest_piece);
}

bool text_file::next(piece& out) {
  if (fd_ < 0) open();
  std::string text = std::exchange(rest_, {});
  const std::size_t before = text.size();
  const bool is_at_end = read_up_to(before + piece_size_, text);
  out.counted = {};
  out.counted.bytes = text.size() - before;
  out.counted.files = is_at_end ? 1 : 0;

  const std::size_t begin = skip_long_word(text, is_at_end, out.counted);
  std::size_t end = text.size();
  if (!is_at_end && !is_in_long_word_) {
    end = std::max(begin, text.find_last_of(white_space) + 1);  // npos + 1 is 0
    if (text.size() - end <= longest_ranked) {
      rest_ = text.substr(end);
    } else {
      is_in_long_word_ = true;
      is_printable_ = has_printable(std::string_view(text).substr(end));
    }
  }
  text.resize(end);
  text.erase(0, begin);
  out.text = std::move(text);
  return !is_at_end;
}

// Where the long word that we are in, if any, ends in `text`.
std::size_t text_file::skip_long_word(const std::string& text, bool is_at_end, tally& counted) {
  if (!is_in_long_word_) return 0;
  const std::size_t end = std::min(text.find_first_of(white_space), text.size());
  is_printable_ |= has_printable(std::string_view(text).substr(0, end));
  if (end < text.size() || is_at_end) {
    is_in_long_word_ = false;
    counted.words += is_printable_ ? 1 : 0;
    counted.not_ranked += is_printable_ ? 1 : 0;
  }
  return end;
}

// True at the end of the file.
bool text_file::read_up_to(std::size_t size, std::string& text) {
  std::size_t filled = text.size();
  text.resize(size);
  while (filled < size) {
    const ssize_t got = ::read(fd_, text.data() + filled, size - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw std::system_error(last_error());
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return filled < size;
}
