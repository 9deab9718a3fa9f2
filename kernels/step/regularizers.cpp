// Compiled form of regularizers in reference.py.

#include "../native.h"

namespace {

enum Term { BENDING, SHIFT, TINT, TINT_SMOOTHNESS, FOLD, TERMS };  // as REGULARIZERS in reference.py

// The factors of each term's sums: one over the count that its mean is taken of, and the units.
struct Scale {
    double xx, yy, xy, area, smooth_x, smooth_y;
    float dx, dy;  // from a difference of neighbors two apart to a slope

    Scale(int64_t h, int64_t w) {
        const double step = 2.0 / static_cast<double>(w), bend = 1 / (step * step * step * step);
        xx = bend / static_cast<double>(2 * h * (w - 2));
        yy = bend / static_cast<double>(2 * (h - 2) * w);
        xy = 2 * bend / static_cast<double>(2 * (h - 1) * (w - 1));
        area = 1 / static_cast<double>(h * w);
        smooth_x = 1 / (step * step * static_cast<double>(3 * h * (w - 1)));
        smooth_y = 1 / (step * step * static_cast<double>(3 * (h - 1) * w));
        dx = 0.25f * static_cast<float>(w), dy = 0.25f * static_cast<float>(h);
    }
};

// Along x the three are one row shifted by one, along y a row and its neighbors.
VECTORIZED void second_difference(const float* __restrict before, const float* __restrict here,
                                  const float* __restrict after, int64_t n, float* __restrict out) {
    for (int64_t i = 0; i < n; ++i) out[i] = after[i] - 2 * here[i] + before[i];
}

VECTORIZED void mixed_difference(const float* __restrict here, const float* __restrict below, int64_t n,
                                 float* __restrict out) {
    for (int64_t i = 0; i < n; ++i) out[i] = (below[i + 1] - below[i]) - (here[i + 1] - here[i]);
}

VECTORIZED void weighted_difference(const float* __restrict a, const float* __restrict b,
                                    const float* __restrict weight, int64_t n, float* __restrict out) {
    for (int64_t i = 0; i < n; ++i) out[i] = (b[i] - a[i]) * weight[i];
}

VECTORIZED double sum_squares(const float* __restrict x, int64_t n) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
    return sum;
}

VECTORIZED double sum_weighted_squares(const float* __restrict a, const float* __restrict b,
                                       const float* __restrict weight, int64_t n) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) {
        const float d = b[i] - a[i];
        sum += d * d * weight[i];
    }
    return sum;
}

// The squared length of each of n vectors whose C components are `stride` apart, rounded off.
template <int C>
inline float squared_length(const float* v, int64_t stride, float rounding) {
    float sum = v[0] * v[0];
    for (int c = 1; c < C; ++c) sum += v[c * stride] * v[c * stride];
    return sum + rounding * rounding;
}

template <int C>
VECTORIZED double length_forward(const float* __restrict v, int64_t stride, const float* __restrict price, int64_t n,
                                 float rounding) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i)
        sum += price[i] * (std::sqrt(squared_length<C>(v + i, stride, rounding)) - rounding);
    return sum;
}

template <int C>
VECTORIZED void length_backward(const float* __restrict v, int64_t stride, const float* __restrict price, int64_t n,
                                float rounding, float factor, float* __restrict d_v) {
    for (int64_t i = 0; i < n; ++i) {
        const float scale = factor * price[i] / std::sqrt(squared_length<C>(v + i, stride, rounding));
        for (int c = 0; c < C; ++c) d_v[c * stride + i] = scale * v[c * stride + i];
    }
}

VECTORIZED void scaled_difference(const float* __restrict a, const float* __restrict b, float factor, int64_t n,
                                  float* __restrict out) {
    for (int64_t i = 0; i < n; ++i) out[i] = (b[i] - a[i]) * factor;
}

// The slopes of coord along row y, by central differences that are one-sided at the border: d coord_x / dx,
// d coord_y / dx, d coord_x / dy and d coord_y / dy, `stride` apart.
void read_slopes(const float* coord, int64_t y, int64_t h, int64_t w, const Scale& scale, float* out, int64_t stride) {
    const int64_t up = y > 0 ? y - 1 : 0, down = y < h - 1 ? y + 1 : h - 1;
    for (int64_t c = 0; c < 2; ++c) {
        const float *plane = coord + c * h * w, *here = plane + y * w;
        float *dx = out + c * stride, *dy = out + (2 + c) * stride;
        scaled_difference(here, here + 2, scale.dx, w - 2, dx + 1);
        dx[0] = (here[1] - here[0]) * (2 * scale.dx);
        dx[w - 1] = (here[w - 1] - here[w - 2]) * (2 * scale.dx);
        scaled_difference(plane + up * w, plane + down * w, down - up == 2 ? scale.dy : 2 * scale.dy, w, dy);
    }
}

