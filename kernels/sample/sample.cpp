// Compiled form of reference.py.

#include "../native.h"

namespace {

enum Interpolation : int64_t { LINEAR, CATMULL_ROM, B_SPLINE };  // as in interpolation.py

// The nodes read along one axis and their weights. Beyond the border the outermost node repeats. A NaN reads the first
// nodes with weights of NaN.
template <Interpolation KIND>
struct Taps {
    static constexpr int n = KIND == LINEAR ? 2 : 4;
    int64_t node[n];
    float weight[n];
    void locate(float offset, int64_t origin, int64_t size) {
        const float low = std::floor(offset), t = offset - low, s = 1 - t;
        if constexpr (KIND == LINEAR) {
            weight[0] = s, weight[1] = t;
        } else if constexpr (KIND == CATMULL_ROM) {
            weight[0] = t * (-0.5f + t * (1 - 0.5f * t)), weight[1] = 1 + t * t * (1.5f * t - 2.5f);
            weight[2] = t * (0.5f + t * (2 - 1.5f * t)), weight[3] = t * t * (0.5f * t - 0.5f);
        } else {
            weight[0] = s * s * s / 6, weight[1] = (3 * t * t * t - 6 * t * t + 4) / 6;
            weight[2] = (3 * s * s * s - 6 * s * s + 4) / 6, weight[3] = t * t * t / 6;
        }
        const float near = std::min(std::max(-1e9f, low), 1e9f);
        const int64_t first = origin + static_cast<int64_t>(near) + 1 - n / 2;
        for (int k = 0; k < n; ++k) node[k] = std::min(std::max<int64_t>(first + k, 0), size - 1);
    }
};

template <Interpolation KIND>
VECTORIZED void sample(const float* values, const float* x, const float* y, const int64_t* column, const int64_t* row,
                       float* out, int64_t begin, int64_t end, int64_t channels, int64_t height, int64_t width,
                       int64_t n) {
    constexpr int T = Taps<KIND>::n;
    Taps<KIND> across, down;
    for (int64_t i = begin; i < end; ++i) {
        across.locate(x[i], column != nullptr ? column[i] : 0, width);
        down.locate(y[i], row != nullptr ? row[i] : 0, height);
        for (int64_t c = 0; c < channels; ++c) {
            const float* plane = values + c * height * width;
            float sum = 0;
            for (int k = 0; k < T; ++k) {
                const float* line = plane + down.node[k] * width;
                float part = 0;
                for (int j = 0; j < T; ++j) part += line[across.node[j]] * across.weight[j];
                sum += part * down.weight[k];
            }
            out[c * n + i] = sum;
        }
    }
}

}  // namespace

// values (channels, height, width) at the n points (column + x, row + y) -> out (channels, n). column and row may be
// null.
EXPORT void sample_forward(const float* values, const float* x, const float* y, const int64_t* column,
                           const int64_t* row, float* out, int64_t channels, int64_t height, int64_t width, int64_t n,
                           int64_t interpolation, int threads) {
    constexpr int64_t block = 1024;
    const auto run = interpolation == LINEAR        ? sample<LINEAR>
                     : interpolation == CATMULL_ROM ? sample<CATMULL_ROM>
                                                    : sample<B_SPLINE>;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t begin = 0; begin < n; begin += block)
        run(values, x, y, column, row, out, begin, std::min(begin + block, n), channels, height, width, n);
}
