#pragma once

// descriptors: a server needs as many as it has clients, and goes on when there are none left.

#include <system_error>

/// As many as the system lets this process have.
void raise_descriptor_limit();

/// accept() found none left, or no memory.  The client waits in the queue; accept again when some have gone.
bool is_shortage(const std::system_error& e);
