// Compiles a function for several instruction sets and picks one when the program starts. Only for
// loops whose arithmetic is lane by lane with one rounding each: every copy gives the same bytes.
#pragma once

// Sanitizers can't: what picks a copy runs before they are ready.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__clang__)
#define ATTAR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ATTAR_CLONES
#endif
