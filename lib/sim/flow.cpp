#include "sim/flow.hpp"

#include <algorithm>
#include <cstring>

namespace weft::sim {

std::size_t parts::size() const noexcept {
  std::size_t n = 0;
  for (std::size_t i = 0; i < count; ++i) n += first[i].iov_len;
  return n;
}

void append(std::string& to, const parts& from, std::size_t size) {
  for (std::size_t i = 0; i < from.count && size != 0; ++i) {
    const std::size_t n = std::min(size, from.first[i].iov_len);
    to.append(static_cast<const char*>(from.first[i].iov_base), n);
    size -= n;
  }
}

void scatter(const parts& to, const char* from, std::size_t size) noexcept {
  for (std::size_t i = 0; i < to.count && size != 0; ++i) {
    const std::size_t n = std::min(size, to.first[i].iov_len);
    if (n != 0) std::memcpy(to.first[i].iov_base, from, n);
    from += n;
    size -= n;
  }
}

void flow::put(const parts& from, std::size_t size, os::nanos due) {
  latest_ = std::max(latest_, due);
  append(bytes_, from, size);
  late_.push_back({size, latest_});
}

std::size_t flow::readable(os::nanos now) noexcept {
  for (; !late_.empty() && late_.front().due <= now; late_.pop_front()) arrived_ += late_.front().size;
  return arrived_;
}

void flow::take(const parts& to, std::size_t size) {
  scatter(to, bytes_.data() + begin_, size);
  begin_ += size;
  arrived_ -= size;
  if (begin_ == bytes_.size()) {
    bytes_.clear();
    begin_ = 0;
  } else if (begin_ >= capacity_) {
    bytes_.erase(0, begin_);
    begin_ = 0;
  }
}

os::nanos flow::end(os::nanos due) noexcept {
  latest_ = std::max(latest_, due);
  end_ = std::min(end_, latest_);
  return end_;
}

void flow::break_off(os::nanos now) {
  bytes_.resize(begin_ + readable(now));
  late_.clear();
  end_ = std::min(end_, now);
}

}  // namespace weft::sim
