#include "os/asymmetric.hpp"

#include <cerrno>

#include <sys/syscall.h>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/forbid.hpp"

using namespace weft::os;

TEST_CASE("a filter that forbids membarrier when others rely on it ends the process, and is told so",
          "[os][asymmetric]") {
  find_out_about_barriers();
  if (!barriers_are_asymmetric()) {
    WARN("no membarrier here: nobody relies on it");
    return;
  }
  const auto d = weft::test::last_words([] {
    heavy_barrier();
    weft::test::forbid(SYS_membarrier, EPERM);
    heavy_barrier();
  });
  CHECK(d.aborted);
  CHECK(d.mentions("weft: misuse: membarrier(2) has worked before and is forbidden now; let the seccomp"));
}
