// The meaning is in reference.py.

#include "../native.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace {

constexpr int64_t BLOCK = 1024;  // points that one thread works on at a time

// Each part's color, (parts, 3), as the palette mixes it out of the paints, within the limit.
std::vector<float> mix(const float* palette, const float* paints, int64_t parts, float limit) {
    std::vector<float> colors(parts * 3);
    for (int64_t k = 0; k < parts * 3; ++k) {
        const float *amounts = palette + k / 3 * 3, *paint = paints + k / 3 * 9 + k % 3;
        const float sum = amounts[0] * paint[0] + amounts[1] * paint[3] + amounts[2] * paint[6];
        colors[k] = limit > 0 ? limit * std::tanh(sum / limit) : 0 * sum;
    }
    return colors;
}

float length(const float* amounts, float nearly) {
    return std::sqrt(amounts[0] * amounts[0] + amounts[1] * amounts[1] + amounts[2] * amounts[2] + nearly * nearly);
}

// What the parts add to one channel of n points.
VECTORIZED void add_parts(const float* __restrict masks, int64_t stride, const float* __restrict colors, int64_t parts,
                          int64_t n, float* __restrict painted) {
    for (int64_t i = 0; i < n; ++i) painted[i] = 0;
    for (int64_t part = 0; part < parts; ++part) {
        const float one = colors[3 * part];
        const float* mask = masks + part * stride;
        for (int64_t i = 0; i < n; ++i) painted[i] += one * mask[i];
    }
}

VECTORIZED void show(const float* __restrict color, const float* __restrict painted, const float* __restrict weight,
                     float limit, int64_t n, float* __restrict shown, float* __restrict own) {
    for (int64_t i = 0; i < n; ++i) {
        const float sum = color[i] + painted[i];
        const float cut = sum > limit ? limit : sum < -limit ? -limit : sum;  // a NaN stays one
        shown[i] = weight[i] * cut;
        own[i] = shown[i] - weight[i] * painted[i];
    }
}

// The gradients to a channel's own tint and to what the parts add, which replaces `painted`.
VECTORIZED void pull(const float* __restrict color, const float* __restrict weight, float limit,
                     const float* __restrict d_shown, const float* __restrict d_own, int64_t n,
                     float* __restrict d_color, float* __restrict painted) {
    for (int64_t i = 0; i < n; ++i) {
        const float sum = color[i] + painted[i];
        const float inside = sum >= -limit && sum <= limit ? weight[i] : 0.0f;
        d_color[i] = inside * (d_shown[i] + d_own[i]);
        painted[i] = d_color[i] - weight[i] * d_own[i];
    }
}

VECTORIZED double product(const float* __restrict a, const float* __restrict b, int64_t n) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
}

}  // namespace

// color (3, n), weight (n), palette (parts, 3), paints (parts, 3, 3), masks (parts, n) -> shown (3, n), own (3, n) and
// the amount of paint used.
EXPORT void paint_forward(const float* color, const float* weight, const float* palette, const float* paints,
                          const float* masks, float* shown, float* own, float* used, int64_t parts, int64_t n,
                          float limit, float nearly, int threads) {
    const std::vector<float> colors = mix(palette, paints, parts, limit);
#pragma omp parallel num_threads(threads)
    {
        float painted[BLOCK];
#pragma omp for schedule(static)
        for (int64_t start = 0; start < n; start += BLOCK)
            for (int64_t c = 0; c < 3; ++c) {
                const int64_t at = c * n + start, count = std::min(BLOCK, n - start);
                add_parts(masks + start, n, colors.data() + c, parts, count, painted);
                show(color + at, painted, weight + start, limit, count, shown + at, own + at);
            }
    }
    *used = 0;
    for (int64_t part = 0; part < parts; ++part) *used += length(palette + 3 * part, nearly) - nearly;
}

// With the cotangents of the three: the gradients to color (3, n) and palette (parts, 3).
EXPORT void paint_backward(const float* color, const float* weight, const float* palette, const float* paints,
                           const float* masks, const float* d_shown, const float* d_own, const float* d_used,
                           float* d_color, float* d_palette, int64_t parts, int64_t n, float limit, float nearly,
                           int threads) {
    const std::vector<float> colors = mix(palette, paints, parts, limit);
    const int64_t blocks = (n + BLOCK - 1) / BLOCK;
    std::vector<double> sums(blocks * 3 * parts);  // of each block, summed in their order afterwards
#pragma omp parallel num_threads(threads)
    {
        float painted[BLOCK];
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; ++block)
            for (int64_t c = 0; c < 3; ++c) {
                const int64_t start = block * BLOCK, at = c * n + start, count = std::min(BLOCK, n - start);
                add_parts(masks + start, n, colors.data() + c, parts, count, painted);
                pull(color + at, weight + start, limit, d_shown + at, d_own + at, count, d_color + at, painted);
                for (int64_t part = 0; part < parts; ++part)
                    sums[(block * parts + part) * 3 + c] = product(masks + part * n + start, painted, count);
            }
    }
    for (int64_t part = 0; part < parts; ++part) {
        double d_mix[3] = {0, 0, 0};
        for (int64_t c = 0; c < 3; ++c) {
            for (int64_t block = 0; block < blocks; ++block) d_mix[c] += sums[(block * parts + part) * 3 + c];
            const double share = limit > 0 ? colors[3 * part + c] / limit : 1;
            d_mix[c] *= 1 - share * share;
        }
        for (int64_t k = 0; k < 3; ++k) {
            const float *paint = paints + part * 9 + 3 * k, *amounts = palette + 3 * part;
            const double mixed = d_mix[0] * paint[0] + d_mix[1] * paint[1] + d_mix[2] * paint[2];
            d_palette[3 * part + k] = static_cast<float>(mixed) + *d_used * amounts[k] / length(amounts, nearly);
        }
    }
}
