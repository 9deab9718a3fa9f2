// The meaning is in reference.py.

#include "../native.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace {

constexpr int64_t TERMS = 5;  // smooth, small, tint, even, fold

// What each term's sum is multiplied by: one over the count of what its mean is taken of, and units.
struct Scale {
    double xx, yy, xy, area, even_x, even_y;
    float dx, dy;  // of a difference of neighbours two apart, to a slope

    Scale(int64_t h, int64_t w) {
        const double step = 2.0 / static_cast<double>(w), bend = 1 / (step * step * step * step);
        xx = bend / static_cast<double>(2 * h * (w - 2));
        yy = bend / static_cast<double>(2 * (h - 2) * w);
        xy = 2 * bend / static_cast<double>(2 * (h - 1) * (w - 1));
        area = 1 / static_cast<double>(h * w);
        even_x = 1 / (step * step * static_cast<double>(3 * h * (w - 1)));
        even_y = 1 / (step * step * static_cast<double>(3 * (h - 1) * w));
        dx = 0.25f * static_cast<float>(w);
        dy = 0.25f * static_cast<float>(h);
    }
};

// What a row bends by, along x where the three are shifted by one and along y where they are its neighbours.
VECTORIZED void bend(const float* __restrict before, const float* __restrict here, const float* __restrict after,
                     int64_t n, float* __restrict out) {
    for (int64_t i = 0; i < n; ++i) out[i] = after[i] - 2 * here[i] + before[i];
}

VECTORIZED void twist(const float* __restrict here, const float* __restrict below, int64_t n, float* __restrict out) {
    for (int64_t i = 0; i < n; ++i) out[i] = (below[i + 1] - below[i]) - (here[i + 1] - here[i]);
}

VECTORIZED double squares(const float* __restrict x, int64_t n) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
    return sum;
}

VECTORIZED double rough(const float* __restrict a, const float* __restrict b, const float* __restrict weight,
                        int64_t n) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) {
        const float d = b[i] - a[i];
        sum += d * d * weight[i];
    }
    return sum;
}

VECTORIZED double length(const float* __restrict x, const float* __restrict y, const float* __restrict price,
                         int64_t n) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += price[i] * (std::sqrt(x[i] * x[i] + y[i] * y[i] + 1e-6f) - 1e-3f);
    return sum;
}

VECTORIZED double paint(const float* __restrict r, const float* __restrict g, const float* __restrict b,
                        const float* __restrict price, int64_t n) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i)
        sum += price[i] * (std::sqrt(r[i] * r[i] + g[i] * g[i] + b[i] * b[i] + 1e-4f) - 1e-2f);
    return sum;
}

// The Jacobian of p -> p + coord(p) along one row, by central differences that are one-sided at the border.
struct Slopes {
    std::vector<float> xx, xy, yx, yy;  // d coord_x / dx, d coord_y / dx, d coord_x / dy, d coord_y / dy
    explicit Slopes(int64_t w) : xx(w), xy(w), yx(w), yy(w) {}

    void read(const float* coord, int64_t y, int64_t h, int64_t w, const Scale& scale) {
        const int64_t up = y > 0 ? y - 1 : 0, down = y < h - 1 ? y + 1 : h - 1;
        const float dy = down - up == 2 ? scale.dy : 2 * scale.dy;
        for (int64_t c = 0; c < 2; ++c) {
            const float *plane = coord + c * h * w, *here = plane + y * w;
            float *dx = (c == 0 ? xx : xy).data(), *along = (c == 0 ? yx : yy).data();
            difference(here, here + 2, w - 2, scale.dx, dx + 1);
            dx[0] = (here[1] - here[0]) * (2 * scale.dx);
            dx[w - 1] = (here[w - 1] - here[w - 2]) * (2 * scale.dx);
            difference(plane + up * w, plane + down * w, w, dy, along);
        }
    }

    VECTORIZED static void difference(const float* __restrict a, const float* __restrict b, int64_t n, float factor,
                                      float* __restrict out) {
        for (int64_t i = 0; i < n; ++i) out[i] = (b[i] - a[i]) * factor;
    }
};

VECTORIZED double squeeze(const float* __restrict xx, const float* __restrict xy, const float* __restrict yx,
                          const float* __restrict yy, int64_t n, float least) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) {
        const float missing = least - ((1 + xx[i]) * (1 + yy[i]) - xy[i] * yx[i]);
        sum += missing > 0 || missing != missing ? missing : 0;  // a NaN stays one
    }
    return sum;
}

