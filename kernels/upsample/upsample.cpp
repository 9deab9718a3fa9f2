// The meaning is in reference.py.

#include "../native.h"

#include <algorithm>
#include <vector>

namespace {

// tanh, in a form that vectorizes: Padé's [5/6] of a quarter of x, and twice the formula for the double; within 2e-7.
inline float squash(float x) {
    const float y = 0.25f * std::min(std::max(x, -9.0f), 9.0f), s = y * y;
    float t = y * ((21 * s + 1260) * s + 10395) / (((s + 210) * s + 4725) * s + 10395);
    t = 2 * t / (1 + t * t);
    return 2 * t / (1 + t * t);
}

// Squeezed into (-limit, limit); a negative limit is none.
VECTORIZED void bound(const float* __restrict x, float limit, int64_t n, float* __restrict out) {
    const float one = limit > 0 ? 1 / limit : 0;
    for (int64_t i = 0; i < n; ++i) out[i] = limit < 0 ? x[i] : limit * squash(one * x[i]);
}

VECTORIZED void times_slope(const float* __restrict x, float limit, int64_t n, float* __restrict gradient) {
    const float one = limit > 0 ? 1 / limit : 0, least = limit > 0 ? 1.0f : 0.0f;
    for (int64_t i = 0; i < n; ++i) {
        const float t = squash(one * x[i]);
        gradient[i] *= least - t * t;
    }
}

VECTORIZED void add_scaled(const float* __restrict from, float weight, int64_t n, float* __restrict to) {
    for (int64_t k = 0; k < n; ++k) to[k] += weight * from[k];
}

}  // namespace

// values (planes, h, w), bounded -> out (planes, height, width), which the caller has zeroed. For each of the width columns the
// `taps` columns read and their weights, (width, taps); for the rows likewise.
EXPORT void upsample_forward(const float* values, const int32_t* columns, const float* column_weights,
                             const int32_t* rows, const float* row_weights, float* out, int64_t planes, int64_t h,
                             int64_t w, int64_t height, int64_t width, int64_t taps, float limit, int threads) {
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> wide(h * width), line(w);
#pragma omp for schedule(static)
        for (int64_t plane = 0; plane < planes; ++plane) {
            for (int64_t y = 0; y < h; ++y) {
                bound(values + (plane * h + y) * w, limit, w, line.data());
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
EXPORT void upsample_backward(const float* cotangent, const float* values, const int32_t* columns,
                              const float* column_weights, const int32_t* rows, const float* row_weights,
                              float* d_values, int64_t planes, int64_t h, int64_t w, int64_t height, int64_t width,
                              int64_t taps, float limit, int threads) {
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
            if (limit >= 0) times_slope(values + plane * h * w, limit, h * w, d_values + plane * h * w);
        }
    }
}
