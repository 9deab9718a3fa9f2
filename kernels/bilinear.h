// Reading planes bilinearly at a row of points: forward, its slopes, and its transpose. The border repeats.

#pragma once

#include "native.h"

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

// The transpose of reading: what each point gives to the pixels that it read, in the points' order.
inline void spread(const float* __restrict given, int64_t n, const int32_t* __restrict corner,
                   const int32_t* __restrict right, const int32_t* __restrict down, const float* __restrict wx,
                   const float* __restrict wy, float* __restrict target) {
    for (int64_t i = 0; i < n; ++i) {
        const int32_t a = corner[i], b = a + right[i], c = a + down[i], d = c + right[i];
        const float upper = given[i] * (1 - wy[i]), lower = given[i] * wy[i];
        target[a] += upper * (1 - wx[i]);
        target[b] += upper * wx[i];
        target[c] += lower * (1 - wx[i]);
        target[d] += lower * wx[i];
    }
}

// Everything about one row of points that the planes share.
struct Row {
    Taps x, y;
    std::vector<int32_t> corner, down;
    explicit Row(int64_t n) : x(n), y(n), corner(n), down(n) {}

    // Point i is at start + stride i pixels along each axis, plus its offset, in halves of the plane's side.
    void aim(const float* offset_x, const float* offset_y, float start_x, float stride_x, float start_y,
             float stride_y, int64_t height, int64_t width) {
        const auto n = static_cast<int64_t>(corner.size());
        place(offset_x, n, start_x, stride_x, width, x.first.data(), x.step.data(), x.weight.data(), x.inside.data());
        place(offset_y, n, start_y, stride_y, height, y.first.data(), y.step.data(), y.weight.data(),
              y.inside.data());
        for (int64_t i = 0; i < n; ++i) {
            corner[i] = y.first[i] * static_cast<int32_t>(width) + x.first[i];
            down[i] = y.step[i] * static_cast<int32_t>(width);
        }
    }

    void read(const float* plane, const float* color, float* out) const {
        blend(plane, size(), corner.data(), x.step.data(), down.data(), x.weight.data(), y.weight.data(), color, out);
    }

    void add_slope(const float* plane, const float* given, float* dx, float* dy) const {
        slope(plane, size(), corner.data(), x.step.data(), down.data(), x.weight.data(), y.weight.data(), given, dx, dy);
    }

    void give(const float* given, float* target) const {
        spread(given, size(), corner.data(), x.step.data(), down.data(), x.weight.data(), y.weight.data(), target);
    }

   private:
    int64_t size() const { return static_cast<int64_t>(corner.size()); }
};

}  // namespace