// The hinge on the determinant of identity plus slopes.
VECTORIZED double fold_forward(const float* __restrict slopes, int64_t n, float least) {
    const float *xx = slopes, *xy = xx + n, *yx = xy + n, *yy = yx + n;
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) {
        const float missing = least - ((1 + xx[i]) * (1 + yy[i]) - xy[i] * yx[i]);
        sum += missing > 0 || missing != missing ? missing : 0;  // a NaN stays one
    }
    return sum;
}

// Replace slopes by the gradient of the hinge to them, times factor.
VECTORIZED void fold_backward(float* __restrict xx, float* __restrict xy, float* __restrict yx, float* __restrict yy,
                              int64_t n, float least, float factor) {
    for (int64_t i = 0; i < n; ++i) {
        const float a = 1 + xx[i], b = xy[i], c = yx[i], d = 1 + yy[i];
        const float active = least - (a * d - b * c) > 0 ? factor : 0.0f;
        xx[i] = -active * d, xy[i] = active * c, yx[i] = active * b, yy[i] = -active * a;
    }
}

VECTORIZED void add(const float* __restrict from, float factor, int64_t n, float* __restrict to) {
    for (int64_t i = 0; i < n; ++i) to[i] += factor * from[i];
}

// The transpose of read_slopes along x.
void slope_x_backward(const float* s, float f, int64_t w, float* out) {
    add(s + 1, f, w - 2, out + 2);
    add(s + 1, -f, w - 2, out);
    out[1] += 2 * f * s[0], out[0] -= 2 * f * s[0];
    out[w - 1] += 2 * f * s[w - 1], out[w - 2] -= 2 * f * s[w - 1];
}

// And along y, gathered for one row.
void slope_y_backward(const float* plane, int64_t y, int64_t h, int64_t w, float f, float* out) {
    const auto factor = [&](int64_t row) { return row == 0 || row == h - 1 ? 2 * f : f; };
    const int64_t above = y > 0 ? y - 1 : 0, below = y < h - 1 ? y + 1 : h - 1;
    const float sign_above = y > 0 ? 1.0f : -1.0f, sign_below = y < h - 1 ? -1.0f : 1.0f;
    add(plane + above * w, sign_above * factor(above), w, out);
    add(plane + below * w, sign_below * factor(below), w, out);
}

// Add the gradient of one plane's bending energy to its row y; xx, yy, xy are twice the factor of each sum.
void bending_backward(const float* plane, int64_t y, int64_t h, int64_t w, float xx, float yy, float xy, float* buffer,
                      float* out) {
    const auto row = [&](int64_t r) { return plane + r * w; };
    second_difference(row(y), row(y) + 1, row(y) + 2, w - 2, buffer);
    add(buffer, xx, w - 2, out);
    add(buffer, -2 * xx, w - 2, out + 1);
    add(buffer, xx, w - 2, out + 2);
    for (int64_t r = y - 1; r <= y + 1; ++r) {
        if (r < 1 || r > h - 2) continue;
        second_difference(row(r - 1), row(r), row(r + 1), w, buffer);
        add(buffer, r == y ? -2 * yy : yy, w, out);
    }
    for (int64_t r = y - 1; r <= y; ++r) {
        if (r < 0 || r > h - 2) continue;
        mixed_difference(row(r), row(r + 1), w - 1, buffer);
        const float sign = r == y ? xy : -xy;
        add(buffer, sign, w - 1, out);
        add(buffer, -sign, w - 1, out + 1);
    }
}

}  // namespace

