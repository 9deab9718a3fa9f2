// The meaning is in reference.py.

#include "../bilinear.h"

namespace {

// What is the same for every row of every view.
struct Scene {
    const float *image, *coord, *color, *theta, *gain;
    int64_t views, height, width, h, w, size;

    // The points of a view's row y, over a plane of so many rows and columns, moved by offsets.
    void aim(Row& row, int64_t view, int64_t y, const float* dx, const float* dy, int64_t rows, int64_t columns) const {
        const float* t = theta + view * 6;
        const double n = static_cast<double>(size), first = 1 / n - 1, down = (2 * static_cast<double>(y) + 1) / n - 1;
        const double x = t[0] * first + t[1] * down + t[2], y0 = t[3] * first + t[4] * down + t[5];
        const double half_w = 0.5 * static_cast<double>(columns), half_h = 0.5 * static_cast<double>(rows);
        row.aim(dx, dy, static_cast<float>((x + 1) * half_w - 0.5), static_cast<float>(2 * t[0] / n * half_w),
                static_cast<float>((y0 + 1) * half_h - 0.5), static_cast<float>(2 * t[3] / n * half_h), rows, columns);
    }

    // Whether a view's row y may read the lattice's rows from `begin` to before `end`.
    bool reads(int64_t view, int64_t y, int64_t begin, int64_t end) const {
        const float* t = theta + view * 6;
        const double n = static_cast<double>(size), first = 1 / n - 1, down = (2 * static_cast<double>(y) + 1) / n - 1;
        const double half = 0.5 * static_cast<double>(h), last = static_cast<double>(h - 1);
        const double one = (t[3] * first + t[4] * down + t[5] + 1) * half - 0.5;
        const double other = one - 2 * first * t[3] * half;  // at the row's other end
        const double low = std::min(std::max(std::min(one, other), 0.0), last) - 1;  // and one more, for rounding
        const double high = std::min(std::max(std::max(one, other), 0.0), last) + 2;
        return high >= static_cast<double>(begin) && low < static_cast<double>(end);
    }
};

// A point's gradients to the five planes of the lattice lie side by side, so that one vector takes them to a node.
constexpr int64_t LANES = 8;
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

// Room for one row of points.
struct Bench {
    Row lattice, source;
    std::vector<float> zero, dx, dy, tint, given;
    explicit Bench(int64_t n) : lattice(n), source(n), zero(n), dx(n), dy(n), tint(n), given(n * LANES) {}

    void aim(const Scene& s, int64_t view, int64_t y) {
        s.aim(lattice, view, y, zero.data(), zero.data(), s.h, s.w);
        lattice.read(s.coord, zero.data(), dx.data());
        lattice.read(s.coord + s.h * s.w, zero.data(), dy.data());
        s.aim(source, view, y, dx.data(), dy.data(), s.height, s.width);
    }
};

VECTORIZED void contrast(float* __restrict row, int64_t n, float gain) {
    for (int64_t i = 0; i < n; ++i) row[i] = (row[i] - 0.5f) * gain + 0.5f;
}

// From the pull (2, area) and the cotangent (3, area) of n points, whose light is changed by a gain.
inline void pack(const float* __restrict pull, const float* __restrict cotangent, int64_t area, int64_t n, float gain,
                 float* __restrict out) {
    for (int64_t i = 0; i < n; ++i) {
        float* lanes = out + i * LANES;
        lanes[0] = pull[i], lanes[1] = pull[area + i];
        for (int64_t c = 0; c < 3; ++c) lanes[2 + c] = gain * cotangent[c * area + i];
    }
}

// The transpose of reading: what each of n points gives to the nodes that it read, in the points' order; to those from
// `begin`, the first of a row, to before `end`, the first of another.
VECTORIZED void give(const float* __restrict given, int64_t n, const Row& row, int64_t begin, int64_t end,
                     float* __restrict nodes) {
    for (int64_t i = 0; i < n; ++i) {
        const int64_t above = row.corner[i], below = above + row.down;
        const Lanes point = *reinterpret_cast<const Lanes*>(given + i * LANES);
        const float x = row.x.weight[i], y = row.y.weight[i];
        const Lanes left = point * (1 - x), right = point * x;
        if (above >= begin && above < end) {
            *reinterpret_cast<Lanes*>(nodes + above * LANES) += left * (1 - y);
            *reinterpret_cast<Lanes*>(nodes + (above + row.right) * LANES) += right * (1 - y);
        }
        if (below >= begin && below < end) {
            *reinterpret_cast<Lanes*>(nodes + below * LANES) += left * y;
            *reinterpret_cast<Lanes*>(nodes + (below + row.right) * LANES) += right * y;
        }
    }
}

}  // namespace

