// Reading planes bilinearly at a row of points: forward, its slopes, and its transpose. The border repeats.

#pragma once

#include "native.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace {

// Along one axis: the first of the two pixels that a point reads, the weight of the second, and what a slope between
// them is worth; nothing beyond the border.
struct Taps {
    std::vector<int32_t> first;
    std::vector<float> weight, inside;
    explicit Taps(int64_t n) : first(n), weight(n), inside(n) {}
};

// At the last pixel the first is the one before it, with no weight: the second is then always one further.
VECTORIZED void place(const float* __restrict offset, int64_t n, float start, float stride, int64_t size,
                      int32_t* __restrict first, float* __restrict weight, float* __restrict inside) {
    const float last = static_cast<float>(size - 1), half = 0.5f * static_cast<float>(size);
    const float most = std::max(last - 1, 0.0f);
    for (int64_t i = 0; i < n; ++i) {
        const float wanted = start + stride * static_cast<float>(i) + offset[i] * half;
        const float position = std::min(std::max(0.0f, wanted), last);  // a NaN becomes 0, and its weight NaN
        const float low = std::min(std::floor(position), most);
        first[i] = static_cast<int32_t>(low);
        weight[i] = wanted == wanted ? position - low : wanted;
        inside[i] = wanted >= 0.0f && wanted < last ? half : 0.0f;
    }
}

// A pixel and its right neighbour, in one load: vector units gather half as many. A plane of one column has no other.
struct Pair {
    float left, right;
};

template <bool WIDE>
inline Pair load(const float* at) {
    if (!WIDE) return {*at, *at};
    typedef uint64_t Both __attribute__((aligned(4), may_alias));
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the left pixel must be the lower half");
    const uint64_t both = *reinterpret_cast<const Both*>(at);
    const uint32_t low = static_cast<uint32_t>(both), high = static_cast<uint32_t>(both >> 32);
    Pair pair;
    std::memcpy(&pair.left, &low, sizeof low);
    std::memcpy(&pair.right, &high, sizeof high);
    return pair;
}

template <bool WIDE>
VECTORIZED void blend(const float* __restrict plane, int64_t n, const int32_t* __restrict corner, int64_t down,
                      const float* __restrict wx, const float* __restrict wy, const float* __restrict color,
                      float* __restrict out) {
    for (int64_t i = 0; i < n; ++i) {
        const Pair above = load<WIDE>(plane + corner[i]), below = load<WIDE>(plane + corner[i] + down);
        const float x = wx[i], y = wy[i];
        const float upper = above.left * (1 - x) + above.right * x, lower = below.left * (1 - x) + below.right * x;
        out[i] = upper * (1 - y) + lower * y + color[i];
    }
}

template <bool WIDE>
VECTORIZED void slope(const float* __restrict plane, int64_t n, const int32_t* __restrict corner, int64_t down,
                      const float* __restrict wx, const float* __restrict wy, const float* __restrict cotangent,
                      float* __restrict dx, float* __restrict dy) {
    for (int64_t i = 0; i < n; ++i) {
        const Pair above = load<WIDE>(plane + corner[i]), below = load<WIDE>(plane + corner[i] + down);
        const float x = wx[i], y = wy[i], g = cotangent[i];
        dx[i] += g * ((above.right - above.left) * (1 - y) + (below.right - below.left) * y);
        dy[i] += g * ((below.left - above.left) * (1 - x) + (below.right - above.right) * x);
    }
}

// The transpose of reading: what each point gives to the pixels that it read, in the points' order.
inline void spread(const float* __restrict given, int64_t n, const int32_t* __restrict corner, int64_t right,
                   int64_t down, const float* __restrict wx, const float* __restrict wy, float* __restrict target) {
    for (int64_t i = 0; i < n; ++i) {
        const int64_t above = corner[i], below = above + down;
        const float upper = given[i] * (1 - wy[i]), lower = given[i] * wy[i];
        target[above] += upper * (1 - wx[i]);
        target[above + right] += upper * wx[i];
        target[below] += lower * (1 - wx[i]);
        target[below + right] += lower * wx[i];
    }
}

// Everything about one row of points that the planes share.
struct Row {
    Taps x, y;
    std::vector<int32_t> corner;
    int64_t right = 0, down = 0;  // to the second column and row; none in a plane of one
    explicit Row(int64_t n) : x(n), y(n), corner(n) {}

    // Point i is at start + stride i pixels along each axis, plus its offset, in halves of the plane's side.
    void aim(const float* offset_x, const float* offset_y, float start_x, float stride_x, float start_y,
             float stride_y, int64_t height, int64_t width) {
        place(offset_x, size(), start_x, stride_x, width, x.first.data(), x.weight.data(), x.inside.data());
        place(offset_y, size(), start_y, stride_y, height, y.first.data(), y.weight.data(), y.inside.data());
        for (int64_t i = 0; i < size(); ++i) corner[i] = y.first[i] * static_cast<int32_t>(width) + x.first[i];
        right = width > 1 ? 1 : 0, down = height > 1 ? width : 0;
    }

    void read(const float* plane, const float* color, float* out) const {
        const auto run = right ? blend<true> : blend<false>;
        run(plane, size(), corner.data(), down, x.weight.data(), y.weight.data(), color, out);
    }

    void add_slope(const float* plane, const float* given, float* dx, float* dy) const {
        const auto run = right ? slope<true> : slope<false>;
        run(plane, size(), corner.data(), down, x.weight.data(), y.weight.data(), given, dx, dy);
    }

    void give(const float* given, float* target) const {
        spread(given, size(), corner.data(), right, down, x.weight.data(), y.weight.data(), target);
    }

   private:
    int64_t size() const { return static_cast<int64_t>(corner.size()); }
};

}  // namespace
