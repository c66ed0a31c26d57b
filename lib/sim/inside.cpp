// What a program in a simulated run may ask of it: a foreign thread, chance, faults.

#include <weft/error.hpp>
#include <weft/sim.hpp>

#include <exception>
#include <memory>
#include <utility>

#include "base/fatal.hpp"
#include "os/port.hpp"

namespace weft::sim {

struct thread::state {
  void (*enter)(void*);
  void (*destroy)(void*) noexcept;
  void* f;
  os::port* home;
  os::thread_id id;

  static void run(void* raw) {
    auto& me = *static_cast<state*>(raw);
    try {
      me.enter(me.f);
    } catch (const cancelled&) {
      if (!os::current_port().over()) std::terminate();
    }
    os::step(true);
  }

  ~state() { destroy(f); }
};

thread::state* thread::start(void (*enter)(void*), void (*destroy)(void*) noexcept, void* f) {
  state* bare = nullptr;
  try {
    bare = new state{enter, destroy, f, &os::current_port(), {}};
  } catch (...) {
    destroy(f);
    throw;
  }
  std::unique_ptr<state> made(bare);
  os::port& port = os::current_port();
  if (!port.simulated()) base::misuse("sim::thread outside of a simulated run; use std::thread there");
  made->id = port.start(&state::run, bare, "foreign");
  os::step(true);
  return made.release();
}

thread::~thread() {
  join();
}

void thread::join() noexcept {
  if (state_ == nullptr) return;
  if (&os::current_port() != state_->home)
    base::misuse("a sim::thread is joined outside of its run; join it before the program returns");
  const std::unique_ptr<state> mine(std::exchange(state_, nullptr));
  os::current_port().join(mine->id);
}

std::uint64_t random() noexcept {
  return os::current_port().random();
}

bool allocation_fails() noexcept {
  return os::allocation_fails();
}

}  // namespace weft::sim
