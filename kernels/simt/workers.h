// The host threads that blocks run on.
#pragma once

#include "launch.h"

namespace simt {

// Runs all blocks of a launch. One launch at a time.
void run_on_workers(Launch& launch);

}  // namespace simt
