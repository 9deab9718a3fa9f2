// The meaning is in reference.py.

#include "../native.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace {

constexpr uint32_t PRIME = 2654435761u;  // multiplies y (Müller et al. 2022, Eq. 4)

struct Level {
    int32_t resolution, entries, dense;
};

// Modulo the level's entries, but without a division wherever that can be.
inline int64_t row_of(int32_t x, int32_t y, const Level& level) {
    const auto entries = static_cast<uint32_t>(level.entries);
    if (level.dense) {
        const int64_t row = x + static_cast<int64_t>(y) * level.resolution;
        return row < level.entries ? row : row % level.entries;
    }
    const uint32_t row = static_cast<uint32_t>(x) ^ (static_cast<uint32_t>(y) * PRIME);
    return (entries & (entries - 1)) == 0 ? row & (entries - 1) : row % entries;
}

// A row of the table holds F features; F = 0 stands for a number not known when compiling.
template <int F>
struct Features {
    int64_t n;
    explicit Features(int64_t given) : n(F ? F : given) {}
    int64_t operator()() const { return F ? F : n; }
};

// One level of a lattice of points: cells ascend along each axis, so the vertices that a row of points reads
// are few, and neighbouring rows mostly read the same ones.
struct Axis {
    const int32_t* cell;
    const float* weight;
    int64_t n;
};

// Where a row of points keeps the vertices it reads: one slot for each, or, where they are sparser than the
// points' cells, two for each point.
struct Slots {
    bool packed;
    int64_t count;
    explicit Slots(const Axis& x)
        : packed(x.cell[x.n - 1] + 2 - x.cell[0] <= 2 * x.n), count(packed ? x.cell[x.n - 1] + 2 - x.cell[0] : 2 * x.n) {}
    int64_t of(const Axis& x, int64_t i) const { return packed ? x.cell[i] - x.cell[0] : 2 * i; }
    int32_t vertex(const Axis& x, int64_t slot) const {
        return packed ? x.cell[0] + static_cast<int32_t>(slot) : x.cell[slot / 2] + static_cast<int32_t>(slot % 2);
    }
};

template <int F>
void gather_line(const float* table, const Level& level, const Axis& x, const Slots& slots, int32_t y, float* line,
                 Features<F> nf) {
    for (int64_t s = 0; s < slots.count; ++s) {
        const float* source = table + row_of(slots.vertex(x, s), y, level) * nf();
        for (int64_t f = 0; f < nf(); ++f) line[s * nf() + f] = source[f];
    }
}

template <int F>
void scatter_line(float* table, const Level& level, const Axis& x, const Slots& slots, int32_t y, float* line,
                  Features<F> nf) {
    for (int64_t s = 0; s < slots.count; ++s) {
        float* target = table + row_of(slots.vertex(x, s), y, level) * nf();
        for (int64_t f = 0; f < nf(); ++f) target[f] += line[s * nf() + f];
    }
    std::memset(line, 0, sizeof(float) * slots.count * nf());
}

template <int F>
VECTORIZED void read_row(const Axis& x, const Slots& slots, float wy, const float* upper, const float* lower,
                         float* mixed, float* out, int64_t stride, Features<F> nf) {
    for (int64_t k = 0; k < slots.count * nf(); ++k) mixed[k] = upper[k] * (1 - wy) + lower[k] * wy;
    for (int64_t i = 0; i < x.n; ++i) {
        const float* a = mixed + slots.of(x, i) * nf();
        const float w = x.weight[i];
        for (int64_t f = 0; f < nf(); ++f) out[i * stride + f] = a[f] * (1 - w) + a[nf() + f] * w;
    }
}

template <int F>
VECTORIZED void add_row(const Axis& x, const Slots& slots, float wy, float* upper, float* lower, float* mixed,
                        const float* cotangent, int64_t stride, Features<F> nf) {
    std::memset(mixed, 0, sizeof(float) * slots.count * nf());
    for (int64_t i = 0; i < x.n; ++i) {
        float* a = mixed + slots.of(x, i) * nf();
        const float w = x.weight[i];
        for (int64_t f = 0; f < nf(); ++f) {
            const float g = cotangent[i * stride + f];
            a[f] += g * (1 - w);
            a[nf() + f] += g * w;
        }
    }
    for (int64_t k = 0; k < slots.count * nf(); ++k) upper[k] += mixed[k] * (1 - wy), lower[k] += mixed[k] * wy;
}

