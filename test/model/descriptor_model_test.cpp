// A descriptor's two words under all interleavings of tiny cases, and mutants that must be caught.

#include <cstdint>
#include <memory>

#include "io/descriptor_words.hpp"
#include "model/model_test.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::require_caught;
using model::require_each_order_matters;
using model::require_sound;
using weft::io::side_view;
using weft::io::side_word;
using weft::io::use_count;

using uses = use_count<model::atomic>;
using side = side_word<model::atomic>;

// --- the number is closed once, and under nobody's call ---

template <typename Uses>
struct number {
  Uses in_use;
  model::plain<int> open;
  int given_back = 0;  // under the engine: one thread runs at a time
  int refused = 0;

  number() { open.set(1); }

  void give_back() {
    open.set(0);
    ++given_back;
  }

  void use() {
    if (!in_use.begin()) {
      ++refused;
      return;
    }
    model::check(open.get() == 1, "a call on a number that is another's");
    if (in_use.end()) give_back();
  }

  void close() {
    if (in_use.close() && in_use.end()) give_back();
  }

  /// As an operation that closes: it gives the number back itself if nobody else uses it.
  void close_in_use() {
    if (!in_use.begin()) return;
    if (in_use.close()) {
      if (in_use.is_only(2)) {
        give_back();
        model::check(!in_use.end(), "it is still in use");
        in_use.end();
        return;
      }
      if (in_use.end()) give_back();
    }
    if (in_use.end()) give_back();
  }

  void release() {
    if (in_use.close_unused()) give_back();
  }
};

template <typename Number>
model::program all_of(const std::shared_ptr<Number>& n, std::vector<std::function<void()>> threads) {
  return {.threads = std::move(threads),
          .finally = [=] { model::check(n->given_back == 1, "the number is not given back once"); }};
}

template <typename Uses>
model::program two_use_one_closes() {
  auto n = std::make_shared<number<Uses>>();
  return all_of(n, {[=] { n->use(); }, [=] { n->use(); }, [=] { n->close(); }});
}

template <typename Uses>
model::program two_close() {
  auto n = std::make_shared<number<Uses>>();
  return all_of(n, {[=] { n->use(); }, [=] { n->close(); }, [=] { n->close(); }});
}

template <typename Uses>
model::program closes_in_use() {
  auto n = std::make_shared<number<Uses>>();
  return all_of(n, {[=] { n->use(); }, [=] { n->close_in_use(); }, [=] { n->close(); }});
}

/// Refused while somebody uses it: then the other one closes.
template <typename Uses>
model::program released() {
  auto n = std::make_shared<number<Uses>>();
  return all_of(n, {[=] {
                      n->use();
                      n->use();
                    },
                    [=] {
                      n->release();
                      n->close();
                    }});
}

/// Looks before it counts itself.
struct begins_late : uses {
  bool begin() noexcept {
    if (is_closed()) return false;
    std::uint32_t seen = word_.load(std::memory_order_relaxed);
    while (!word_.compare_exchange_weak(seen, seen + one, std::memory_order_relaxed)) {
    }
    return true;
  }
};

/// Whoever finds it closed is taken to be the last.
struct ends_by_closed : uses {
  bool end() noexcept { return (word_.fetch_sub(one, std::memory_order_acq_rel) & closed) != 0; }
};

// --- no operation waits although there is something ---

template <typename Side>
struct stream {
  Side word;
  model::atomic<int> data{0};  // as the system has it
  model::atomic<int> woken{0};
  std::uint32_t lock = 0;
  bool queued = false;    // under the lock
  side_view at_wake = 0;  // the reader's, from its wake
  bool looks_behind_the_lock = true;

  /// The system tells of each change behind it.
  void put() {
    data.fetch_add(1, std::memory_order_acq_rel);
    const model::guard hold(lock);
    word.note_event(false);
    if (!queued) return;
    queued = false;
    at_wake = word.look();
    woken.fetch_add(1, std::memory_order_acq_rel);
  }

  /// `by_size`: what it got says that there is no more.
  int take(bool by_size) {
    side_view seen = word.look();
    for (bool worth_trying = Side::is_ready(seen);; worth_trying = true) {
      if (worth_trying) {
        if (const int n = data.exchange(0, std::memory_order_acq_rel); n != 0) {
          if (by_size) word.note_short(seen);
          return n;
        }
        if (!word.note_drained(seen)) continue;
      }
      const int before = woken.load(std::memory_order_acquire);
      {
        const model::guard hold(lock);
        if (looks_behind_the_lock && Side::is_ready(word.look())) continue;
        queued = true;
      }
      while (woken.load(std::memory_order_acquire) == before) model::relax();
      seen = at_wake;
    }
  }

  void take_all(int n, bool by_size) {
    while (n > 0) n -= take(by_size);
  }
};

template <typename Side>
model::program one_reads(int puts, bool by_size, bool looks = true) {
  auto s = std::make_shared<stream<Side>>();
  s->looks_behind_the_lock = looks;
  model::program p{.threads = {[=] { s->take_all(puts, by_size); }}};
  for (int i = 0; i < puts; ++i) p.threads.push_back([=] { s->put(); });
  return p;
}

/// An event that tells nothing new if the direction was worth trying already.
struct counts_nothing : side {
  void note_event(bool) noexcept { word_.fetch_or(ready, std::memory_order_relaxed); }
};

/// What was seen is not compared.
struct drains_blindly : side {
  bool note_drained(side_view&) noexcept {
    word_.fetch_and(~ready, std::memory_order_relaxed);
    return true;
  }
};

struct drains_blindly_by_size : side {
  void note_short(side_view) noexcept { word_.fetch_and(~ready, std::memory_order_relaxed); }
};

model::programs cases() {
  return {two_use_one_closes<uses>,
          two_close<uses>,
          closes_in_use<uses>,
          released<uses>,
          [] { return one_reads<side>(2, false); },
          [] { return one_reads<side>(2, true); }};
}

}  // namespace

TEST_CASE("a number is given back once, when nobody uses it any more", "[model][io]") {
  require_sound(two_use_one_closes<uses>, 3);
  require_sound(two_close<uses>, 3);
  require_sound(closes_in_use<uses>, 3);
  require_sound(released<uses>, 3);
}

TEST_CASE("no operation waits for a descriptor that is ready", "[model][io]") {
  require_sound([] { return one_reads<side>(1, false); }, 3);
  require_sound([] { return one_reads<side>(2, false); }, 2);
  require_sound([] { return one_reads<side>(2, true); }, 2);
}

TEST_CASE("the model check catches numbers that are closed under a call, or twice", "[model][io]") {
  require_caught(two_use_one_closes<begins_late>);
  require_caught(two_use_one_closes<ends_by_closed>);
}

TEST_CASE("the model check catches events that are lost", "[model][io]") {
  require_caught([] { return one_reads<counts_nothing>(2, false); });
  require_caught([] { return one_reads<drains_blindly>(1, false); });
  require_caught([] { return one_reads<drains_blindly_by_size>(2, true); });
  require_caught([] { return one_reads<side>(1, false, false); });
}

TEST_CASE("each memory order of a descriptor's words matters", "[model][io]") {
  require_each_order_matters("io/descriptor_words.hpp", cases());
}

#endif
