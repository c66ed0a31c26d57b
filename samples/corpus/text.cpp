#include "text.hpp"

#include <algorithm>
#include <array>

namespace {

enum class kind : unsigned char { neither, printable, space };

constexpr std::array<kind, 256> kinds = [] {
  std::array<kind, 256> table{};
  for (std::size_t c = 0x21; c < 0x7f; ++c) table[c] = kind::printable;
  for (const char c : white_space) table[static_cast<unsigned char>(c)] = kind::space;
  return table;
}();

kind kind_of(char c) {
  return kinds[static_cast<unsigned char>(c)];
}

}  // namespace

tally& tally::operator+=(const tally& other) {
  files += other.files;
  bytes += other.bytes;
  lines += other.lines;
  words += other.words;
  not_ranked += other.not_ranked;
  return *this;
}

bool has_printable(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return kind_of(c) == kind::printable; });
}

void word_counter::add(std::string_view text) {
  std::size_t begin = 0;  // of the word that we are in
  bool is_word = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const kind k = kind_of(text[i]);
    is_word |= k == kind::printable;
    if (k != kind::space) continue;
    if (text[i] == '\n') ++sum_.lines;
    if (is_word) add_word(text.substr(begin, i - begin));
    begin = i + 1;
    is_word = false;
  }
  if (is_word) add_word(text.substr(begin));
}

void word_counter::add_word(std::string_view word) {
  ++sum_.words;
  if (word.size() > longest_ranked) {
    ++sum_.not_ranked;
  } else if (const auto known = frequency_.find(word); known != frequency_.end()) {
    ++known->second;
  } else {
    frequency_.emplace(word, 1);
  }
}

void word_counter::merge(word_counter other) {
  if (frequency_.size() < other.frequency_.size()) frequency_.swap(other.frequency_);
  for (const auto& [word, count] : other.frequency_) frequency_[word] += count;
  sum_ += other.sum_;
}

std::vector<word_counter::ranked> word_counter::most_frequent(std::size_t how_many) const {
  std::vector<ranked> words(frequency_.begin(), frequency_.end());
  const auto end = words.begin() + static_cast<std::ptrdiff_t>(std::min(how_many, words.size()));
  std::partial_sort(words.begin(), end, words.end(), [](const ranked& a, const ranked& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  words.erase(end, words.end());
  return words;
}
