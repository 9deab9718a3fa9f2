// Compiled form of reference.py.

#include "../native.h"

namespace {

// The interpolating cubic's weights around a point at t in [0, 1) after a node; as CATMULL_ROM in interpolation.py.
inline void cubic(float t, float* weight) {
    weight[0] = t * (-0.5f + t * (1 - 0.5f * t)), weight[1] = 1 + t * t * (1.5f * t - 2.5f);
    weight[2] = t * (0.5f + t * (2 - 1.5f * t)), weight[3] = t * t * (0.5f * t - 0.5f);
}

template <typename PIXEL>
VECTORIZED void warp_row(const PIXEL* pixels, const float* line, PIXEL* out, int64_t row, int64_t left, int64_t height,
                         int64_t width, int64_t nodes, int64_t n, int64_t step) {
    const float most = static_cast<float>(static_cast<PIXEL>(-1)), inverse = 1.0f / static_cast<float>(step);
    for (int64_t j = 0; j < n; ++j) {
        const int64_t node = std::min(j / step, nodes - 1), next = std::min(node + 1, nodes - 1);
        const float t = static_cast<float>(j - node * step) * inverse;
        float offset[5];
        for (int c = 0; c < 5; ++c) {
            const float a = line[c * nodes + node];
            offset[c] = a + t * (line[c * nodes + next] - a);
        }
        const int64_t column = left + j;
        PIXEL* to = out + 3 * j;
        const PIXEL* own = pixels + 3 * (row * width + column);
        if (offset[0] == 0 && offset[1] == 0) {
            if (offset[2] == 0 && offset[3] == 0 && offset[4] == 0) {
                for (int c = 0; c < 3; ++c) to[c] = own[c];
                continue;
            }
            for (int c = 0; c < 3; ++c) {
                const float value = static_cast<float>(own[c]) + most * offset[2 + c];
                to[c] = static_cast<PIXEL>(std::nearbyint(std::min(std::max(value, 0.0f), most)));
            }
            continue;
        }
        const float low_x = std::floor(offset[0]), low_y = std::floor(offset[1]);
        float wx[4], wy[4];
        cubic(offset[0] - low_x, wx);
        cubic(offset[1] - low_y, wy);
        const int64_t x = column + static_cast<int64_t>(std::min(std::max(low_x, -1e9f), 1e9f)) - 1;
        const int64_t y = row + static_cast<int64_t>(std::min(std::max(low_y, -1e9f), 1e9f)) - 1;
        float sums[12] = {0};
        if (x >= 0 && x + 4 <= width && y >= 0 && y + 4 <= height) {
            for (int k = 0; k < 4; ++k) {
                const PIXEL* source = pixels + 3 * ((y + k) * width + x);
                for (int i = 0; i < 12; ++i) sums[i] += wy[k] * static_cast<float>(source[i]);
            }
        } else {
            for (int k = 0; k < 4; ++k) {
                const int64_t r = std::min(std::max<int64_t>(y + k, 0), height - 1);
                for (int i = 0; i < 4; ++i) {
                    const int64_t s = std::min(std::max<int64_t>(x + i, 0), width - 1);
                    for (int c = 0; c < 3; ++c)
                        sums[3 * i + c] += wy[k] * static_cast<float>(pixels[3 * (r * width + s) + c]);
                }
            }
        }
        for (int c = 0; c < 3; ++c) {
            const float read = sums[c] * wx[0] + sums[3 + c] * wx[1] + sums[6 + c] * wx[2] + sums[9 + c] * wx[3];
            const float value = read + most * offset[2 + c];
            to[c] = static_cast<PIXEL>(std::nearbyint(std::min(std::max(value, 0.0f), most)));
        }
    }
}

template <typename PIXEL>
void warp(const PIXEL* pixels, const float* offsets, PIXEL* out, int64_t height, int64_t width, int64_t rows,
          int64_t nodes, int64_t top, int64_t left, int64_t m, int64_t n, int64_t step, int threads) {
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> line(5 * nodes);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < m; ++i) {
            const int64_t node = std::min(i / step, rows - 1), next = std::min(node + 1, rows - 1);
            const float t = static_cast<float>(i - node * step) / static_cast<float>(step);
            for (int64_t c = 0; c < 5; ++c) {
                const float *a = offsets + (c * rows + node) * nodes, *b = offsets + (c * rows + next) * nodes;
                for (int64_t j = 0; j < nodes; ++j) line[c * nodes + j] = a[j] + t * (b[j] - a[j]);
            }
            warp_row(pixels, line.data(), out + 3 * i * n, top + i, left, height, width, nodes, n, step);
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
