#pragma once

// text: counting lines and words as wc does in the C locale.
//
// There, white space separates, and a word needs at least one printable character: "\1\2" is none, "a\1b" is
// one.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

constexpr std::string_view white_space = " \t\n\v\f\r";

/// Longer words - a core dump may be one - are counted, but not ranked: nobody has to hold them in memory.
constexpr std::size_t longest_ranked = 65'536;

struct tally {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t lines = 0;
  std::uint64_t words = 0;
  std::uint64_t not_ranked = 0;  // of the words

  tally& operator+=(const tally& other);
};

/// White space is not among them.
bool has_printable(std::string_view text);

/// Counts what it is given; used by one routine at a time.
class word_counter {
 public:
  /// `text` begins and ends where words do.
  void add(std::string_view text);

  void add(const tally& counted_already) { sum_ += counted_already; }

  void merge(word_counter other);

  const tally& sum() const { return sum_; }

  using ranked = std::pair<std::string_view, std::uint64_t>;
  /// The most frequent words, most frequent first, ties in byte order.  Valid until the next add() or
  /// merge().
  std::vector<ranked> most_frequent(std::size_t how_many) const;

 private:
  void add_word(std::string_view word);

  struct hash : std::hash<std::string_view> {
    using is_transparent = void;
  };

  tally sum_;
  std::unordered_map<std::string, std::uint64_t, hash, std::equal_to<>> frequency_;
};