// coord (2, h, w), color (3, h, w), price (2, h, w), even_x (h, w - 1), even_y (h - 1, w) -> out (TERMS).
EXPORT void regularizers_forward(const float* coord, const float* color, const float* price, const float* even_x,
                                 const float* even_y, float* out, int64_t h, int64_t w, float shift_rounding,
                                 float tint_rounding, float least_area, int threads) {
    const Scale scale(h, w);
    std::vector<double> sums(h * TERMS, 0.0);
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> buffer(w), slopes(4 * w);
#pragma omp for schedule(static)
        for (int64_t y = 0; y < h; ++y) {
            double* sum = sums.data() + y * TERMS;
            for (int64_t c = 0; c < 2; ++c) {
                const float* row = coord + (c * h + y) * w;
                second_difference(row, row + 1, row + 2, w - 2, buffer.data());
                sum[BENDING] += scale.xx * sum_squares(buffer.data(), w - 2);
                if (y > 0 && y < h - 1) {
                    second_difference(row - w, row, row + w, w, buffer.data());
                    sum[BENDING] += scale.yy * sum_squares(buffer.data(), w);
                }
                if (y < h - 1) {
                    mixed_difference(row, row + w, w - 1, buffer.data());
                    sum[BENDING] += scale.xy * sum_squares(buffer.data(), w - 1);
                }
            }
            sum[SHIFT] = scale.area * length_forward<2>(coord + y * w, h * w, price + y * w, w, shift_rounding);
            sum[TINT] = scale.area * length_forward<3>(color + y * w, h * w, price + (h + y) * w, w, tint_rounding);
            for (int64_t c = 0; c < 3; ++c) {
                const float* row = color + (c * h + y) * w;
                double& smoothness = sum[TINT_SMOOTHNESS];
                smoothness += scale.smooth_x * sum_weighted_squares(row, row + 1, even_x + y * (w - 1), w - 1);
                if (y < h - 1) smoothness += scale.smooth_y * sum_weighted_squares(row, row + w, even_y + y * w, w);
            }
            read_slopes(coord, y, h, w, scale, slopes.data(), w);
            sum[FOLD] = scale.area * fold_forward(slopes.data(), w, least_area);
        }
    }
    for (int64_t term = 0; term < TERMS; ++term) {
        double total = 0;
        for (int64_t y = 0; y < h; ++y) total += sums[y * TERMS + term];
        out[term] = static_cast<float>(total);
    }
}

// With cotangent (TERMS): the gradients to coord and color.
EXPORT void regularizers_backward(const float* coord, const float* color, const float* price, const float* even_x,
                                  const float* even_y, const float* cotangent, float* d_coord, float* d_color,
                                  int64_t h, int64_t w, float shift_rounding, float tint_rounding, float least_area,
                                  int threads) {
    const Scale scale(h, w);
    const auto twice = [&](Term term, double factor) { return static_cast<float>(2 * factor) * cotangent[term]; };
    const auto mean = [&](Term term) { return static_cast<float>(scale.area) * cotangent[term]; };
    const float xx = twice(BENDING, scale.xx), yy = twice(BENDING, scale.yy), xy = twice(BENDING, scale.xy);
    const float along_x = twice(TINT_SMOOTHNESS, scale.smooth_x), along_y = twice(TINT_SMOOTHNESS, scale.smooth_y);
    std::vector<float> d_slopes(4 * h * w);  // xx, xy, yx, yy
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> buffer(w);
#pragma omp for schedule(static)
        for (int64_t y = 0; y < h; ++y) {
            float* row = d_slopes.data() + y * w;
            read_slopes(coord, y, h, w, scale, row, h * w);
            fold_backward(row, row + h * w, row + 2 * h * w, row + 3 * h * w, w, least_area, mean(FOLD));
        }
#pragma omp for schedule(static)
        for (int64_t y = 0; y < h; ++y) {
            length_backward<2>(coord + y * w, h * w, price + y * w, w, shift_rounding, mean(SHIFT), d_coord + y * w);
            for (int64_t c = 0; c < 2; ++c) {
                float* out = d_coord + (c * h + y) * w;
                bending_backward(coord + c * h * w, y, h, w, xx, yy, xy, buffer.data(), out);
                slope_x_backward(d_slopes.data() + (c * h + y) * w, scale.dx, w, out);
                slope_y_backward(d_slopes.data() + (2 + c) * h * w, y, h, w, scale.dy, out);
            }
            length_backward<3>(color + y * w, h * w, price + (h + y) * w, w, tint_rounding, mean(TINT),
                               d_color + y * w);
            for (int64_t c = 0; c < 3; ++c) {
                const float* row = color + (c * h + y) * w;
                float* out = d_color + (c * h + y) * w;
                weighted_difference(row, row + 1, even_x + y * (w - 1), w - 1, buffer.data());
                add(buffer.data(), along_x, w - 1, out + 1);
                add(buffer.data(), -along_x, w - 1, out);
                for (int64_t s = y - 1; s <= y; ++s) {
                    if (s < 0 || s > h - 2) continue;
                    weighted_difference(row + (s - y) * w, row + (s - y + 1) * w, even_y + s * w, w, buffer.data());
                    add(buffer.data(), s == y ? -along_y : along_y, w, out);
                }
            }
        }
    }
}
