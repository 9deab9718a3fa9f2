// The meaning is in reference.py.

#include "../native.h"

namespace {

// Divided one by one: a product with the reciprocal would round otherwise.
template <typename T>
VECTORIZED void split(const T* __restrict from, int64_t width, float whole, float* __restrict r, float* __restrict g,
                      float* __restrict b) {
    for (int64_t i = 0; i < width; ++i) {
        r[i] = static_cast<float>(from[3 * i]) / whole;
        g[i] = static_cast<float>(from[3 * i + 1]) / whole;
        b[i] = static_cast<float>(from[3 * i + 2]) / whole;
    }
}

template <typename T>
void split_all(const T* pixels, float* out, int64_t height, int64_t width, int64_t stride, float whole, int threads) {
    const int64_t area = height * width;
    expect_to_fill(out, 3 * area * static_cast<int64_t>(sizeof(float)));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t y = 0; y < height; ++y) {
        float* row = out + y * width;
        split(pixels + y * stride, width, whole, row, row + area, row + 2 * area);
    }
}

}  // namespace

// pixels (height, width, 3), rows `stride` values apart, of 8 or 16 bits -> out (3, height, width).
EXPORT void planes_forward(const void* pixels, float* out, int64_t height, int64_t width, int64_t stride, int64_t wide,
                           int threads) {
    if (wide)
        split_all(static_cast<const uint16_t*>(pixels), out, height, width, stride, 65535.0f, threads);
    else
        split_all(static_cast<const uint8_t*>(pixels), out, height, width, stride, 255.0f, threads);
}
