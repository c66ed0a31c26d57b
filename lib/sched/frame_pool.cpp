// Where a frame comes from, fastest first
//   cache   per thread and size class, two magazines: stacks of up to 64 free blocks.  No atomics.
//   depot   per class, under a lock: full magazines, and one that is being filled from the caches of ended
//           threads.
//   slab    2 MiB of one class: a bump index under the depot's lock, mapped without it.
//   list    more than 4 KiB, and everything in sanitizer builds: operator new, linked into a sharded list.
// A free goes to the freeing thread's cache, wherever the frame was born: no remote free.  The imbalance
// (born on one worker, freed on another) travels through the depot, one lock per 64 frames.
//
// Invariants
//   1. A free block's words 0 and 1 are links; word 2, the claim word, is never written here (Invariant T).
//   2. A cache's spare magazine is empty or full; the depot's stack holds full ones only.
//   3. A slab's `used` only grows, and blocks below it were zero when they were first handed out.
//   4. Whose load of the stop flag does not see the stop is in a block that the walk after it visits: V1 to
//   V4 in frame_depot.hpp.
//
// Source: Bonwick, Vmem and magazines (USENIX 2001); Go's gfput/gfget (local lists, a shared one in batches).
// Rejected: trimming the depot with MADV_DONTNEED: it zeroes claim words, which breaks Invariant T (a promise
//           that goes on counting from the old word would begin anew); a list of live routines (two locks per
//           spawn and exit).
//
// The list's heads are globals, so a leak checker takes listed frames for reachable: frame_stats::listed
// tells.

#include "sched/frame_pool.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <utility>

#include <sys/mman.h>

#include "base/own_line.hpp"
#include "os/lock.hpp"
#include "os/port.hpp"
#include "sched/frame_depot.hpp"

namespace weft::sched {
namespace {

// Sanitizers see into operator new's blocks, not into a pool's: there every frame is a block of its own.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool pooled = false;
#elif defined(__has_feature)
constexpr bool pooled = !(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer));
#else
constexpr bool pooled = true;
#endif

constexpr std::size_t slab_bytes = std::size_t{2} << 20;  // one huge page
constexpr std::size_t slab_header_bytes = 64;
constexpr std::size_t run_bytes = std::size_t{16} << 10;  // touched at once: a small program stays small
constexpr std::size_t huge_pages_after = 2;               // slabs: the first 4 MiB are half empty
constexpr std::size_t granule = 16;                       // of sizes, and the alignment of frames
constexpr std::uint32_t smallest_block = 32;              // links and claim word
constexpr std::size_t largest_block = 4096;
constexpr std::uint32_t magazine_size = 64;  // a lock costs 10-20 ns: 0.3 ns a frame

constexpr std::uint32_t class_count = largest_block / granule + 1;

// The size in granules: where an allocation is two dozen instructions, a table of wider classes is two more.
std::uint32_t class_of(std::size_t bytes) noexcept {
  return static_cast<std::uint32_t>((bytes + granule - 1) / granule);
}

std::uint32_t stride_of(std::uint32_t size_class) noexcept {
  return std::max(static_cast<std::uint32_t>(size_class * granule), smallest_block);
}

struct free_block {
  free_block* next;  // in its magazine

  union {
    free_block* later;          // in its magazine, to be prefetched
    free_block* next_magazine;  // in the depot, if it is the top of a full magazine
  };

  // The claim word follows: not a member, so that nothing here can write it.

  static free_block* make(void* block) noexcept { return ::new (block) free_block; }
};

static_assert(sizeof(free_block) == claim_word_offset);

struct slab {
  const std::uint32_t stride;
  slab_uses<> uses;
  slab* older = nullptr;  // all slabs, newest first

  std::byte* block(std::uint32_t index) noexcept {
    return reinterpret_cast<std::byte*>(this) + slab_header_bytes + std::size_t{index} * stride;
  }

