#pragma once

// The exceptions of weft.  Other headers throw them through functions of the library, so including this is
// only needed to catch.

#include <weft/config.hpp>

#include <exception>
#include <stdexcept>

namespace weft {

/// Unwinds a routine that was cancelled.  Not a std::exception, so that handlers of errors do not swallow it;
/// thrown again at each later wait outside shield().  Leaving a detached routine it is that routine's normal
/// end.
class WEFT_API cancelled {
 public:
  cancelled() noexcept = default;
  cancelled(const cancelled&) noexcept = default;
  cancelled& operator=(const cancelled&) noexcept = default;
  virtual ~cancelled();
  virtual const char* what() const noexcept;
};

/// cancelled, because an inherited deadline passed.
class WEFT_API deadline_exceeded final : public cancelled {
 public:
  ~deadline_exceeded() override;
  const char* what() const noexcept override;
};

/// with_timeout's or with_deadline's own limit passed.
class WEFT_API timeout_error final : public std::runtime_error {
 public:
  timeout_error();
  ~timeout_error() override;
};

/// The joined routine ended by cancellation and has no result.
class WEFT_API routine_cancelled final : public std::runtime_error {
 public:
  routine_cancelled();
  ~routine_cancelled() override;
};

/// The runtime was stopped: what go(), calls on the blocking pool - block_on_io(), resume_on(), resolve(), a
/// file's - schedule() and after() throw then; the first two of the global one also when main has returned.
class WEFT_API stopped final : public std::runtime_error {
 public:
  stopped();
  explicit stopped(const char* what);
  ~stopped() override;
};

}  // namespace weft
