#pragma once

namespace weft::test {

/// Called by main, if a file's static initialiser has set it, before Catch2 is: for what must not happen
/// below frames of its, which catch whatever unwinds them.
extern void (*before_all)();

}  // namespace weft::test
