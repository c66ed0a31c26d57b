#pragma once

// A child that fork() made of a process with runtimes: their threads do not exist there, locks may be held by
// nobody, descriptors are the parent's as well.  What it may do is exec a program, or end: exit() is clean.
// All else is told by one sentence, where it is asked for on a path that is not hot.
//
// The fork is noticed by pthread_atfork's handler in the child: posix_spawn, vfork and system() call none,
// and need none.

namespace weft::os {

/// A runtime was made, or has ended.  `in_child` is called in the child of a fork() in between.
void runtime_begins(void (*in_child)());
void runtime_ends() noexcept;

/// This process is such a child.
bool forked() noexcept;

/// Says so and aborts.
[[noreturn]] void misuse_in_child() noexcept;

/// The same if it is such a child, unless that is in exit(): destructors of statics may do what they do in
/// the parent.
void refuse_in_child() noexcept;

}  // namespace weft::os
