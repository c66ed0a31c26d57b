#pragma once

// Mutants of one order at one place: where the code under test gives an order, the modelled atomic learns the
// line, and may weaken it there and nowhere else.
//
// A place is called by its function and by the label that stands at its line: "push S1".

#include <atomic>
#include <cctype>
#include <compare>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <source_location>
#include <string>
#include <vector>

namespace weft::model {

/// What an order is for; `failure` is the second of a compare exchange.
enum class access { load, store, update, failure };

struct place {
  std::string file;
  unsigned line = 0;
  access kind = access::load;
  std::memory_order order{};
  std::string function = {};

  auto operator<=>(const place& other) const {
    if (const auto by_line = line <=> other.line; by_line != 0) return by_line;
    if (const auto by_kind = kind <=> other.kind; by_kind != 0) return by_kind;
    return file <=> other.file;
  }
};

struct order_mutant {
  place at;
  std::memory_order to{};
  std::string name = {};
};

/// The mutants in force, and who wants to know of all places: may be null.
struct order_watch {
  std::vector<order_mutant> mutants = {};
  std::set<place>* seen = nullptr;
};

inline order_watch& watch() {
  static order_watch the;
  return the;
}

/// "void weft::sched::run_queue<T>::push(T*) [with ...]" is "push".
inline std::string short_name(std::string function) {
  static const std::string unnamed = "(anonymous namespace)";
  for (std::size_t at = 0; (at = function.find(unnamed)) != std::string::npos;)
    function.erase(at, unnamed.size());
  int depth = 0;
  std::size_t end = 0;
  for (; end < function.size() && (function[end] != '(' || depth != 0); ++end) {
    depth += function[end] == '<' ? 1 : function[end] == '>' ? -1 : 0;
  }
  std::size_t begin = end;
  while (begin > 0 &&
         (std::isalnum(static_cast<unsigned char>(function[begin - 1])) != 0 || function[begin - 1] == '_')) {
    --begin;
  }
  return function.substr(begin, end - begin);
}

/// What the order given at `where` is to be.
inline std::memory_order order_at(const std::source_location& where, access kind, std::memory_order order) {
  order_watch& now = watch();
  for (const order_mutant& m : now.mutants) {
    if (m.at.line == where.line() && m.at.kind == kind && m.at.file == where.file_name()) return m.to;
  }
  if (now.seen != nullptr && order != std::memory_order_relaxed) {
    now.seen->insert({where.file_name(), where.line(), kind, order, short_name(where.function_name())});
  }
  return order;
}

/// The next weaker orders.
inline std::vector<std::memory_order> one_weaker(access kind, std::memory_order order) {
  using enum std::memory_order;
  if (order == acq_rel) return {acquire, release};
  if (order != seq_cst) return {relaxed};
  return {kind == access::store ? release : kind == access::update ? acq_rel : acquire};
}

inline const char* name_of(std::memory_order order) {
  using enum std::memory_order;
  return order == relaxed   ? "relaxed"
         : order == acquire ? "acquire"
         : order == release ? "release"
         : order == acq_rel ? "acq_rel"
                            : "seq_cst";
}

/// The project's root.
std::string source_dir();

/// The text of a file under test, for the labels at its lines.
class labelled_source {
 public:
  explicit labelled_source(const std::string& path) {
    std::ifstream in(source_dir() + "/lib/" + path);
    for (std::string line; std::getline(in, line);) lines_.push_back(line);
  }

  bool empty() const { return lines_.empty(); }

  /// The label of a place: the first in the statement, for the order of a failure the last.
  std::string label(const place& at) const {
    std::string found = "?";
    for (unsigned line = at.line; line <= last_line(at); ++line) {
      const std::string here = label_in(line);
      if (here.empty()) continue;
      found = here;
      if (at.kind != access::failure) break;
    }
    return found;
  }

  /// Lines that give an order and that none of `seen` is about.
  std::string unseen(const std::set<place>& seen) const {
    std::string missing;
    for (unsigned line = 1; line <= lines_.size(); ++line) {
      if (!gives_order(line)) continue;
      bool found = false;
      for (const place& each : seen) found = found || (each.line <= line && line <= last_line(each));
      if (!found) missing += "line " + std::to_string(line) + ": " + label_in(line) + "\n";
    }
    return missing;
  }

 private:
  std::string code(unsigned line) const {
    const std::string& all = lines_.at(line - 1);
    return all.substr(0, all.find("//"));
  }

  unsigned last_line(const place& at) const {
    unsigned line = at.line;
    while (line < lines_.size() && line < at.line + 4 && !ends_statement(code(line))) ++line;
    return line;
  }

  static bool ends_statement(const std::string& code) {
    const std::size_t last = code.find_last_not_of(' ');
    return last != std::string::npos && (code[last] == ';' || code[last] == '{' || code[last] == '}');
  }

  std::string label_in(unsigned line) const {
    if (line > lines_.size()) return "";
    const std::string& all = lines_.at(line - 1);
    const std::size_t comment = all.find("// ");
    if (comment == std::string::npos) return "";
    std::size_t end = comment + 3;
    while (end < all.size() && std::isupper(static_cast<unsigned char>(all[end])) != 0) ++end;
    const std::size_t digits = end;
    while (end < all.size() && std::isdigit(static_cast<unsigned char>(all[end])) != 0) ++end;
    const bool is_label = digits > comment + 3 && end > digits;
    return is_label ? all.substr(comment + 3, end - comment - 3) : "";
  }

  bool gives_order(unsigned line) const {
    const std::string text = code(line);
    for (const char* each : {"acquire", "release", "acq_rel", "seq_cst"}) {
      if (text.find(std::string("memory_order_") + each) != std::string::npos) return true;
    }
    return false;
  }

  std::vector<std::string> lines_;
};

}  // namespace weft::model