  std::uint32_t run_length() const noexcept { return static_cast<std::uint32_t>(run_bytes / stride); }
};

static_assert(sizeof(slab) <= slab_header_bytes);

using depot = frame_depot<free_block, slab, magazine_size>;
using blocks = depot::blocks;

constinit slab_registry<slab> registry;
constinit std::atomic<std::uint64_t> slab_count{0};

// Not yet in the registry.
slab* map_slab(std::uint32_t stride, bool first_of_class) {
  // Twice as much, so that an aligned slab lies within; the ends go back.
  void* raw = ::mmap(nullptr, 2 * slab_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) throw std::bad_alloc();
  const auto address = reinterpret_cast<std::uintptr_t>(raw);
  const std::size_t before = (slab_bytes - address % slab_bytes) % slab_bytes;
  std::byte* start = static_cast<std::byte*>(raw) + before;
  if (before != 0) ::munmap(raw, before);
  ::munmap(start + slab_bytes, slab_bytes - before);

  // A class's first slab stays on small pages, even if the system gives huge ones unasked: most classes need
  // little.
  const std::uint64_t others = slab_count.load(std::memory_order_relaxed);  // relaxed: an estimate
  const bool huge = !first_of_class && others >= huge_pages_after;
  ::madvise(start, slab_bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);  // a refusal costs time, nothing else
  const auto capacity = static_cast<std::uint32_t>((slab_bytes - slab_header_bytes) / stride);
  return ::new (start) slab{stride, slab_uses<>(capacity)};
}

constinit base::own_line<depot> depots[class_count];

// The system call is made without the lock; of two threads that find the slab used up, one gives its new one
// back.
void add_slab(std::uint32_t size_class) {
  depot& to = depots[size_class];
  const depot::need now = to.needs_slab();
  if (now == depot::need::none) return;
  slab* made = map_slab(stride_of(size_class), now == depot::need::first_slab);
  if (to.add(made, registry)) {
    slab_count.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
  } else {
    ::munmap(made, slab_bytes);
  }
}

// Never empty.  Throws std::bad_alloc.
blocks take_magazine(std::uint32_t size_class) {
  for (;;) {
    const blocks filled = depots[size_class].take();
    if (!filled.empty()) return filled;
    add_slab(size_class);
  }
}

struct class_cache {
  blocks loaded;
  blocks spare;
};

struct cache {
  class_cache classes[class_count];

  ~cache();
};

// The pointer is what the hot path reads: no guard, no wrapper.  It is null before a thread's first frame and
// again after its cache has gone; frames freed still later in the thread's exit go to the depot.
[[gnu::tls_model("initial-exec")]] constinit thread_local cache* current_cache = nullptr;
constinit thread_local bool cache_ended = false;

cache::~cache() {
  current_cache = nullptr;
  cache_ended = true;
  for (std::uint32_t size_class = 0; size_class < class_count; ++size_class) {
    class_cache& of = classes[size_class];
    if (!of.loaded.empty()) depots[size_class].give_loose(of.loaded);
    if (!of.spare.empty()) depots[size_class].give_full(of.spare);
  }
}

// Not the cache itself: an initial-exec variable puts all thread_locals of a library where the loader keeps
// little room, and 8 KB more of them is a plugin that cannot be loaded.
struct cache_owner {
  cache* own = nullptr;

