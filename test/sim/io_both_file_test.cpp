// What files do over the kernel and in a simulated run alike; and datagrams.

#include <weft/io/directory.hpp>
#include <weft/io/file.hpp>
#include <weft/io/read_file.hpp>
#include <weft/io/udp.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "io/file_support.hpp"
#include "sim/io_support.hpp"
#include "support/catch.hpp"

using namespace weft;
using test::error_of_op;
using test::everywhere;
using test::task;
using test::text;

namespace {

/// A directory that is empty.
class place {
 public:
  explicit place(bool simulated) {
    if (!simulated) real_.emplace();
  }

  std::string operator/(const std::string& name) const {
    return (real_ ? real_->path() : "/tmp") + "/" + name;
  }

 private:
  std::optional<test::scratch> real_;
};

constexpr auto names_in = [](auto f, std::string path) -> task<decltype(f), std::vector<std::string>> {
  const directory_listing all = co_await f.wait(list_directory(path));
  std::vector<std::string> names;
  for (const directory_entry each : all) {
    names.emplace_back(each.name);
    if (each.kind == file_kind::directory) names.back() += '/';
  }
  std::sort(names.begin(), names.end());
  co_return names;
};

constexpr auto content_of = [](auto f, std::string path) -> task<decltype(f), std::string> {
  const file_contents all = co_await f.wait(read_file(path));
  co_return std::string(all);
};

}  // namespace

