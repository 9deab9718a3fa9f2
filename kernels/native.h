// Shared by every CPU kernel. A plain C interface without torch headers, so one build serves every torch. Threads come
// from the OpenMP runtime that torch has loaded (native.py).
//
// No result depends on the number of threads: each output, and each sum of a gradient, is computed by one thread in a
// fixed order.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

// One build for the widest vectors of the processor that it runs on.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define VECTORIZED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTORIZED
#endif