template <int F>
void lattice_forward(const float* table, const Level* levels, const int32_t* cells, const float* weights, float* out,
                     int64_t n_levels, int64_t table_size, Features<F> nf, int64_t h, int64_t w, int threads) {
    expect_to_fill(out, h * w * n_levels * nf() * static_cast<int64_t>(sizeof(float)));
#pragma omp parallel num_threads(threads)
    {
        const int64_t line = 2 * w * nf();
        std::vector<float> lines(n_levels * 2 * line), mixed(line);
        std::vector<int32_t> at(n_levels, -2);
#pragma omp for schedule(static)
        for (int64_t y = 0; y < h; ++y) {
            for (int64_t l = 0; l < n_levels; ++l) {
                const Axis x{cells + l * (w + h), weights + l * (w + h), w};
                const Slots slots(x);
                const float* own = table + l * table_size * nf();
                float* upper = lines.data() + l * 2 * line;
                float* lower = upper + line;
                const int32_t cell = x.cell[w + y];
                if (cell != at[l]) {
                    if (cell == at[l] + 1)
                        std::memcpy(upper, lower, sizeof(float) * slots.count * nf());
                    else
                        gather_line<F>(own, levels[l], x, slots, cell, upper, nf);
                    gather_line<F>(own, levels[l], x, slots, cell + 1, lower, nf);
                    at[l] = cell;
                }
                read_row<F>(x, slots, x.weight[w + y], upper, lower, mixed.data(),
                            out + (y * w * n_levels + l) * nf(), n_levels * nf(), nf);
            }
        }
    }
}

template <int F>
void lattice_backward(const float* cotangent, const Level* levels, const int32_t* cells, const float* weights,
                      float* d_table, int64_t n_levels, int64_t table_size, Features<F> nf, int64_t h, int64_t w,
                      int threads) {
#pragma omp parallel num_threads(threads)
    {
        const int64_t line = 2 * w * nf();
        std::vector<float> mixed(line), lines(n_levels * 2 * line, 0.0f);
        // Rows outside, so that a row of the cotangent is read from memory once for all of a thread's levels.
        for (int64_t y = 0; y <= h; ++y) {
#pragma omp for schedule(static, 1) nowait  // fine levels cost more than coarse ones
            for (int64_t l = 0; l < n_levels; ++l) {
                const Axis x{cells + l * (w + h), weights + l * (w + h), w};
                const Slots slots(x);
                float* own = d_table + l * table_size * nf();
                float* upper = lines.data() + l * 2 * line;
                float* lower = upper + line;
                const int32_t at = x.cell[w + std::max<int64_t>(y - 1, 0)], cell = y < h ? x.cell[w + y] : at + 2;
                if (cell != at) {
                    scatter_line<F>(own, levels[l], x, slots, at, upper, nf);
                    if (cell == at + 1) {
                        std::memcpy(upper, lower, sizeof(float) * slots.count * nf());
                        std::memset(lower, 0, sizeof(float) * slots.count * nf());
                    } else {
                        scatter_line<F>(own, levels[l], x, slots, at + 1, lower, nf);
                    }
                }
                if (y < h)
                    add_row<F>(x, slots, x.weight[w + y], upper, lower, mixed.data(),
                               cotangent + (y * w * n_levels + l) * nf(), n_levels * nf(), nf);
            }
        }
    }
}

// The four rows around one point of any list, and its weights towards the second along x and y. In double, so that
// a fine level's fraction is exact. A NaN reads the first vertex, with a weight of NaN.
struct Corner {
    int64_t row[4];
    float x, y;
    Corner(const float* point, double scale, const Level& level) {
        const double px = std::max(0.0f, point[0]) * scale + 0.5, py = std::max(0.0f, point[1]) * scale + 0.5;
        const double lx = std::floor(px), ly = std::floor(py);
        const int32_t cx = static_cast<int32_t>(lx), cy = static_cast<int32_t>(ly);
        x = point[0] == point[0] ? static_cast<float>(px - lx) : point[0];
        y = point[1] == point[1] ? static_cast<float>(py - ly) : point[1];
        for (int k = 0; k < 4; ++k) row[k] = row_of(cx + (k & 1), cy + (k >> 1), level);
    }
};

template <int F>
void points_forward(const float* coords, const float* table, const Level* levels, const double* scales, float* out,
                    int64_t n, int64_t n_levels, int64_t table_size, Features<F> nf, int threads) {
    expect_to_fill(out, n * n_levels * nf() * static_cast<int64_t>(sizeof(float)));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < n; ++i)
        for (int64_t l = 0; l < n_levels; ++l) {
            const Corner c(coords + 2 * i, scales[l], levels[l]);
            const float* own = table + l * table_size * nf();
            for (int64_t f = 0; f < nf(); ++f) {
                const float upper = own[c.row[0] * nf() + f] * (1 - c.x) + own[c.row[1] * nf() + f] * c.x;
                const float lower = own[c.row[2] * nf() + f] * (1 - c.x) + own[c.row[3] * nf() + f] * c.x;
                out[(i * n_levels + l) * nf() + f] = upper * (1 - c.y) + lower * c.y;
            }
        }
}

