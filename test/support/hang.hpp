#pragma once

namespace weft::test {

/// Starts the clock of the test `name` (kept by pointer) anew: when it has run for `seconds`, the process
/// prints the name, the stack of every thread and what on_hang() adds, and aborts.  0 seconds: no limit.
void watch(const char* name, unsigned seconds) noexcept;

/// What a hang prints besides the stacks, for instance every runtime's dump.  Called in a signal handler of a
/// process that is lost anyway: it may take risks, and has 5 s.
void on_hang(void (*report)()) noexcept;

}  // namespace weft::test