// Turn slopes into the gradient of the hinge to them, times factor.
VECTORIZED void press(float* __restrict xx, float* __restrict xy, float* __restrict yx, float* __restrict yy, int64_t n,
                      float least, float factor) {
    for (int64_t i = 0; i < n; ++i) {
        const float a = 1 + xx[i], b = xy[i], c = yx[i], d = 1 + yy[i];
        const float active = least - (a * d - b * c) > 0 ? factor : 0.0f;
        xx[i] = -active * d, xy[i] = active * c, yx[i] = active * b, yy[i] = -active * a;
    }
}

VECTORIZED void uneven(const float* __restrict a, const float* __restrict b, const float* __restrict weight, int64_t n,
                       float* __restrict out) {
    for (int64_t i = 0; i < n; ++i) out[i] = (b[i] - a[i]) * weight[i];
}

VECTORIZED void shorten(const float* __restrict x, const float* __restrict y, const float* __restrict price, int64_t n,
                        float factor, float* __restrict dx, float* __restrict dy) {
    for (int64_t i = 0; i < n; ++i) {
        const float pull = factor * price[i] / std::sqrt(x[i] * x[i] + y[i] * y[i] + 1e-6f);
        dx[i] = pull * x[i], dy[i] = pull * y[i];
    }
}

VECTORIZED void bleach(const float* __restrict r, const float* __restrict g, const float* __restrict b,
                       const float* __restrict price, int64_t n, float factor, float* __restrict dr,
                       float* __restrict dg, float* __restrict db) {
    for (int64_t i = 0; i < n; ++i) {
        const float pull = factor * price[i] / std::sqrt(r[i] * r[i] + g[i] * g[i] + b[i] * b[i] + 1e-4f);
        dr[i] = pull * r[i], dg[i] = pull * g[i], db[i] = pull * b[i];
    }
}

VECTORIZED void add(const float* __restrict from, float factor, int64_t n, float* __restrict to) {
    for (int64_t i = 0; i < n; ++i) to[i] += factor * from[i];
}

// The transpose of Slopes::read along x.
void add_slope_x(const float* s, float f, int64_t w, float* out) {
    add(s + 1, f, w - 2, out + 2);
    add(s + 1, -f, w - 2, out);
    out[1] += 2 * f * s[0], out[0] -= 2 * f * s[0];
    out[w - 1] += 2 * f * s[w - 1], out[w - 2] -= 2 * f * s[w - 1];
}

// And along y, gathered for one row.
void add_slope_y(const float* plane, int64_t y, int64_t h, int64_t w, float f, float* out) {
    const auto factor = [&](int64_t row) { return row == 0 || row == h - 1 ? 2 * f : f; };
    const int64_t above = y > 0 ? y - 1 : 0, below = y < h - 1 ? y + 1 : h - 1;
    const float sign_above = y > 0 ? 1.0f : -1.0f, sign_below = y < h - 1 ? -1.0f : 1.0f;
    add(plane + above * w, sign_above * factor(above), w, out);
    add(plane + below * w, sign_below * factor(below), w, out);
}

// The gradient of the bending energy of one plane to its row y; xx, yy, xy twice the factor of each sum.
void add_bend(const float* plane, int64_t y, int64_t h, int64_t w, float xx, float yy, float xy, float* buffer,
              float* out) {
    const auto row = [&](int64_t r) { return plane + r * w; };
    bend(row(y), row(y) + 1, row(y) + 2, w - 2, buffer);
    add(buffer, xx, w - 2, out);
    add(buffer, -2 * xx, w - 2, out + 1);
    add(buffer, xx, w - 2, out + 2);
    for (int64_t r = y - 1; r <= y + 1; ++r) {
        if (r < 1 || r > h - 2) continue;
        bend(row(r - 1), row(r), row(r + 1), w, buffer);
        add(buffer, r == y ? -2 * yy : yy, w, out);
    }
    for (int64_t r = y - 1; r <= y; ++r) {
        if (r < 0 || r > h - 2) continue;
        twist(row(r), row(r + 1), w - 1, buffer);
        const float sign = r == y ? xy : -xy;
        add(buffer, sign, w - 1, out);
        add(buffer, -sign, w - 1, out + 1);
    }
}

}  // namespace