TEST_CASE("on both systems what is written at a place is read there, and holes are zeros",
          "[sim][io][file]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    const place here(f.simulated());
    file one =
        co_await f.wait(file::open(here / "a", open_flags::read | open_flags::write | open_flags::create));
    std::size_t n = co_await f.wait(one.write_at(10'000, "behind"));
    f.expect(n == 6, "all is written");
    co_await f.wait(one.write_at(2, "before"));
    const std::array parts{const_buffer("ab"), const_buffer("cd")};
    co_await f.wait(one.write_at(0, std::span<const const_buffer>(parts)));
    std::uint64_t size = co_await f.wait(one.size());
    f.expect(size == 10'006, "the size");
    std::string got(20'000, 'x');
    n = co_await f.wait(one.read_at(0, got));
    f.expect(n == 10'006, "up to the end");
    f.expect(got.substr(0, 9) == std::string("abcdfore\0", 9) && got.substr(10'000, 6) == "behind",
             "the bytes");
    f.expect(std::all_of(got.begin() + 8, got.begin() + 10'000, [](char c) { return c == '\0'; }),
             "the hole");
    n = co_await f.wait(one.read_at(10'006, got));
    f.expect(n == 0, "the end");
    co_await f.wait(one.truncate(4));
    co_await f.wait(one.truncate(6));
    co_await f.wait(one.append("end"));
    co_await f.wait(one.sync());
    n = co_await f.wait(one.read_at(0, got));
    f.expect(got.substr(0, n) == std::string("abcd\0\0end", 9), "cut off, longer, appended");
    co_await f.wait(one.write_at((std::uint64_t{1} << 33) + 1, "far"));
    const file_metadata about = co_await f.wait(one.metadata());
    f.expect(about.size == (std::uint64_t{1} << 33) + 4 && about.allocated < 1'000'000, "a large hole");
    f.expect(about.kind == file_kind::regular && about.links == 1, "what it is");
    co_await f.wait(one.close());
    const int error = co_await error_of_op(f, [&] { return one.read_at(0, got); });
    f.expect(error == EBADF, "closed");
  };
  everywhere(body, 0, 0);
}

TEST_CASE("on both systems how a file is opened decides what may be done", "[sim][io][file]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    using enum open_flags;
    const place here(f.simulated());
    const std::string a = here / "a";
    const auto open = [&](open_flags how) { return [&a, how] { return file::open(a, how); }; };
    int error = co_await error_of_op(f, open(read));
    f.expect(error == ENOENT, "there is none");
    error = co_await error_of_op(f, open(write | create | exclusive));
    f.expect(error == 0, "it is made");
    error = co_await error_of_op(f, open(write | create | exclusive));
    f.expect(error == EEXIST, "there is one");
    error = co_await error_of_op(f, open(read | truncate));
    f.expect(error == EINVAL, "truncate without write");
    file to_read = co_await f.wait(file::open(a));
    error = co_await error_of_op(f, [&] { return to_read.write_at(0, "x"); });
    f.expect(error == EBADF, "not to be written");
    error = co_await error_of_op(f, [&] { return to_read.truncate(1); });
    f.expect(error == EINVAL, "nor cut off");
    file to_append = co_await f.wait(file::open(a, append));
    co_await f.wait(to_append.write_at(0, "one "));
    co_await f.wait(to_append.write_at(0, "two"));
    const std::string all = co_await content_of(f, a);
    f.expect(all == "one two", "at its end, wherever");
    std::string got(4, ' ');
    error = co_await error_of_op(f, [&] { return to_append.read_at(0, got); });
    f.expect(error == EBADF, "not to be read");
    file empty = co_await f.wait(file::open(a, write | truncate));
    const std::uint64_t size = co_await f.wait(empty.size());
    f.expect(size == 0, "its content was dropped");
  };
  everywhere(body, 0, 0);
}

TEST_CASE("on both systems names are made, moved, listed and removed", "[sim][io][file]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    const place here(f.simulated());
    co_await f.wait(make_directory(here / "d"));
    co_await f.wait(write_file(here / "d/a", "of a"));
    co_await f.wait(write_file(here / "b", "of b"));
    co_await f.wait(make_directory(here / "d/e"));
    std::vector<std::string> names = co_await names_in(f, here / "d");
    f.expect(names == std::vector<std::string>{"a", "e/"}, "the names");
    file a = co_await f.wait(file::open(here / "d/a"));
    co_await f.wait(rename_file(here / "b", here / "d/./e/../a"));
    const std::string replaced = co_await content_of(f, here / "d/a");
    f.expect(replaced == "of b", "replaced");
    std::string got(4, ' ');
    co_await f.wait(a.read_at(0, got));
    const file_metadata about = co_await f.wait(a.metadata());
    f.expect(got == "of a" && about.links == 0, "who has it open keeps it");
    co_await f.wait(rename_file(here / "d", here / "moved"));
    co_await f.wait(remove_file(here / "moved/a"));
    co_await f.wait(remove_directory(here / "moved/e"));
    names = co_await names_in(f, here / "moved");
    f.expect(names.empty(), "nothing is left");
    co_await f.wait(remove_directory(here / "moved"));
    names = co_await names_in(f, here / ".");
    f.expect(names.empty(), "nowhere");
  };
  everywhere(body, 0, 0);
}

TEST_CASE("on both systems what names cannot do has the system's errors", "[sim][io][file]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    const place here(f.simulated());
    co_await f.wait(make_directory(here / "d"));
    co_await f.wait(make_directory(here / "d/inner"));
    co_await f.wait(write_file(here / "a", "x"));
    std::vector<int> errors;
    const auto note = [&](int error) { errors.push_back(error); };
    note(co_await error_of_op(f, [&] { return make_directory(here / "d"); }));
    note(co_await error_of_op(f, [&] { return make_directory(here / "none/x"); }));
    note(co_await error_of_op(f, [&] { return make_directory(here / "a/x"); }));
    note(co_await error_of_op(f, [&] { return remove_directory(here / "d"); }));
    note(co_await error_of_op(f, [&] { return remove_directory(here / "a"); }));
    note(co_await error_of_op(f, [&] { return remove_file(here / "d"); }));
    note(co_await error_of_op(f, [&] { return remove_file(here / "none"); }));
    note(co_await error_of_op(f, [&] { return rename_file(here / "a", here / "d"); }));
    note(co_await error_of_op(f, [&] { return rename_file(here / "d", here / "a"); }));
    note(co_await error_of_op(f, [&] { return rename_file(here / "d", here / "d/inner/x"); }));
    note(co_await error_of_op(f, [&] { return rename_file(here / "none", here / "x"); }));
    note(co_await error_of_op(f, [&] { return list_directory(here / "a"); }));
    note(co_await error_of_op(f, [&] { return read_file(here / "d"); }));
    note(co_await error_of_op(f, [&] { return write_file(here / "d", "x"); }));
    note(co_await error_of_op(f, [&] { return metadata(here / "a/"); }));
    note(co_await error_of_op(f, [&] { return metadata(here / std::string(300, 'n')); }));
    note(co_await error_of_op(f, [&] { return metadata(""); }));
    f.expect(errors == std::vector<int>{EEXIST, ENOENT, ENOTDIR, ENOTEMPTY, ENOTDIR, EISDIR, ENOENT, EISDIR,
                                        ENOTDIR, EINVAL, ENOENT, ENOTDIR, EISDIR, EISDIR, ENOTDIR,
                                        ENAMETOOLONG, ENOENT},
             "each its own");
  };
  everywhere(body, 0, 0);
}

TEST_CASE("on both systems who reads while a file is replaced sees one content or the other",
          "[sim][io][file]") {
  const auto body = [](auto f, int rounds) -> task<decltype(f)> {
    const place here(f.simulated());
    const std::string path = here / "a";
    const auto replace = [](auto g, std::string to, int n) -> task<decltype(g)> {
      for (int i = 1; i <= n; ++i) {
        const std::string content = text(static_cast<std::size_t>(i), 5'000);
        co_await g.wait(write_file(to, content, {.atomic = true}));
      }
    };
    co_await f.wait(write_file(path, text(0, 5'000)));
    auto writing = f.go(replace, path, rounds);
    for (int i = 0; i < rounds; ++i) {
      const std::string seen = co_await content_of(f, path);
      bool is_one = false;
      for (int n = 0; n <= rounds; ++n) is_one = is_one || seen == text(static_cast<std::size_t>(n), 5'000);
      f.expect(is_one, "one of the contents");
    }
    co_await f.join(std::move(writing));
    const std::vector<std::string> names = co_await names_in(f, here / "");
    f.expect(names == std::vector<std::string>{"a"}, "no temporary file is left");
  };
  everywhere(body, 30, 2);
}

TEST_CASE("on both systems datagrams come with their sender, cut to the buffer", "[sim][io][udp]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    udp_socket a(ip_endpoint::loopback()), b(ip_endpoint::loopback());
    const auto receive = [](auto g,
                            udp_socket* at) -> task<decltype(g), std::pair<std::string, ip_endpoint>> {
      std::string buffer(4, ' ');
      ip_endpoint from;
      const std::size_t n = co_await g.wait(at->recv_from(buffer, from));
      co_return std::pair{buffer.substr(0, n), from};
    };
    auto receiving = f.go(receive, &b);
    co_await f.wait(a.send_to("12345678", b.local_endpoint()));
    const auto got = co_await f.join(std::move(receiving));
    f.expect(got.first == "1234" && got.second == a.local_endpoint(), "what came");
    b.connect(a.local_endpoint());
    co_await f.wait(b.send("back"));
    std::string answer(9, ' ');
    const std::size_t n = co_await f.wait(a.recv(answer));
    f.expect(n == 4, "the answer");
    const std::string much(70'000, 'x');
    int error = co_await error_of_op(f, [&] { return a.send_to(much, b.local_endpoint()); });
    f.expect(error == EMSGSIZE, "too long");
    a.close();
    co_await f.wait(b.send("nobody is there"));
    error = co_await error_of_op(f, [&] { return b.recv(answer); });
    f.expect(error == ECONNREFUSED, "refused");
  };
  everywhere(body, 0, 0);
}
