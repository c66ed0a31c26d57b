// The lock in a word under all interleavings of tiny cases, and mutants that must be caught.  The code is
// lib/os/lock.hpp; futex and membarrier are the engine's.

#include <array>
#include <cstdint>
#include <map>
#include <memory>

#include "model/model_test.hpp"
#include "os/lock.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::require_caught;
using model::require_each_order_matters;
using model::require_sound;
using model::require_sound_big;
using weft::os::lock_contended;
using weft::os::lock_free;
using weft::os::lock_protocol;
using weft::os::sleepers_watched;

/// What the locks of one run share.
struct surroundings {
  std::uint32_t sleepers = 0;     // at the beginning
  model::plain<bool> registered;  // the process, for membarrier
  std::array<std::uint32_t, model::max_threads> leavings{};
  std::map<const std::uint32_t*, model::lifetime> lives;  // of what holds the words
};

surroundings* around = nullptr;

/// An access to a word that may be gone.
template <template <typename> class Ref>
class watched_ref {
 public:
  explicit watched_ref(std::uint32_t& word) : inner_(word), life_(&around->lives[&word]) {}

  std::uint32_t load(std::memory_order order, model::source where = model::source::current()) const {
    return life_->touch(), inner_.load(order, where);
  }

  void store(std::uint32_t to, std::memory_order order,
             model::source where = model::source::current()) const {
    life_->touch(), inner_.store(to, order, where);
  }

  std::uint32_t exchange(std::uint32_t to, std::memory_order order,
                         model::source where = model::source::current()) const {
    return life_->touch(), inner_.exchange(to, order, where);
  }

  std::uint32_t fetch_add(std::uint32_t by, std::memory_order order,
                          model::source where = model::source::current()) const {
    return life_->touch(), inner_.fetch_add(by, order, where);
  }

  std::uint32_t fetch_sub(std::uint32_t by, std::memory_order order,
                          model::source where = model::source::current()) const {
    return life_->touch(), inner_.fetch_sub(by, order, where);
  }

  std::uint32_t fetch_or(std::uint32_t bits, std::memory_order order,
                         model::source where = model::source::current()) const {
    return life_->touch(), inner_.fetch_or(bits, order, where);
  }

  bool compare_exchange_strong(std::uint32_t& expected, std::uint32_t to, std::memory_order order,
                               model::source where = model::source::current()) const {
    return life_->touch(), inner_.compare_exchange_strong(expected, to, order, where);
  }

  std::uint32_t newest() const { return inner_.newest(); }

 private:
  Ref<std::uint32_t> inner_;
  model::lifetime* life_;
};

struct modelled {
  using atomic = watched_ref<model::atomic_ref>;
  static constexpr std::uint32_t calm_after = 2;

  static std::uint32_t& sleepers(const std::uint32_t&) { return around->sleepers; }

  static void light_barrier() {}

  static void heavy_barrier() {
    model::check(around->registered, "membarrier before it is known to be there");
    model::heavy_barrier();
  }

  static bool has_barriers() { return true; }

  static std::uint32_t& watched_leavings() { return around->leavings[model::engine::now()->thread()]; }

  static void wait(std::uint32_t& word) { model::wait(atomic(word), &word, lock_contended, false); }

  static void wake(std::uint32_t& word) { model::wake(&word, 1); }
};

// --- mutants ---

/// The first who sleeps does not make the others pass a barrier.
struct without_barrier : modelled {
  static void heavy_barrier() {}
};

/// Who leaves does not look again.
struct looks_once : lock_protocol<modelled> {
  static void unlock(std::uint32_t& word) {
    if (modelled::atomic(around->sleepers).load(std::memory_order_relaxed) != 0)
      return lock_protocol<modelled>::unlock(word);
    modelled::atomic(word).store(lock_free, std::memory_order_release);
  }
};

/// The count is not watched by those whom nobody has told.
struct watches_at_once : lock_protocol<modelled> {
  static void lock_asleep(std::uint32_t& word) {
    modelled::atomic(around->sleepers).fetch_or(sleepers_watched, std::memory_order_relaxed);
    lock_protocol<modelled>::lock_asleep(word);
  }
};

/// Who comes while the first one's barrier is under way does not wait for it.
struct relies_too_soon : lock_protocol<modelled> {
  static void lock_asleep(std::uint32_t& word) {
    const modelled::atomic state(word);
    const modelled::atomic sleepers(around->sleepers);
    if (sleepers.fetch_add(1, std::memory_order_acquire) == 0) modelled::heavy_barrier();
    while (state.exchange(lock_contended, std::memory_order_acquire) != lock_free) modelled::wait(word);
    sleepers.fetch_sub(1, std::memory_order_relaxed);
  }
};

/// Calm returns although somebody sleeps.
struct calms_too_soon : lock_protocol<modelled> {
  static void unlock(std::uint32_t& word) {
    lock_protocol<modelled>::unlock(word);
    modelled::atomic(around->sleepers).exchange(0, std::memory_order_release);
  }
};

/// Who has slept takes the lock as one who has not.
struct sleeps_alone : lock_protocol<modelled> {
  static void lock_asleep(std::uint32_t& word) {
    const modelled::atomic state(word);
    modelled::atomic(around->sleepers).fetch_add(1, std::memory_order_acquire);
    modelled::heavy_barrier();
    while (!try_lock(word)) {
      auto seen = weft::os::lock_held;
      state.compare_exchange_strong(seen, lock_contended, std::memory_order_relaxed);
      modelled::wait(word);
    }
    modelled::atomic(around->sleepers).fetch_sub(1, std::memory_order_relaxed);
  }
};

// --- the world ---

template <typename Lock>
struct room : surroundings {
  std::array<std::uint32_t, 2> words{};
  std::array<model::plain<int>, 2> inside;