  ~cache_owner() {
    cache_ended = true;  // also without one, for want of memory: nobody would free the next
    if (own == nullptr) return;
    own->~cache();
    std::free(own);
  }
};

// Null without memory, too: then it is the depot's turn.
cache* attach_cache() noexcept {
  if (cache_ended) return nullptr;
  thread_local cache_owner owner;
  if (owner.own == nullptr) {
    void* place = std::malloc(sizeof(cache));  // as quiet as a thread_local: no operator new of the program's
    if (place != nullptr) owner.own = ::new (place) cache;
  }
  return current_cache = owner.own;
}

[[gnu::noinline]] void* allocate_slowly(std::uint32_t size_class) {
  cache* mine = attach_cache();
  if (mine == nullptr) {
    blocks borrowed = take_magazine(size_class);
    void* block = borrowed.pop();
    depots[size_class].give_loose(borrowed);
    return block;
  }
  class_cache& of = mine->classes[size_class];
  of.loaded = of.spare.empty() ? take_magazine(size_class) : std::exchange(of.spare, {});
  return of.loaded.pop();
}

[[gnu::noinline]] void free_slowly(void* frame, std::uint32_t size_class) noexcept {
  cache* mine = attach_cache();
  if (mine == nullptr) {
    blocks single;
    single.push(frame);
    return depots[size_class].give_loose(single);
  }
  class_cache& of = mine->classes[size_class];
  if (of.loaded.full()) {
    if (!of.spare.empty()) depots[size_class].give_full(of.spare);
    of.spare = std::exchange(of.loaded, {});
  }
  of.loaded.push(frame);
}

struct alignas(granule) listed_header {
  listed_header* previous;
  listed_header* next;

  std::byte* frame() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
};

struct alignas(64) frame_list {
  std::uint32_t lock = 0;  // of all below, and of the links of its frames
  listed_header* first = nullptr;
  std::uint64_t count = 0;
};

constinit frame_list lists[16];

frame_list& list_of(const listed_header* header) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(header);
  return lists[(address >> 4 ^ address >> 12) % std::size(lists)];
}

[[gnu::noinline]] void* allocate_listed(std::size_t bytes) {
  const os::spared_allocations asked_already;
  void* raw = ::operator new(sizeof(listed_header) + std::max<std::size_t>(bytes, smallest_block));
  auto* header = ::new (raw) listed_header{nullptr, nullptr};
  ::new (header->frame() + claim_word_offset) std::uint64_t{0};
  frame_list& list = list_of(header);
  const os::guard hold(list.lock);
  header->next = list.first;
  if (list.first != nullptr) list.first->previous = header;
  list.first = header;
  ++list.count;
  return header->frame();
}

[[gnu::noinline]] void free_listed(void* frame) noexcept {
  listed_header* header = static_cast<listed_header*>(frame) - 1;
  frame_list& list = list_of(header);
  {
    const os::guard hold(list.lock);
    (header->previous == nullptr ? list.first : header->previous->next) = header->next;
    if (header->next != nullptr) header->next->previous = header->previous;
    --list.count;
  }
  ::operator delete(header);
}

// What is larger takes the long way: frames that no slab holds, and all of them as long as somebody wants
// failures (simulated runs); so many times `all_the_long_way` are taken off then.
constexpr std::ptrdiff_t all_the_long_way = 2 * largest_block;
constinit base::own_line<std::atomic<std::ptrdiff_t>> largest_quick{pooled ? std::ptrdiff_t{largest_block}
                                                                           : -1};
constinit std::atomic<long> allocations_before_failure{-1};

[[gnu::always_inline]] inline void* allocate_pooled(std::size_t bytes) {
  const std::uint32_t size_class = class_of(bytes);
  if (cache* mine = current_cache; mine != nullptr) [[likely]] {
    blocks& loaded = mine->classes[size_class].loaded;
    if (!loaded.empty()) [[likely]]
      return loaded.pop();
  }
  return allocate_slowly(size_class);
}

void fail_if_wanted() {
  // relaxed: as in allocate_frame(); exactly one decrement finds 0, which is all that matters
  if (largest_quick.load(std::memory_order_relaxed) >= -1) return;
  if (allocations_before_failure.load(std::memory_order_relaxed) >= 0 &&
      allocations_before_failure.fetch_sub(1, std::memory_order_relaxed) == 0) {
    want_failures(false);
    throw std::bad_alloc();
  }
  os::may_fail();
}

