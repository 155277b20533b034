// Compiles a function for several instruction sets and picks one when the program starts. Only for
// loops whose arithmetic is lane by lane with one rounding each: every copy gives the same bytes.
#pragma once

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
#define ATTAR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ATTAR_CLONES
#endif
