// Compiled form of reference.py.

#include "../native.h"

namespace {

typedef float Four __attribute__((vector_size(16)));

inline __attribute__((always_inline)) Four load(const float* from) {
    Four four;
    std::memcpy(&four, from, sizeof(four));
    return four;
}

// The interpolating cubic's weights around a point at t in [0, 1) after a node; as CATMULL_ROM in interpolation.py.
inline void cubic(float t, float* weight) {
    weight[0] = t * (-0.5f + t * (1 - 0.5f * t)), weight[1] = 1 + t * t * (1.5f * t - 2.5f);
    weight[2] = t * (0.5f + t * (2 - 1.5f * t)), weight[3] = t * t * (0.5f * t - 0.5f);
}

inline int64_t whole(float low) { return static_cast<int64_t>(std::min(std::max(-1e9f, low), 1e9f)); }

// The part of a picture that is read, (height, width, 3), and its offsets along one row, (5, nodes).
struct Source {
    const float* pixels;
    int64_t height, width;
    const float* line;
    int64_t nodes, step;
    float most;
};

// n pixels of a row of the source, from a column on.
template <typename PIXEL>
VECTORIZED void warp_row(Source source, int64_t row, int64_t column, int64_t n, PIXEL* out) {
    const auto [pixels, height, width, line, nodes, step, most] = source;
    const float inverse = 1.0f / static_cast<float>(step);
    int64_t node = 0, after = 0;  // the pixel's node, and how many pixels after it
    for (int64_t j = 0; j < n; ++j, ++column, out += 3) {
        const int64_t next = std::min(node + 1, nodes - 1);
        const float t = static_cast<float>(after) * inverse;
        float offset[5], value[3];
        for (int c = 0; c < 5; ++c) {
            const float first = line[c * nodes + node];
            offset[c] = first + t * (line[c * nodes + next] - first);
        }
        if (++after == step) after = 0, node = next;
        const float* own = pixels + 3 * (row * width + column);
        if (offset[0] == 0 && offset[1] == 0) {
            for (int c = 0; c < 3; ++c) value[c] = own[c];
        } else {
            const float low_x = std::floor(offset[0]), low_y = std::floor(offset[1]);
            float across[4], down[4], sums[12] = {0};  // four pixels, summed over the rows
            cubic(offset[0] - low_x, across);
            cubic(offset[1] - low_y, down);
            const int64_t x = column + whole(low_x) - 1, y = row + whole(low_y) - 1;
            if (x >= 0 && x + 4 <= width && y >= 0 && y + 4 <= height) {
                const float* from = pixels + 3 * (y * width + x);
                Four a = {0}, b = {0}, c = {0};
                for (int k = 0; k < 4; ++k, from += 3 * width)
                    a += down[k] * load(from), b += down[k] * load(from + 4), c += down[k] * load(from + 8);
                std::memcpy(sums, &a, 16), std::memcpy(sums + 4, &b, 16), std::memcpy(sums + 8, &c, 16);
            } else {
                for (int k = 0; k < 4; ++k) {
                    const int64_t r = std::min(std::max<int64_t>(y + k, 0), height - 1);
                    for (int i = 0; i < 12; ++i) {
                        const int64_t s = std::min(std::max<int64_t>(x + i / 3, 0), width - 1);
                        sums[i] += down[k] * pixels[3 * (r * width + s) + i % 3];
                    }
                }
            }
            for (int c = 0; c < 3; ++c)
                value[c] = sums[c] * across[0] + sums[3 + c] * across[1] + sums[6 + c] * across[2] +
                           sums[9 + c] * across[3];
        }
        for (int c = 0; c < 3; ++c) {
            const float tinted = value[c] + most * offset[2 + c];
            out[c] = static_cast<PIXEL>(std::nearbyint(std::min(std::max(0.0f, tinted), most)));
        }
    }
}

template <typename PIXEL>
VECTORIZED void to_float(const PIXEL* from, float* to, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(from[i]);
}

template <typename PIXEL>
void warp(const PIXEL* pixels, const float* offsets, PIXEL* out, int64_t height, int64_t width, int64_t rows,
          int64_t nodes, int64_t top, int64_t left, int64_t m, int64_t n, int64_t step, int threads) {
    float most_x = 0, most_y = 0;
    for (int64_t i = 0; i < rows * nodes; ++i) {
        most_x = std::max(most_x, std::abs(offsets[i]));
        most_y = std::max(most_y, std::abs(offsets[rows * nodes + i]));
    }
    const int64_t reach_x = whole(std::ceil(most_x)) + 2, reach_y = whole(std::ceil(most_y)) + 2;
    const int64_t y0 = std::max<int64_t>(top - reach_y, 0), y1 = std::min(top + m + reach_y, height);
    const int64_t x0 = std::max<int64_t>(left - reach_x, 0), x1 = std::min(left + n + reach_x, width);
    std::vector<float> part(3 * (y1 - y0) * (x1 - x0));
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> line(5 * nodes);
#pragma omp for schedule(static)
        for (int64_t y = y0; y < y1; ++y)
            to_float(pixels + 3 * (y * width + x0), part.data() + 3 * (y - y0) * (x1 - x0), 3 * (x1 - x0));
#pragma omp for schedule(static)
        for (int64_t i = 0; i < m; ++i) {
            const int64_t node = std::min(i / step, rows - 1), next = std::min(node + 1, rows - 1);
            const float t = static_cast<float>(i - node * step) / static_cast<float>(step);
            for (int64_t c = 0; c < 5; ++c) {
                const float *a = offsets + (c * rows + node) * nodes, *b = offsets + (c * rows + next) * nodes;
                for (int64_t j = 0; j < nodes; ++j) line[c * nodes + j] = a[j] + t * (b[j] - a[j]);
            }
            const Source source = {part.data(), y1 - y0, x1 - x0, line.data(), nodes, step,
                                   static_cast<float>(static_cast<PIXEL>(-1))};
            warp_row(source, top + i - y0, left - x0, n, out + 3 * i * n);
        }
    }
}

}  // namespace

// pixels (height, width, 3) read at the m x n pixels from (top, left) on, moved and tinted by offsets
// (5, rows, nodes) -> out (m, n, 3).
EXPORT void warp_pixels_u8(const uint8_t* pixels, const float* offsets, uint8_t* out, int64_t height, int64_t width,
                           int64_t rows, int64_t nodes, int64_t top, int64_t left, int64_t m, int64_t n, int64_t step,
                           int threads) {
    warp(pixels, offsets, out, height, width, rows, nodes, top, left, m, n, step, threads);
}

EXPORT void warp_pixels_u16(const uint16_t* pixels, const float* offsets, uint16_t* out, int64_t height, int64_t width,
                            int64_t rows, int64_t nodes, int64_t top, int64_t left, int64_t m, int64_t n, int64_t step,
                            int threads) {
    warp(pixels, offsets, out, height, width, rows, nodes, top, left, m, n, step, threads);
}