// coord (2, h, w), color (3, h, w), price (2, h, w), even_x (h, w - 1), even_y (h - 1, w) -> out (5).
EXPORT void penalties_forward(const float* coord, const float* color, const float* price, const float* even_x,
                              const float* even_y, float* out, int64_t h, int64_t w, float least, int threads) {
    const Scale scale(h, w);
    std::vector<double> sums(h * TERMS, 0.0);
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> buffer(w);
        Slopes slopes(w);
#pragma omp for schedule(static)
        for (int64_t y = 0; y < h; ++y) {
            double* sum = sums.data() + y * TERMS;
            for (int64_t c = 0; c < 2; ++c) {
                const float* row = coord + (c * h + y) * w;
                bend(row, row + 1, row + 2, w - 2, buffer.data());
                sum[0] += scale.xx * squares(buffer.data(), w - 2);
                if (y > 0 && y < h - 1) {
                    bend(row - w, row, row + w, w, buffer.data());
                    sum[0] += scale.yy * squares(buffer.data(), w);
                }
                if (y < h - 1) {
                    twist(row, row + w, w - 1, buffer.data());
                    sum[0] += scale.xy * squares(buffer.data(), w - 1);
                }
            }
            sum[1] = scale.area * length(coord + y * w, coord + (h + y) * w, price + y * w, w);
            const float *r = color + y * w, *g = r + h * w, *b = g + h * w;
            sum[2] = scale.area * paint(r, g, b, price + (h + y) * w, w);
            for (const float* row : {r, g, b}) {
                sum[3] += scale.even_x * rough(row, row + 1, even_x + y * (w - 1), w - 1);
                if (y < h - 1) sum[3] += scale.even_y * rough(row, row + w, even_y + y * w, w);
            }
            slopes.read(coord, y, h, w, scale);
            sum[4] = scale.area * squeeze(slopes.xx.data(), slopes.xy.data(), slopes.yx.data(), slopes.yy.data(), w, least);
        }
    }
    for (int64_t term = 0; term < TERMS; ++term) {
        double total = 0;
        for (int64_t y = 0; y < h; ++y) total += sums[y * TERMS + term];
        out[term] = static_cast<float>(total);
    }
}

// With cotangent (5): the gradients to coord and to color.
EXPORT void penalties_backward(const float* coord, const float* color, const float* price, const float* even_x,
                               const float* even_y, const float* cotangent, float* d_coord, float* d_color, int64_t h,
                               int64_t w, float least, int threads) {
    const Scale scale(h, w);
    const auto twice = [&](int term, double factor) { return static_cast<float>(2 * factor) * cotangent[term]; };
    const float xx = twice(0, scale.xx), yy = twice(0, scale.yy), xy = twice(0, scale.xy);
    const float small = static_cast<float>(scale.area) * cotangent[1], tint = static_cast<float>(scale.area) * cotangent[2];
    const float even_dx = twice(3, scale.even_x), even_dy = twice(3, scale.even_y);
    const float press_by = static_cast<float>(scale.area) * cotangent[4];
    std::vector<float> pressed(4 * h * w);
    float* const pressed_xx = pressed.data();
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> buffer(w);
        Slopes slopes(w);
#pragma omp for schedule(static)
        for (int64_t y = 0; y < h; ++y) {
            slopes.read(coord, y, h, w, scale);
            press(slopes.xx.data(), slopes.xy.data(), slopes.yx.data(), slopes.yy.data(), w, least, press_by);
            int64_t k = 0;
            for (const auto* plane : {&slopes.xx, &slopes.xy, &slopes.yx, &slopes.yy})
                std::copy(plane->begin(), plane->end(), pressed_xx + (k++ * h + y) * w);
        }
#pragma omp for schedule(static)
        for (int64_t y = 0; y < h; ++y) {
            float *dx = d_coord + y * w, *dy = dx + h * w;
            shorten(coord + y * w, coord + (h + y) * w, price + y * w, w, small, dx, dy);
            for (int64_t c = 0; c < 2; ++c) {
                float* out = c == 0 ? dx : dy;
                add_bend(coord + c * h * w, y, h, w, xx, yy, xy, buffer.data(), out);
                add_slope_x(pressed_xx + (c * h + y) * w, scale.dx, w, out);
                add_slope_y(pressed_xx + (2 + c) * h * w, y, h, w, scale.dy, out);
            }
            const float *r = color + y * w, *g = r + h * w, *b = g + h * w;
            float* d = d_color + y * w;
            bleach(r, g, b, price + (h + y) * w, w, tint, d, d + h * w, d + 2 * h * w);
            for (int64_t c = 0; c < 3; ++c) {
                const float* row = color + (c * h + y) * w;
                float* out = d + c * h * w;
                uneven(row, row + 1, even_x + y * (w - 1), w - 1, buffer.data());
                add(buffer.data(), even_dx, w - 1, out + 1);
                add(buffer.data(), -even_dx, w - 1, out);
                for (int64_t s = y - 1; s <= y; ++s) {
                    if (s < 0 || s > h - 2) continue;
                    uneven(row + (s - y) * w, row + (s - y + 1) * w, even_y + s * w, w, buffer.data());
                    add(buffer.data(), s == y ? -even_dy : even_dy, w, out);
                }
            }
        }
    }
}
