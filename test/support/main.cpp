#define CATCH_CONFIG_RUNNER
#include <cstdlib>
#include <string>

#include "support/before_all.hpp"
#include "support/catch.hpp"
#include "support/hang.hpp"

namespace {

#if __has_include(<catch2/catch_all.hpp>)
using listener_base = Catch::EventListenerBase;
#else
using listener_base = Catch::TestEventListenerBase;
#endif

/// 50: ends before ctest's 60 s, which would kill the process without a dump.  WEFT_TEST_SECONDS=0 is for
/// debuggers.
unsigned seconds_per_test() {
  const char* text = std::getenv("WEFT_TEST_SECONDS");
  return text ? static_cast<unsigned>(std::atoi(text)) : 50;
}

class hang_listener : public listener_base {
 public:
  using listener_base::listener_base;

  void testCaseStarting(const Catch::TestCaseInfo& test) override {
    name_ = test.name;
    weft::test::watch(name_.c_str(), seconds_per_test());
  }

  void testCaseEnded(const Catch::TestCaseStats&) override { weft::test::watch("?", 0); }

 private:
  std::string name_;
};

}  // namespace

CATCH_REGISTER_LISTENER(hang_listener)

namespace weft::test {
void (*before_all)() = nullptr;
}

int main(int argc, char** argv) {
  if (weft::test::before_all != nullptr) weft::test::before_all();
  return Catch::Session().run(argc, argv);
}
