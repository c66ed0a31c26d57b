#include "io/ring.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <system_error>

#include <linux/time_types.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace weft::io {

namespace {

constexpr os::nanos second = 1'000'000'000;

/// One mapping for both queues, completions are never dropped, a wait with a limit, and requests that are
/// silent when they succeed: Linux 5.17.
constexpr std::uint32_t needed_features =
    IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;

/// What does not fit the kernel keeps on a list, and ends each multishot request that has something to tell
/// meanwhile; asked for anew, it has at once.  With more of them than fit that would never end, so there is
/// room for as many as there may be descriptors (1 MiB).
constexpr std::uint32_t most_completions = 65'536;

[[noreturn]] void refuse(int error) {
  throw std::system_error(error, std::system_category(), "weft: io_uring");
}

template <typename T>
T* at(void* base, std::uint32_t offset) noexcept {
  return reinterpret_cast<T*>(static_cast<std::byte*>(base) + offset);
}

std::uint32_t read_relaxed(std::uint32_t& word) noexcept {
  return std::atomic_ref(word).load(std::memory_order_relaxed);  // relaxed: own, or a hint
}

}  // namespace

ring::ring(unsigned requests, completes when, std::initializer_list<std::uint8_t> needs) {
  io_uring_params p{};
  p.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL;
  if (when == completes::on_entry) p.flags |= IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  p.cq_entries = most_completions;
  fd_ = static_cast<int>(::syscall(SYS_io_uring_setup, requests, &p));
  if (fd_ < 0) refuse(errno == EINVAL ? EOPNOTSUPP : errno);
  try {
    if ((p.features & needed_features) != needed_features) refuse(EOPNOTSUPP);
    check(needs);
    const std::size_t one = p.sq_off.array + p.sq_entries * sizeof(std::uint32_t);
    const std::size_t other = p.cq_off.cqes + p.cq_entries * sizeof(io_uring_cqe);
    queues_ = map(one > other ? one : other, IORING_OFF_SQ_RING);
    requests_ = map(p.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES);
  } catch (...) {
    release();
    throw;
  }
  request_head_ = at<std::uint32_t>(queues_.at, p.sq_off.head);
  request_tail_ = at<std::uint32_t>(queues_.at, p.sq_off.tail);
  request_mask_ = *at<std::uint32_t>(queues_.at, p.sq_off.ring_mask);
  flags_ = at<std::uint32_t>(queues_.at, p.sq_off.flags);
  completion_head_ = at<std::uint32_t>(queues_.at, p.cq_off.head);
  completion_tail_ = at<std::uint32_t>(queues_.at, p.cq_off.tail);
  completion_mask_ = *at<std::uint32_t>(queues_.at, p.cq_off.ring_mask);
  completions_ = at<io_uring_cqe>(queues_.at, p.cq_off.cqes);
  auto* const order = at<std::uint32_t>(queues_.at, p.sq_off.array);
  for (std::uint32_t i = 0; i <= request_mask_; ++i) order[i] = i;
}

/// A forked child does not get it: its requests would be the parent's.
ring::mapping ring::map(std::size_t size, std::uint64_t offset) const {
  void* const start = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_,
                             static_cast<off_t>(offset));
  if (start == MAP_FAILED) refuse(errno);
  ::madvise(start, size, MADV_DONTFORK);
  return {start, size};
}

void ring::check(std::initializer_list<std::uint8_t> needs) const {
  constexpr unsigned most = 256;
  alignas(io_uring_probe) std::array<std::byte, sizeof(io_uring_probe) + most * sizeof(io_uring_probe_op)>
      known{};
  if (::syscall(SYS_io_uring_register, fd_, IORING_REGISTER_PROBE, known.data(), most) < 0) refuse(errno);
  const unsigned count = at<io_uring_probe>(known.data(), 0)->ops_len;
  const auto* const each_known = at<io_uring_probe_op>(known.data(), sizeof(io_uring_probe));
  for (const std::uint8_t each : needs) {
    if (each >= count || (each_known[each].flags & IO_URING_OP_SUPPORTED) == 0) refuse(EOPNOTSUPP);
  }
}

void ring::release() noexcept {
  for (const mapping& each : {queues_, requests_}) {
    if (each.at != nullptr) ::munmap(each.at, each.size);
  }
  ::close(fd_);
}

bool ring::push(const io_uring_sqe& request) noexcept {
  if (pending() > request_mask_) return false;
  const std::uint32_t tail = read_relaxed(*request_tail_);
  static_cast<io_uring_sqe*>(requests_.at)[tail & request_mask_] = request;
  std::atomic_ref(*request_tail_).store(tail + 1, std::memory_order_release);  // K1, pairs with the kernel
  return true;
}

unsigned ring::pending() const noexcept {
  const std::uint32_t done =
      std::atomic_ref(*request_head_).load(std::memory_order_acquire);  // K2, pairs with the kernel
  return read_relaxed(*request_tail_) - done;
}

bool ring::hides_completions() const noexcept {
  return (read_relaxed(*flags_) & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)) != 0;
}

void ring::show_completions() noexcept {
  enter(0, 0, IORING_ENTER_GETEVENTS, os::never);
}

int ring::enter(unsigned requests, unsigned completions, unsigned flags, os::nanos left) noexcept {
  __kernel_timespec limit{left / second, left % second};
  io_uring_getevents_arg how{};
  how.ts = left == os::never ? 0 : reinterpret_cast<std::uintptr_t>(&limit);
  const auto n = ::syscall(SYS_io_uring_enter, fd_, requests, completions, flags | IORING_ENTER_EXT_ARG, &how,
                           sizeof how);
  return n < 0 ? errno : 0;
}

std::uint32_t ring::own_head() const noexcept {
  return read_relaxed(*completion_head_);
}

std::uint32_t ring::their_tail() const noexcept {
  return std::atomic_ref(*completion_tail_).load(std::memory_order_acquire);  // K3, pairs with the kernel
}

completion ring::completion_at(std::uint32_t i) const noexcept {
  const io_uring_cqe& c = completions_[i & completion_mask_];
  return {c.user_data, c.res, c.flags};
}

bool ring::has_completions() const noexcept {
  return their_tail() != own_head();
}

unsigned ring::take(completion* to, unsigned most) noexcept {
  const std::uint32_t tail = their_tail();
  std::uint32_t head = own_head();
  unsigned n = 0;
  for (; n != most && head != tail; ++n, ++head) to[n] = completion_at(head);
  std::atomic_ref(*completion_head_).store(head, std::memory_order_release);  // K4, pairs with the kernel
  return n;
}

}  // namespace weft::io
