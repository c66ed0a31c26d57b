#pragma once

// file_call: one request to the file system, as detail/operation.hpp wants it.  Functions in
// lib/io/file_call.cpp.
//
// Files are never "not ready", their calls block: a thread of the blocking pool makes them.  Once it has
// begun, the wait goes on to its end, cancelled or not, so nobody touches the buffer afterwards.  What the
// system can do at once is done at once, without the pool; and on a thread that may block, there.

#include <weft/detail/blocking_job.hpp>
#include <weft/detail/operation.hpp>
#include <weft/detail/own_text.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace weft::detail {

struct descriptor;

/// What is asked of the system.
enum class file_action : std::uint8_t {
  // Of an open file.
  read,     // into `data`, until `size` or the end
  write,    // all of it
  gather,   // `data` are `size` buffers, to be written one after the other
  scatter,  // to be read into
  append,
  sync,
  sync_data,
  truncate,  // to `offset`
  examine,   // `data` is a file_metadata
  close,
  // Of a path.
  open,
  examine_path,
  examine_link,
  remove_file,
  remove_directory,
  rename,
  make_directory,
  list,        // `data` are owned_bytes
  read_whole,  // the same
  write_whole,
  replace_whole,
};

/// For whoever makes the call: a thread of the pool.
struct file_request {
  file_action action;
  bool also_sync = false;
  int fd = -1;
  int flags = 0;
  unsigned mode = 0;
  void* data = nullptr;
  std::size_t size = 0;
  std::uint64_t offset = 0;
  std::size_t done = 0;  // bytes, without the pool
  const char* path = nullptr;
  const char* second_path = nullptr;
};

/// Bytes that were read by a thread of the pool.
class WEFT_API owned_bytes {
 public:
  owned_bytes() noexcept = default;

  /// Of malloc.
  owned_bytes(char* data, std::size_t size) noexcept : data_(data), size_(size) {}

  owned_bytes(owned_bytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

  owned_bytes& operator=(owned_bytes&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  ~owned_bytes();

  char* data() const noexcept { return data_; }

  std::size_t size() const noexcept { return size_; }

 private:
  char* data_ = nullptr;
  std::size_t size_ = 0;
};

class WEFT_API file_call : public op_base {
 public:
  bool ready(waiter& w) noexcept;
  bool park(waiter& w) noexcept;
  void give_up() noexcept;

  file_call(const file_call&) = delete;
  file_call& operator=(const file_call&) = delete;

 protected:
  /// Of an open file.
  file_call(file_action action, descriptor* on) noexcept : on_(on), request_{action} {}

  /// Of a path.
  file_call(file_action action, std::string_view path) : request_{action}, path_(path) {}

  file_call(file_action action, std::string_view path, std::string_view second)
      : request_{action}, path_(path), second_path_(second) {}

  ~file_call() = default;

  /// Before the wait.
  file_request& request() noexcept { return request_; }

  /// How many bytes, or what the call gives.  Throws cancelled, std::system_error, std::bad_alloc.
  std::int64_t end(waiter& w);

 private:
  friend struct file_steps;

  struct own_call : pool_call {
    file_call* owner = nullptr;
  };

  descriptor* on_ = nullptr;
  file_request request_;
  std::int64_t result_ = 0;
  own_call call_;
  bool holds_ = false;  // counted in the descriptor
  bool is_at_pool_ = false;
  wait_end how_ = wait_end::pending;
  own_text path_;
  own_text second_path_;
};

}  // namespace weft::detail
