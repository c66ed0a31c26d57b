// What is in a channel's buffer when the last receiver goes.

#include <weft/weft.hpp>

#include <memory>
#include <utility>

#include "support/catch.hpp"

namespace {

/// Holds an end of the channel it is in, and looks at it when it goes.
struct insider {
  std::unique_ptr<weft::channel_sender<insider>> home;
  int* gone;
  int* refused;

  insider(std::unique_ptr<weft::channel_sender<insider>> end, int* g, int* r) noexcept
      : home(std::move(end)), gone(g), refused(r) {}

  insider(insider&&) noexcept = default;
  insider& operator=(insider&&) = delete;

  ~insider() {
    if (home == nullptr) return;
    ++*gone;
    insider another(nullptr, gone, refused);
    if (home->try_send(std::move(another)) == weft::try_send_status::closed) ++*refused;
    home->close();
  }
};

}  // namespace

TEST_CASE("what is buffered when the last receiver goes may use its channel and hold it", "[api][channel]") {
  const bool others_hold_it = GENERATE(true, false);
  int gone = 0, refused = 0;
  {
    auto [tx, rx] = weft::make_channel<insider>(4);
    // The ring has wrapped when it is dropped.
    for (int i = 0; i < 3; ++i) {
      REQUIRE(tx.try_send(insider(nullptr, &gone, &refused)) == weft::try_send_status::sent);
      REQUIRE(rx.try_recv());
    }
    for (int i = 0; i < 4; ++i) {
      REQUIRE(tx.try_send(insider(std::make_unique<weft::channel_sender<insider>>(tx), &gone, &refused)) ==
              weft::try_send_status::sent);
    }
    if (!others_hold_it) auto last = std::move(tx);
    { auto last = std::move(rx); }
    REQUIRE(gone == 4);
    REQUIRE(refused == 4);
  }
  REQUIRE(gone == 4);
}