  explicit room(std::uint32_t sleepers_at_first, bool is_registered = true) {
    sleepers = sleepers_at_first;
    registered = is_registered;
    around = this;
  }

  void lock(std::uint32_t& word) {
    if (!Lock::try_lock(word)) Lock::lock_asleep(word);
  }

  void enter(std::size_t i = 0) {
    lock(words[i]);
    inside[i] = inside[i] + 1;
    Lock::unlock(words[i]);
  }

  void find_out() {
    registered = true;
    Lock::calm(sleepers);
  }

  model::program with(std::vector<std::function<void()>> threads, int entered, int in_other = 0) {
    return {std::move(threads), [this, entered, in_other] {
              model::check(inside[0].get() == entered && inside[1].get() == in_other,
                           "two were inside at once");
              model::check((modelled::atomic(sleepers).newest() & ~sleepers_watched) == 0,
                           "a sleeper is counted who has gone");
            }};
  }
};

/// As room, held by what it gives.
template <typename Lock, typename Threads>
model::program in_room(std::uint32_t sleepers, bool registered, int entered, int in_other, Threads threads) {
  auto all = std::make_shared<room<Lock>>(sleepers, registered);
  auto what = all->with(threads(all.get()), entered, in_other);
  what.finally = [all, then = what.finally] { then(); };
  return what;
}

using threads = std::vector<std::function<void()>>;

/// Two come twice each; the count is 0 or watched.
template <typename Lock>
model::program two(std::uint32_t sleepers) {
  return in_room<Lock>(sleepers, true, 4, 0, [](room<Lock>* at) {
    const auto comes = [at] { at->enter(), at->enter(); };
    return threads{comes, comes};
  });
}

/// Two may sleep at the same time.
template <typename Lock>
model::program three(std::uint32_t sleepers) {
  return in_room<Lock>(sleepers, true, 3, 0, [](room<Lock>* at) {
    const auto comes = [at] { at->enter(); };
    return threads{comes, comes, comes};
  });
}

/// And the count is 0 again before the last of them comes.
template <typename Lock>
model::program one_comes_again() {
  return in_room<Lock>(sleepers_watched, true, 5, 0, [](room<Lock>* at) {
    return threads{[at] { at->enter(), at->enter(), at->enter(); }, [at] { at->enter(), at->enter(); }};
  });
}

/// Two locks have one count.
template <typename Lock>
model::program two_locks() {
  return in_room<Lock>(0, true, 2, 2, [](room<Lock>* at) {
    const auto comes = [at](std::size_t i) { return [at, i] { at->enter(i); }; };
    return threads{comes(0), comes(0), [at] { at->enter(1), at->enter(1); }};
  });
}

/// And both are slept for at the same time: who sleeps for the one may rely on the other's barrier.
template <typename Lock>
model::program both_slept_for(std::uint32_t sleepers) {
  return in_room<Lock>(sleepers, true, 2, 2, [](room<Lock>* at) {
    const auto holds_both = [at] {
      at->lock(at->words[1]);
      at->inside[1] = at->inside[1] + 1;
      at->enter(0);
      Lock::unlock(at->words[1]);
    };
    return threads{holds_both, [at] { at->enter(0); }, [at] { at->enter(1); }};
  });
}

/// That there is membarrier is found out meanwhile.
template <typename Lock>
model::program found_out() {
  return in_room<Lock>(sleepers_watched, false, 3, 0, [](room<Lock>* at) {
    return threads{[at] { at->find_out(), at->enter(); }, [at] { at->enter(); }, [at] { at->enter(); }};
  });
}

/// Whoever was there last frees what holds the word.
template <typename Lock>
model::program last_one_frees(std::uint32_t sleepers) {
  return in_room<Lock>(sleepers, true, 2, 0, [](room<Lock>* at) {
    const auto comes = [at] {
      at->lock(at->words[0]);
      at->inside[0] = at->inside[0] + 1;
      const bool last = at->inside[0] == 2;
      Lock::unlock(at->words[0]);
      if (last) at->lives[&at->words[0]].end();
    };
    return threads{comes, comes};
  });
}

template <typename Lock>
model::programs cases() {
  return {[] { return two<Lock>(0); },
          [] { return two<Lock>(sleepers_watched); },
          one_comes_again<Lock>,
          [] { return three<Lock>(0); },
          two_locks<Lock>,
          [] { return both_slept_for<Lock>(0); },
          [] { return both_slept_for<Lock>(sleepers_watched); },
          found_out<Lock>,
          [] { return three<Lock>(sleepers_watched); }};
}

using real = lock_protocol<modelled>;

}  // namespace

TEST_CASE("one at a time is inside a lock, and nobody sleeps for ever before it", "[model][lock]") {
  for (const auto& each : cases<real>()) require_sound_big(each, 4);
}

TEST_CASE("nothing of a lock is touched by who has left it", "[model][lock]") {
  require_sound([] { return last_one_frees<real>(0); }, 4);
  require_sound([] { return last_one_frees<real>(sleepers_watched); }, 4);
}

TEST_CASE("the model check catches a lock whose sleepers are missed", "[model][lock]") {
  require_caught([] { return two<lock_protocol<without_barrier>>(0); });
  require_caught([] { return two<looks_once>(0); });
  require_caught([] { return three<watches_at_once>(0); });
  require_caught([] { return both_slept_for<relies_too_soon>(0); });
  require_caught([] { return three<calms_too_soon>(sleepers_watched); });
  require_caught([] { return three<sleeps_alone>(0); });
}

TEST_CASE("each order of the lock is needed: weakened alone it is caught", "[model][lock]") {
  require_each_order_matters("os/lock.hpp", cases<real>());
}

#endif
