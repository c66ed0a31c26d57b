#pragma once

// read_file and write_file in plain code: as their twins in <weft/io/read_file.hpp>, on the calling thread,
// which blocks; on a worker another thread takes over meanwhile.

#include <weft/detail/operation.hpp>
#include <weft/io/read_file.hpp>

#include <concepts>

namespace weft::blocking {

using weft::file_contents;
using weft::write_options;

namespace detail {

template <typename T>
concept named_here = true;

}  // namespace detail

/// `for (char c : read_file("notes.txt"))`
template <weft::detail::path_like P>

requires detail::named_here<P> file_contents read_file(const P& path) {
  return weft::detail::wait_on_thread(weft::read_file(path));
}

template <weft::detail::path_like P, std::convertible_to<const_buffer> B>
requires detail::named_here<P>

void write_file(const P& path, B&& bytes, write_options how = {}) {
  weft::detail::wait_on_thread(weft::write_file(path, static_cast<B&&>(bytes), how));
}

}  // namespace weft::blocking