[[gnu::noinline]] void* allocate_the_long_way(std::size_t bytes) {
  fail_if_wanted();
  return pooled && bytes <= largest_block ? allocate_pooled(bytes) : allocate_listed(bytes);
}

}  // namespace

// The two hot functions are never inlined, not even by LTO: a caller that suspends could otherwise keep the
// address of current_cache and use another thread's.

[[gnu::noinline]] void* allocate_frame(std::size_t bytes) {
  // relaxed: whoever wants failures says so before it starts what shall fail
  if (static_cast<std::ptrdiff_t>(bytes) > largest_quick.load(std::memory_order_relaxed)) [[unlikely]]
    return allocate_the_long_way(bytes);
  return allocate_pooled(bytes);
}

[[gnu::noinline]] void free_frame(void* frame, std::size_t bytes) noexcept {
  if (!pooled || bytes > largest_block) [[unlikely]]
    return free_listed(frame);
  const std::uint32_t size_class = class_of(bytes);
  if (cache* mine = current_cache; mine != nullptr) [[likely]] {
    blocks& loaded = mine->classes[size_class].loaded;
    if (!loaded.full()) [[likely]]
      return loaded.push(frame);
  }
  free_slowly(frame, size_class);
}

bool may_vanish(std::size_t annex_bytes, bool over_aligned) noexcept {
  return pooled && (over_aligned || annex_bytes > largest_block);
}

void for_each_block(bool (*visit)(void* context, void* frame), void* context) {
  for (slab* each = registry.newest(); each != nullptr; each = each->older) {
    const std::uint32_t used = each->uses.count();
    for (std::uint32_t i = 0; i < used; ++i) {
      if (!visit(context, each->block(i))) return;
    }
  }
  for (frame_list& list : lists) {
    const os::guard hold(list.lock);
    for (listed_header* header = list.first; header != nullptr; header = header->next) {
      if (!visit(context, header->frame())) return;
    }
  }
}

bool visit_block(void* frame, bool (*visit)(void* context, void* frame), void* context) {
  const auto address = reinterpret_cast<std::uintptr_t>(frame);
  for (slab* each = registry.newest(); each != nullptr; each = each->older) {
    const auto first = reinterpret_cast<std::uintptr_t>(each->block(0));
    if (address < first || address >= reinterpret_cast<std::uintptr_t>(each) + slab_bytes) continue;
    return (address - first) % each->stride == 0 && (address - first) / each->stride < each->uses.count() &&
           visit(context, frame);
  }
  frame_list& list = list_of(reinterpret_cast<const listed_header*>(address - sizeof(listed_header)));
  const os::guard hold(list.lock);
  for (listed_header* header = list.first; header != nullptr; header = header->next) {
    if (header->frame() == frame) return visit(context, frame);
  }
  return false;
}

void want_failures(bool wanted) noexcept {
  // relaxed: as in allocate_frame()
  largest_quick.fetch_add(wanted ? -all_the_long_way : all_the_long_way, std::memory_order_relaxed);
}

void fail_frame_after(long k) noexcept {
  if (k >= 0) want_failures(true);  // first: who fails takes back what was given
  // relaxed: as in allocate_frame()
  if (allocations_before_failure.exchange(k, std::memory_order_relaxed) >= 0) want_failures(false);
}

frame_stats read_frame_stats() noexcept {
  const std::uint64_t slabs = slab_count.load(std::memory_order_relaxed);  // relaxed: a count
  frame_stats stats{.slab_bytes = slabs * slab_bytes, .blocks = 0, .listed = 0, .pooled = pooled};
  for (const slab* each = registry.newest(); each != nullptr; each = each->older) {
    stats.blocks += each->uses.estimate();
  }
  for (frame_list& list : lists) {
    const os::guard hold(list.lock);
    stats.listed += list.count;
  }
  return stats;
}

}  // namespace weft::sched
