// The meaning is in reference.py.

#include "../native.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace {

// Along one axis: the first pixel read, the step to the second, and the second's weight, for every output.
struct Taps {
    std::vector<int32_t> first, step;
    std::vector<float> weight, inside;
    explicit Taps(int64_t n) : first(n), step(n), weight(n), inside(n) {}
};

VECTORIZED void place(const float* __restrict offset, int64_t n, float start, float stride, int64_t size,
                      int32_t* __restrict first, int32_t* __restrict step, float* __restrict weight,
                      float* __restrict inside) {
    const float last = static_cast<float>(size - 1), half = 0.5f * static_cast<float>(size);
    for (int64_t i = 0; i < n; ++i) {
        const float wanted = start + stride * static_cast<float>(i) + offset[i] * half;
        const float position = std::min(std::max(0.0f, wanted), last);  // a NaN becomes 0, and its weight NaN
        const float low = std::floor(position);
        first[i] = static_cast<int32_t>(low);
        step[i] = low < last ? 1 : 0;
        weight[i] = wanted == wanted ? position - low : wanted;
        inside[i] = wanted >= 0.0f && wanted <= last ? half : 0.0f;
    }
}

VECTORIZED void blend(const float* __restrict plane, int64_t n, const int32_t* __restrict corner,
                      const int32_t* __restrict right, const int32_t* __restrict down, const float* __restrict wx,
                      const float* __restrict wy, const float* __restrict color, float* __restrict out) {
    for (int64_t i = 0; i < n; ++i) {
        const int32_t a = corner[i], b = a + right[i], c = a + down[i], d = c + right[i];
        const float x = wx[i], y = wy[i];
        const float upper = plane[a] * (1 - x) + plane[b] * x;
        const float lower = plane[c] * (1 - x) + plane[d] * x;
        out[i] = upper * (1 - y) + lower * y + color[i];
    }
}

VECTORIZED void slope(const float* __restrict plane, int64_t n, const int32_t* __restrict corner,
                      const int32_t* __restrict right, const int32_t* __restrict down, const float* __restrict wx,
                      const float* __restrict wy, const float* __restrict cotangent, float* __restrict dx,
                      float* __restrict dy) {
    for (int64_t i = 0; i < n; ++i) {
        const int32_t a = corner[i], b = a + right[i], c = a + down[i], d = c + right[i];
        const float x = wx[i], y = wy[i], g = cotangent[i];
        const float upper = plane[b] - plane[a], lower = plane[d] - plane[c];
        dx[i] += g * (upper * (1 - y) + lower * y);
        dy[i] += g * ((plane[c] - plane[a]) * (1 - x) + (plane[d] - plane[b]) * x);
    }
}

// Everything about one output row that its channels share.
struct Row {
    Taps x, y;
    std::vector<int32_t> corner, down;
    explicit Row(int64_t n) : x(n), y(n), corner(n), down(n) {}

    void read(const float* coord, int64_t row, int64_t height, int64_t width, int64_t h, int64_t w) {
        const float sx = static_cast<float>(width) / static_cast<float>(w);
        const float sy = static_cast<float>(height) / static_cast<float>(h);
        const float startx = w == width ? 0.0f : 0.5f * sx - 0.5f;
        const float y0 = h == height ? static_cast<float>(row) : (static_cast<float>(row) + 0.5f) * sy - 0.5f;
        place(coord + row * w, w, startx, w == width ? 1.0f : sx, width, x.first.data(), x.step.data(),
              x.weight.data(), x.inside.data());
        place(coord + (h + row) * w, w, y0, 0.0f, height, y.first.data(), y.step.data(), y.weight.data(),
              y.inside.data());
        for (int64_t i = 0; i < w; ++i) {
            corner[i] = y.first[i] * static_cast<int32_t>(width) + x.first[i];
            down[i] = y.step[i] * static_cast<int32_t>(width);
        }
    }
};

}  // namespace

// image (B, C, H, W), coord (B, 2, h, w), color and out (B, C, h, w); contiguous; H * W below 2^31.
EXPORT void warp_color_forward(const float* image, const float* coord, const float* color, float* out, int64_t batch,
                               int64_t channels, int64_t height, int64_t width, int64_t h, int64_t w, int threads) {
#pragma omp parallel num_threads(threads)
    {
        Row row(w);
#pragma omp for schedule(static)
        for (int64_t job = 0; job < batch * h; ++job) {
            const int64_t b = job / h, y = job % h;
            row.read(coord + b * 2 * h * w, y, height, width, h, w);
            for (int64_t c = 0; c < channels; ++c) {
                const int64_t line = ((b * channels + c) * h + y) * w;
                blend(image + (b * channels + c) * height * width, w, row.corner.data(), row.x.step.data(),
                      row.down.data(), row.x.weight.data(), row.y.weight.data(), color + line, out + line);
            }
        }
    }
}

// The gradients to coord and to image, which the caller has zeroed; either may be null. To color it is the cotangent.
EXPORT void warp_color_backward(const float* image, const float* coord, const float* cotangent, float* d_coord,
                                float* d_image, int64_t batch, int64_t channels, int64_t height, int64_t width,
                                int64_t h, int64_t w, int threads) {
#pragma omp parallel num_threads(threads)
    {
        Row row(w);
#pragma omp for schedule(static)
        for (int64_t job = 0; job < (d_coord != nullptr ? batch * h : 0); ++job) {
            const int64_t b = job / h, y = job % h;
            row.read(coord + b * 2 * h * w, y, height, width, h, w);
            float* dx = d_coord + (b * 2 * h + y) * w;
            float* dy = dx + h * w;
            for (int64_t c = 0; c < channels; ++c)
                slope(image + (b * channels + c) * height * width, w, row.corner.data(), row.x.step.data(),
                      row.down.data(), row.x.weight.data(), row.y.weight.data(),
                      cotangent + ((b * channels + c) * h + y) * w, dx, dy);
            for (int64_t i = 0; i < w; ++i) dx[i] *= row.x.inside[i], dy[i] *= row.y.inside[i];
        }
        if (d_image != nullptr) {
#pragma omp for schedule(static)
            for (int64_t plane = 0; plane < batch * channels; ++plane) {
                float* target = d_image + plane * height * width;
                for (int64_t y = 0; y < h; ++y) {
                    row.read(coord + plane / channels * 2 * h * w, y, height, width, h, w);
                    const float* g = cotangent + (plane * h + y) * w;
                    for (int64_t i = 0; i < w; ++i) {
                        const int32_t a = row.corner[i], c = a + row.down[i], right = row.x.step[i];
                        const float wx = row.x.weight[i], wy = row.y.weight[i];
                        target[a] += g[i] * (1 - wx) * (1 - wy);
                        target[a + right] += g[i] * wx * (1 - wy);
                        target[c] += g[i] * (1 - wx) * wy;
                        target[c + right] += g[i] * wx * wy;
                    }
                }
            }
        }
    }
}