template <int F>
void points_backward(const float* coords, const float* table, const float* cotangent, const Level* levels,
                     const double* scales, float* d_coords, float* d_table, int64_t n, int64_t n_levels,
                     int64_t table_size, Features<F> nf, int threads) {
#pragma omp parallel num_threads(threads)
    {
        if (d_table != nullptr) {
#pragma omp for schedule(static, 1)
            for (int64_t l = 0; l < n_levels; ++l) {
                float* own = d_table + l * table_size * nf();
                for (int64_t i = 0; i < n; ++i) {
                    const Corner c(coords + 2 * i, scales[l], levels[l]);
                    const float weight[4] = {(1 - c.x) * (1 - c.y), c.x * (1 - c.y), (1 - c.x) * c.y, c.x * c.y};
                    const float* g = cotangent + (i * n_levels + l) * nf();
                    for (int k = 0; k < 4; ++k)
                        for (int64_t f = 0; f < nf(); ++f) own[c.row[k] * nf() + f] += weight[k] * g[f];
                }
            }
        }
        if (d_coords != nullptr) {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < n; ++i) {
                double dx = 0, dy = 0;
                for (int64_t l = 0; l < n_levels; ++l) {
                    const Corner c(coords + 2 * i, scales[l], levels[l]);
                    const float* own = table + l * table_size * nf();
                    for (int64_t f = 0; f < nf(); ++f) {
                        const float v00 = own[c.row[0] * nf() + f], v10 = own[c.row[1] * nf() + f];
                        const float v01 = own[c.row[2] * nf() + f], v11 = own[c.row[3] * nf() + f];
                        const double g = cotangent[(i * n_levels + l) * nf() + f] * scales[l];
                        dx += g * ((v10 - v00) * (1 - c.y) + (v11 - v01) * c.y);
                        dy += g * ((v01 - v00) * (1 - c.x) + (v11 - v10) * c.x);
                    }
                }
                d_coords[2 * i] = static_cast<float>(dx), d_coords[2 * i + 1] = static_cast<float>(dy);
            }
        }
    }
}

}  // namespace

#define BY_FEATURES(call)                                          \
    switch (n_features) {                                          \
        case 1: call(1); break;                                    \
        case 2: call(2); break;                                    \
        case 4: call(4); break;                                    \
        case 8: call(8); break;                                    \
        default: call(0);                                          \
    }

// Tables (n_levels, table_size, n_features); a level's cells and weights: those of the w columns, then the h rows.
EXPORT void hash_lattice_forward(const float* table, const Level* levels, const int32_t* cells, const float* weights,
                                 float* out, int64_t n_levels, int64_t table_size, int64_t n_features, int64_t h,
                                 int64_t w, int threads) {
#define CALL(F)                                                                                              \
    lattice_forward<F>(table, levels, cells, weights, out, n_levels, table_size, Features<F>(n_features), h, \
                       w, threads)
    BY_FEATURES(CALL)
#undef CALL
}

// d_table is zeroed by the caller, here and below.
EXPORT void hash_lattice_backward(const float* cotangent, const Level* levels, const int32_t* cells,
                                  const float* weights, float* d_table, int64_t n_levels, int64_t table_size,
                                  int64_t n_features, int64_t h, int64_t w, int threads) {
#define CALL(F)                                                                                                        \
    lattice_backward<F>(cotangent, levels, cells, weights, d_table, n_levels, table_size, Features<F>(n_features), h, \
                        w, threads)
    BY_FEATURES(CALL)
#undef CALL
}

// coords (n, 2) in [0, 1], x before y.
EXPORT void hash_points_forward(const float* coords, const float* table, const Level* levels, const double* scales,
                                float* out, int64_t n, int64_t n_levels, int64_t table_size, int64_t n_features,
                                int threads) {
#define CALL(F) \
    points_forward<F>(coords, table, levels, scales, out, n, n_levels, table_size, Features<F>(n_features), threads)
    BY_FEATURES(CALL)
#undef CALL
}

// Either gradient may be null.
EXPORT void hash_points_backward(const float* coords, const float* table, const float* cotangent, const Level* levels,
                                 const double* scales, float* d_coords, float* d_table, int64_t n, int64_t n_levels,
                                 int64_t table_size, int64_t n_features, int threads) {
#define CALL(F)                                                                                           \
    points_backward<F>(coords, table, cotangent, levels, scales, d_coords, d_table, n, n_levels, table_size, \
                       Features<F>(n_features), threads)
    BY_FEATURES(CALL)
#undef CALL
}
