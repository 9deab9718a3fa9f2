// Compiled form of render_views in reference.py.

#include "../native.h"

namespace {

// Point i lies start + stride * i + offset[i] * size / 2 nodes along an axis of `size` nodes, at least two. Compute the
// first of the two nodes that it reads, the weight of the second, and the derivative of the position by the offset,
// zero where it is clamped to the border. A NaN reads the first nodes with a weight of NaN.
VECTORIZED void locate(const float* __restrict offset, int64_t n, float start, float stride, int64_t size,
                       int32_t* __restrict first, float* __restrict weight, float* __restrict slope) {
    const float last = static_cast<float>(size - 1), half = 0.5f * static_cast<float>(size);
    for (int64_t i = 0; i < n; ++i) {
        const float wanted = start + stride * static_cast<float>(i) + offset[i] * half;
        const float position = std::min(std::max(0.0f, wanted), last);
        const float low = std::min(std::floor(position), last - 1);
        first[i] = static_cast<int32_t>(low);
        weight[i] = wanted == wanted ? position - low : wanted;
        slope[i] = wanted >= 0.0f && wanted < last ? half : 0.0f;
    }
}

// A node and its right neighbor in one load: vector units then gather half as often.
struct Pair {
    float left, right;
    explicit Pair(const float* at) {
        typedef uint64_t Both __attribute__((aligned(4), may_alias));
        static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the left node must be the lower half");
        const uint64_t both = *reinterpret_cast<const Both*>(at);
        const uint32_t low = static_cast<uint32_t>(both), high = static_cast<uint32_t>(both >> 32);
        std::memcpy(&left, &low, sizeof low);
        std::memcpy(&right, &high, sizeof high);
    }
};

VECTORIZED void interpolate(const float* __restrict plane, int64_t n, const int32_t* __restrict corner, int64_t down,
                            const float* __restrict wx, const float* __restrict wy, const float* __restrict add,
                            float* __restrict out) {
    for (int64_t i = 0; i < n; ++i) {
        const Pair above(plane + corner[i]), below(plane + corner[i] + down);
        const float x = wx[i], y = wy[i];
        const float upper = above.left * (1 - x) + above.right * x, lower = below.left * (1 - x) + below.right * x;
        out[i] = upper * (1 - y) + lower * y + add[i];
    }
}

// Add the gradient to the position, in nodes, under the cotangent of what was read.
VECTORIZED void coord_gradient(const float* __restrict plane, int64_t n, const int32_t* __restrict corner,
                               int64_t down, const float* __restrict wx, const float* __restrict wy,
                               const float* __restrict cotangent, float* __restrict dx, float* __restrict dy) {
    for (int64_t i = 0; i < n; ++i) {
        const Pair above(plane + corner[i]), below(plane + corner[i] + down);
        const float x = wx[i], y = wy[i], g = cotangent[i];
        dx[i] += g * ((above.right - above.left) * (1 - y) + (below.right - below.left) * y);
        dy[i] += g * ((below.left - above.left) * (1 - x) + (below.right - above.right) * x);
    }
}

// The positions of one row of n points in planes `down` nodes wide.
struct Row {
    int64_t n, down = 0;
    std::vector<int32_t> x, y, corner;  // the node above and to the left: column, row, place in the plane
    std::vector<float> wx, wy, slope_x, slope_y;
    explicit Row(int64_t n) : n(n), x(n), y(n), corner(n), wx(n), wy(n), slope_x(n), slope_y(n) {}

    void interpolate(const float* plane, const float* add, float* out) const {
        ::interpolate(plane, n, corner.data(), down, wx.data(), wy.data(), add, out);
    }

    void coord_gradient(const float* plane, const float* cotangent, float* dx, float* dy) const {
        ::coord_gradient(plane, n, corner.data(), down, wx.data(), wy.data(), cotangent, dx, dy);
    }
};

// A view's row y of points in a plane: start + stride * i nodes along x and along y. In double, since a rounded start
// would move the whole row.
struct Line {
    double start_x, stride_x, start_y, stride_y;
    int64_t height, width;

