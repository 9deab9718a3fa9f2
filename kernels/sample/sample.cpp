// The meaning is in reference.py.

#include "../native.h"

#include <algorithm>
#include <cmath>

namespace {

struct Linear {
    static constexpr int taps = 2;
    static void weigh(float t, float* weight) { weight[0] = 1 - t, weight[1] = t; }
};

struct CatmullRom {
    static constexpr int taps = 4;
    static void weigh(float t, float* weight) {
        weight[0] = t * (-0.5f + t * (1 - 0.5f * t));
        weight[1] = 1 + t * t * (1.5f * t - 2.5f);
        weight[2] = t * (0.5f + t * (2 - 1.5f * t));
        weight[3] = t * t * (0.5f * t - 0.5f);
    }
};

struct BSpline {
    static constexpr int taps = 4;
    static void weigh(float t, float* weight) {
        const float s = 1 - t;
        weight[0] = s * s * s / 6;
        weight[1] = (3 * t * t * t - 6 * t * t + 4) / 6;
        weight[2] = (3 * s * s * s - 6 * s * s + 4) / 6;
        weight[3] = t * t * t / 6;
    }
};

// Along one axis: the nodes read and their weights. Beyond the border the outermost node repeats. What is no number
// reads the first nodes with weights that are none either.
template <class Stencil>
struct Taps {
    int64_t node[Stencil::taps];
    float weight[Stencil::taps];
    void place(float offset, int64_t origin, int64_t size) {
        const float low = std::floor(offset);
        Stencil::weigh(offset - low, weight);
        const float near = std::min(std::max(-1e9f, low), 1e9f);
        const int64_t first = origin + static_cast<int64_t>(near) + 1 - Stencil::taps / 2;
        for (int k = 0; k < Stencil::taps; ++k) node[k] = std::min(std::max<int64_t>(first + k, 0), size - 1);
    }
};

template <class Stencil>
VECTORIZED void sample(const float* values, const float* x, const float* y, const int64_t* column, const int64_t* row,
                       float* out, int64_t begin, int64_t end, int64_t channels, int64_t height, int64_t width,
                       int64_t n) {
    constexpr int T = Stencil::taps;
    Taps<Stencil> across, down;
    for (int64_t i = begin; i < end; ++i) {
        across.place(x[i], column != nullptr ? column[i] : 0, width);
        down.place(y[i], row != nullptr ? row[i] : 0, height);
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

template <class Stencil>
void sample_all(const float* values, const float* x, const float* y, const int64_t* column, const int64_t* row,
                float* out, int64_t channels, int64_t height, int64_t width, int64_t n, int threads) {
    constexpr int64_t block = 1024;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t begin = 0; begin < n; begin += block)
        sample<Stencil>(values, x, y, column, row, out, begin, std::min(begin + block, n), channels, height, width, n);
}

}  // namespace

// values (channels, height, width) at the n points (column + x, row + y) -> out (channels, n). column and row may be
// null. stencil: 0 linear, 1 catmull_rom, 2 b_spline.
EXPORT void sample_forward(const float* values, const float* x, const float* y, const int64_t* column,
                           const int64_t* row, float* out, int64_t channels, int64_t height, int64_t width, int64_t n,
                           int64_t stencil, int threads) {
    const auto run = stencil == 0 ? sample_all<Linear> : stencil == 1 ? sample_all<CatmullRom> : sample_all<BSpline>;
    run(values, x, y, column, row, out, channels, height, width, n, threads);
}
