// What every CPU kernel of flowedit.kernels shares. A plain C interface and no torch headers, so one build serves
// every torch. Threads come from the OpenMP runtime that torch has loaded (see native.py).
//
// No result depends on the number of threads: each output, and each sum of a gradient, is one thread's work in
// one fixed order.

#pragma once

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

// One build, and the widest vectors of the processor it runs on.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define VECTORIZED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTORIZED
#endif

// Ask for large pages under a new array that is about to be filled: the kernel zeroes each page when it is first
// touched, and one by one that takes longer than the work. Advice only; nothing depends on its success.
inline void expect_to_fill(void* start, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    constexpr uintptr_t page = uintptr_t{1} << 21;
    const uintptr_t first = (reinterpret_cast<uintptr_t>(start) + page - 1) & ~(page - 1);
    const uintptr_t last = (reinterpret_cast<uintptr_t>(start) + static_cast<uintptr_t>(bytes)) & ~(page - 1);
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
    (void)start, (void)bytes;
#endif
}
