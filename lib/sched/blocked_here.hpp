#pragma once

// blocked_here: this thread is about to sleep until others have done something, as in a facade call.  If it
// is one of weft's, somebody stands in for it meanwhile.

namespace weft::sched {

class blocking_pool;
class worker;

class blocked_here {
 public:
  /// Throws std::system_error past max_threads.
  blocked_here();
  blocked_here(const blocked_here&) = delete;
  blocked_here& operator=(const blocked_here&) = delete;
  ~blocked_here();

 private:
  worker* worker_ = nullptr;
  blocking_pool* pool_ = nullptr;
};

}  // namespace weft::sched