    Line(const float* t, int64_t size, int64_t y, int64_t height, int64_t width) : height(height), width(width) {
        const double n = static_cast<double>(size), first = 1 / n - 1, down = (2 * static_cast<double>(y) + 1) / n - 1;
        const double half_w = 0.5 * static_cast<double>(width), half_h = 0.5 * static_cast<double>(height);
        start_x = (t[0] * first + t[1] * down + t[2] + 1) * half_w - 0.5, stride_x = 2 * t[0] / n * half_w;
        start_y = (t[3] * first + t[4] * down + t[5] + 1) * half_h - 0.5, stride_y = 2 * t[3] / n * half_h;
    }

    // Whether it may read rows of the plane from `begin` to before `end`; one more on each side, for rounding.
    bool reads(int64_t size, int64_t begin, int64_t end) const {
        const double other = start_y + stride_y * static_cast<double>(size - 1), last = static_cast<double>(height - 1);
        const double low = std::min(std::max(std::min(start_y, other), 0.0), last) - 1;
        const double high = std::min(std::max(std::max(start_y, other), 0.0), last) + 2;
        return high >= static_cast<double>(begin) && low < static_cast<double>(end);
    }

    void locate(Row& row, const float* dx, const float* dy) const {
        const auto sx = static_cast<float>(start_x), sy = static_cast<float>(start_y);
        const auto tx = static_cast<float>(stride_x), ty = static_cast<float>(stride_y);
        ::locate(dx, row.n, sx, tx, width, row.x.data(), row.wx.data(), row.slope_x.data());
        ::locate(dy, row.n, sy, ty, height, row.y.data(), row.wy.data(), row.slope_y.data());
        row.down = width;
        for (int64_t i = 0; i < row.n; ++i) row.corner[i] = row.y[i] * static_cast<int32_t>(width) + row.x[i];
    }
};

// The gradients of a point to the five planes of the field lie side by side: one vector adds them to a node.
constexpr int64_t LANES = 8;
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

// Buffers for one row of points.
struct Workspace {
    Row field, image;
    std::vector<float> zero, dx, dy, tint, lanes;
    explicit Workspace(int64_t n) : field(n), image(n), zero(n), dx(n), dy(n), tint(n), lanes(n * LANES) {}

    // Locate a view's row in the field coord (2, h, w), and in an image, moved by the field.
    void locate(const float* t, int64_t y, const float* coord, int64_t height, int64_t width, int64_t h, int64_t w) {
        Line(t, field.n, y, h, w).locate(field, zero.data(), zero.data());
        field.interpolate(coord, zero.data(), dx.data());
        field.interpolate(coord + h * w, zero.data(), dy.data());
        Line(t, field.n, y, height, width).locate(image, dx.data(), dy.data());
    }
};

VECTORIZED void change_contrast(float* __restrict row, int64_t n, float gain) {
    for (int64_t i = 0; i < n; ++i) row[i] = (row[i] - 0.5f) * gain + 0.5f;
}

// Put the gradients of n points to coord, (2, area), and to color, gain * cotangent (3, area), into lanes.
inline void pack(const float* __restrict d_coord, const float* __restrict cotangent, int64_t area, int64_t n,
                 float gain, float* __restrict out) {
    for (int64_t i = 0; i < n; ++i) {
        float* lanes = out + i * LANES;
        lanes[0] = d_coord[i], lanes[1] = d_coord[area + i];
        for (int64_t c = 0; c < 3; ++c) lanes[2 + c] = gain * cotangent[c * area + i];
    }
}

// The transpose of interpolate: add each point's lanes to the nodes that it read, in the order of the points; only to
// the nodes from `begin`, the first of a row, to before `end`, the first of another.
VECTORIZED void scatter_add(const float* __restrict lanes, int64_t n, const Row& row, int64_t begin, int64_t end,
                            float* __restrict nodes) {
    for (int64_t i = 0; i < n; ++i) {
        const int64_t above = row.corner[i], below = above + row.down;
        const Lanes point = *reinterpret_cast<const Lanes*>(lanes + i * LANES);
        const float x = row.wx[i], y = row.wy[i];
        const Lanes left = point * (1 - x), right = point * x;
        if (above >= begin && above < end) {
            *reinterpret_cast<Lanes*>(nodes + above * LANES) += left * (1 - y);
            *reinterpret_cast<Lanes*>(nodes + (above + 1) * LANES) += right * (1 - y);
        }
        if (below >= begin && below < end) {
            *reinterpret_cast<Lanes*>(nodes + below * LANES) += left * y;
            *reinterpret_cast<Lanes*>(nodes + (below + 1) * LANES) += right * y;
        }
    }
}

}  // namespace

