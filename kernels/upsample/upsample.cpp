// The meaning is in reference.py.

#include "../native.h"

#include <vector>

namespace {

VECTORIZED void add_scaled(const float* __restrict from, float weight, int64_t n, float* __restrict to) {
    for (int64_t k = 0; k < n; ++k) to[k] += weight * from[k];
}

}  // namespace

// values (planes, h, w) -> out (planes, height, width), which the caller has zeroed. For each of the width columns the
// `taps` columns read and their weights, (width, taps); for the rows likewise.
EXPORT void upsample_forward(const float* values, const int32_t* columns, const float* column_weights,
                             const int32_t* rows, const float* row_weights, float* out, int64_t planes, int64_t h,
                             int64_t w, int64_t height, int64_t width, int64_t taps, int threads) {
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> wide(h * width);
#pragma omp for schedule(static)
        for (int64_t plane = 0; plane < planes; ++plane) {
            for (int64_t y = 0; y < h; ++y) {
                const float* line = values + (plane * h + y) * w;
                for (int64_t x = 0; x < width; ++x) {
                    float sum = 0;
                    for (int64_t t = x * taps; t < (x + 1) * taps; ++t) sum += column_weights[t] * line[columns[t]];
                    wide[y * width + x] = sum;
                }
            }
            for (int64_t y = 0; y < height; ++y)
                for (int64_t t = y * taps; t < (y + 1) * taps; ++t)
                    add_scaled(wide.data() + rows[t] * width, row_weights[t], width,
                               out + (plane * height + y) * width);
        }
    }
}

// The transpose: cotangent (planes, height, width) -> d_values (planes, h, w), which the caller has zeroed.
EXPORT void upsample_backward(const float* cotangent, const int32_t* columns, const float* column_weights,
                              const int32_t* rows, const float* row_weights, float* d_values, int64_t planes, int64_t h,
                              int64_t w, int64_t height, int64_t width, int64_t taps, int threads) {
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> wide(h * width);
#pragma omp for schedule(static)
        for (int64_t plane = 0; plane < planes; ++plane) {
            wide.assign(h * width, 0.0f);
            for (int64_t y = 0; y < height; ++y)
                for (int64_t t = y * taps; t < (y + 1) * taps; ++t)
                    add_scaled(cotangent + (plane * height + y) * width, row_weights[t], width,
                               wide.data() + rows[t] * width);
            for (int64_t y = 0; y < h; ++y) {
                float* line = d_values + (plane * h + y) * w;
                for (int64_t x = 0; x < width; ++x)
                    for (int64_t t = x * taps; t < (x + 1) * taps; ++t)
                        line[columns[t]] += column_weights[t] * wide[y * width + x];
            }
        }
    }
}
