// Compiled form of tint_parts in reference.py.

#include "../native.h"

namespace {

constexpr int64_t BLOCK = 1024;  // points that one thread computes at a time

// Each part's color, (parts, 3): the palette's mix of its three pigments, within the limit.
std::vector<float> mix(const float* palette, const float* paints, int64_t parts, float limit) {
    std::vector<float> colors(parts * 3);
    for (int64_t k = 0; k < parts * 3; ++k) {
        const float *amounts = palette + k / 3 * 3, *paint = paints + k / 3 * 9 + k % 3;
        const float sum = amounts[0] * paint[0] + amounts[1] * paint[3] + amounts[2] * paint[6];
        colors[k] = limit > 0 ? limit * std::tanh(sum / limit) : 0 * sum;
    }
    return colors;
}

float rounded_length(const float* amounts, float rounding) {
    return std::sqrt(amounts[0] * amounts[0] + amounts[1] * amounts[1] + amounts[2] * amounts[2] + rounding * rounding);
}

// What the parts add to one channel of n points.
VECTORIZED void add_parts(const float* __restrict masks, int64_t stride, const float* __restrict colors, int64_t parts,
                          int64_t n, float* __restrict added) {
    for (int64_t i = 0; i < n; ++i) added[i] = 0;
    for (int64_t part = 0; part < parts; ++part) {
        const float value = colors[3 * part];
        const float* mask = masks + part * stride;
        for (int64_t i = 0; i < n; ++i) added[i] += value * mask[i];
    }
}

VECTORIZED void tint_forward(const float* __restrict color, const float* __restrict added,
                             const float* __restrict weight, float limit, int64_t n, float* __restrict tint,
                             float* __restrict own) {
    for (int64_t i = 0; i < n; ++i) {
        const float sum = color[i] + added[i];
        const float cut = sum > limit ? limit : sum < -limit ? -limit : sum;  // a NaN stays one
        tint[i] = weight[i] * cut;
        own[i] = tint[i] - weight[i] * added[i];
    }
}

// The gradients to a channel of the color and to what the parts add, which replaces `added`.
VECTORIZED void tint_backward(const float* __restrict color, const float* __restrict weight, float limit,
                              const float* __restrict d_tint, const float* __restrict d_own, int64_t n,
                              float* __restrict d_color, float* __restrict added) {
    for (int64_t i = 0; i < n; ++i) {
        const float sum = color[i] + added[i];
        const float inside = sum >= -limit && sum <= limit ? weight[i] : 0.0f;
        d_color[i] = inside * (d_tint[i] + d_own[i]);
        added[i] = d_color[i] - weight[i] * d_own[i];
    }
}

VECTORIZED double dot(const float* __restrict a, const float* __restrict b, int64_t n) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
}

}  // namespace

// color (3, n), weight (n), palette (parts, 3), paints (parts, 3, 3), masks (parts, n) -> tint (3, n), own_tint (3, n)
// and the amount of the part colors.
EXPORT void tint_parts_forward(const float* color, const float* weight, const float* palette, const float* paints,
                               const float* masks, float* tint, float* own_tint, float* amount, int64_t parts,
                               int64_t n, float limit, float rounding, int threads) {
    const std::vector<float> colors = mix(palette, paints, parts, limit);
#pragma omp parallel num_threads(threads)
    {
        float added[BLOCK];
#pragma omp for schedule(static)
        for (int64_t start = 0; start < n; start += BLOCK)
            for (int64_t c = 0; c < 3; ++c) {
                const int64_t at = c * n + start, count = std::min(BLOCK, n - start);
                add_parts(masks + start, n, colors.data() + c, parts, count, added);
                tint_forward(color + at, added, weight + start, limit, count, tint + at, own_tint + at);
            }
    }
    *amount = 0;
    for (int64_t part = 0; part < parts; ++part) *amount += rounded_length(palette + 3 * part, rounding) - rounding;
}

// With the cotangents of the three: the gradients to color (3, n) and palette (parts, 3).
EXPORT void tint_parts_backward(const float* color, const float* weight, const float* palette, const float* paints,
                                const float* masks, const float* d_tint, const float* d_own, const float* d_amount,
                                float* d_color, float* d_palette, int64_t parts, int64_t n, float limit,
                                float rounding, int threads) {
    const std::vector<float> colors = mix(palette, paints, parts, limit);
    const int64_t blocks = (n + BLOCK - 1) / BLOCK;
    std::vector<double> sums(blocks * 3 * parts);  // of each block, added up in their order afterwards
#pragma omp parallel num_threads(threads)
    {
        float added[BLOCK];
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; ++block)
            for (int64_t c = 0; c < 3; ++c) {
                const int64_t start = block * BLOCK, at = c * n + start, count = std::min(BLOCK, n - start);
                add_parts(masks + start, n, colors.data() + c, parts, count, added);
                tint_backward(color + at, weight + start, limit, d_tint + at, d_own + at, count, d_color + at, added);
                for (int64_t part = 0; part < parts; ++part)
                    sums[(block * parts + part) * 3 + c] = dot(masks + part * n + start, added, count);
            }
    }
    for (int64_t part = 0; part < parts; ++part) {
        double d_mix[3] = {0, 0, 0};
        for (int64_t c = 0; c < 3; ++c) {
            for (int64_t block = 0; block < blocks; ++block) d_mix[c] += sums[(block * parts + part) * 3 + c];
            const double share = limit > 0 ? colors[3 * part + c] / limit : 1;  // tanh
            d_mix[c] *= 1 - share * share;
        }
        for (int64_t k = 0; k < 3; ++k) {
            const float *paint = paints + part * 9 + 3 * k, *amounts = palette + 3 * part;
            const double mixed = d_mix[0] * paint[0] + d_mix[1] * paint[1] + d_mix[2] * paint[2];
            d_palette[3 * part + k] =
                static_cast<float>(mixed) + *d_amount * amounts[k] / rounded_length(amounts, rounding);
        }
    }
}