// image (3, height, width), coord (2, h, w), color (3, h, w), theta (views, 2, 3), gain (views) ->
// out (views, 3, size, size).
EXPORT void render_views_forward(const float* image, const float* coord, const float* color, const float* theta,
                                 const float* gain, float* out, int64_t views, int64_t height, int64_t width,
                                 int64_t h, int64_t w, int64_t size, int threads) {
#pragma omp parallel num_threads(threads)
    {
        Workspace space(size);
#pragma omp for schedule(static)
        for (int64_t job = 0; job < views * size; ++job) {
            const int64_t view = job / size, y = job % size;
            space.locate(theta + view * 6, y, coord, height, width, h, w);
            for (int64_t c = 0; c < 3; ++c) {
                float* line = out + ((view * 3 + c) * size + y) * size;
                space.field.interpolate(color + c * h * w, space.zero.data(), space.tint.data());
                space.image.interpolate(image + c * height * width, space.tint.data(), line);
                change_contrast(line, size, gain[view]);
            }
        }
    }
}

// With cotangent (views, 3, size, size): the gradients to coord and color. The points' own gradients are computed by
// rows of the views, and added up by bands of the field's rows, each in the order of the points: the sums do not
// depend on which thread computes a band.
EXPORT void render_views_backward(const float* image, const float* coord, const float* color, const float* theta,
                                  const float* gain, const float* cotangent, float* d_coord, float* d_color,
                                  int64_t views, int64_t height, int64_t width, int64_t h, int64_t w, int64_t size,
                                  int threads) {
    const int64_t area = size * size;
    std::vector<float> d_points(views * 2 * area), nodes(h * w * LANES);
#pragma omp parallel num_threads(threads)
    {
        Workspace space(size);
#pragma omp for schedule(static)
        for (int64_t job = 0; job < views * size; ++job) {
            const int64_t view = job / size, y = job % size;
            space.locate(theta + view * 6, y, coord, height, width, h, w);
            float *px = d_points.data() + view * 2 * area + y * size, *py = px + area;
            for (int64_t c = 0; c < 3; ++c)
                space.image.coord_gradient(image + c * height * width,
                                           cotangent + ((view * 3 + c) * size + y) * size, px, py);
            for (int64_t i = 0; i < size; ++i) {
                px[i] *= gain[view] * space.image.slope_x[i];
                py[i] *= gain[view] * space.image.slope_y[i];
            }
        }
#pragma omp for schedule(static, 1)
        for (int64_t band = 0; band < threads; ++band) {
            const int64_t begin = h * band / threads, end = h * (band + 1) / threads;
            for (int64_t job = 0; job < views * size; ++job) {
                const int64_t view = job / size, y = job % size;
                const Line line(theta + view * 6, size, y, h, w);
                if (!line.reads(size, begin, end)) continue;
                line.locate(space.field, space.zero.data(), space.zero.data());
                pack(d_points.data() + view * 2 * area + y * size, cotangent + view * 3 * area + y * size, area, size,
                     gain[view], space.lanes.data());
                scatter_add(space.lanes.data(), size, space.field, begin * w, end * w, nodes.data());
            }
            for (int64_t at = begin * w; at < end * w; ++at) {
                const float* lanes = nodes.data() + at * LANES;
                for (int64_t c = 0; c < 2; ++c) d_coord[c * h * w + at] = lanes[c];
                for (int64_t c = 0; c < 3; ++c) d_color[c * h * w + at] = lanes[2 + c];
            }
        }
    }
}
