#include "sanitizers.h"

#if SIMT_ADDRESS_SANITIZER
// What a kernel has when the host stops it is never freed.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }
#endif

#if SIMT_THREAD_SANITIZER
extern "C" const char* __tsan_default_options() { return "halt_on_error=1"; }
// Rust is not compiled with it, so how its threads wait for each other is not seen, but some of what they copy is.
extern "C" const char* __tsan_default_suppressions() { return "race:.rs$\n"; }
#endif
