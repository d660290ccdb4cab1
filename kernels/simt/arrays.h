// The memory of a device's arrays.
#pragma once

#include <cstddef>

namespace simt {

// Aligned as the device's memory is, and as long as asked for: what a kernel reads beside it is NaN. Null: there is none.
void* allocate_array(std::size_t bytes);
// Ends the program if something was written beside the array. AddressSanitizer ends it when that happens.
void free_array(void* array);

}  // namespace simt