// image (3, H, W), coord (2, h, w), color (3, h, w), theta (views, 2, 3), gain (views) -> out (views, 3, size, size).
EXPORT void look_forward(const float* image, const float* coord, const float* color, const float* theta,
                         const float* gain, float* out, int64_t views, int64_t height, int64_t width, int64_t h,
                         int64_t w, int64_t size, int threads) {
    const Scene scene{image, coord, color, theta, gain, views, height, width, h, w, size};
#pragma omp parallel num_threads(threads)
    {
        Bench bench(size);
#pragma omp for schedule(static)
        for (int64_t job = 0; job < views * size; ++job) {
            const int64_t view = job / size, y = job % size;
            bench.aim(scene, view, y);
            for (int64_t c = 0; c < 3; ++c) {
                float* line = out + ((view * 3 + c) * size + y) * size;
                bench.lattice.read(color + c * h * w, bench.zero.data(), bench.tint.data());
                bench.source.read(image + c * height * width, bench.tint.data(), line);
                contrast(line, size, gain[view]);
            }
        }
    }
}

// With cotangent (views, 3, size, size): the gradients to coord and to color. What each point gives is worked out by
// rows, and summed in the points' order, whichever thread a row of the lattice falls to.
EXPORT void look_backward(const float* image, const float* coord, const float* color, const float* theta,
                          const float* gain, const float* cotangent, float* d_coord, float* d_color, int64_t views,
                          int64_t height, int64_t width, int64_t h, int64_t w, int64_t size, int threads) {
    const Scene scene{image, coord, color, theta, gain, views, height, width, h, w, size};
    const int64_t area = size * size;
    std::vector<float> pull(views * 2 * area);  // of each point along x and y
    std::vector<float> nodes(h * w * LANES);
#pragma omp parallel num_threads(threads)
    {
        Bench bench(size);
#pragma omp for schedule(static)
        for (int64_t job = 0; job < views * size; ++job) {
            const int64_t view = job / size, y = job % size;
            bench.aim(scene, view, y);
            float *px = pull.data() + view * 2 * area + y * size, *py = px + area;
            for (int64_t c = 0; c < 3; ++c)
                bench.source.add_slope(image + c * height * width, cotangent + ((view * 3 + c) * size + y) * size, px, py);
            for (int64_t i = 0; i < size; ++i) {
                px[i] *= gain[view] * bench.source.x.inside[i];
                py[i] *= gain[view] * bench.source.y.inside[i];
            }
        }
#pragma omp for schedule(static, 1)
        for (int64_t band = 0; band < threads; ++band) {  // of the lattice's rows
            const int64_t begin = h * band / threads, end = h * (band + 1) / threads;
            for (int64_t job = 0; job < views * size; ++job) {
                const int64_t view = job / size, y = job % size;
                if (!scene.reads(view, y, begin, end)) continue;
                scene.aim(bench.lattice, view, y, bench.zero.data(), bench.zero.data(), h, w);
                pack(pull.data() + view * 2 * area + y * size, cotangent + view * 3 * area + y * size, area, size,
                     gain[view], bench.given.data());
                give(bench.given.data(), size, bench.lattice, begin * w, end * w, nodes.data());
            }
            for (int64_t at = begin * w; at < end * w; ++at) {
                const float* lanes = nodes.data() + at * LANES;
                for (int64_t c = 0; c < 2; ++c) d_coord[c * h * w + at] = lanes[c];
                for (int64_t c = 0; c < 3; ++c) d_color[c * h * w + at] = lanes[2 + c];
            }
        }
    }
}
