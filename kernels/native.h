// What every CPU kernel of flowedit.kernels shares. A plain C interface and no torch headers, so one build serves
// every torch. Threads come from the OpenMP runtime that torch has loaded (see native.py).
//
// No result depends on the number of threads: each output, and each sum of a gradient, is one thread's work in
// one fixed order.

#pragma once

#include <cstdint>

#define EXPORT extern "C" __attribute__((visibility("default")))

// One build, and the widest vectors of the processor it runs on.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define VECTORIZED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTORIZED
#endif
