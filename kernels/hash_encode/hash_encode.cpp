// Compiled form of reference.py.

#include "../native.h"

namespace {

constexpr uint32_t PRIME = 2654435761u;  // multiplies y (Müller et al. 2022, Eq. 4)

struct Level {
    int32_t resolution, entries, dense;
};

// The vertex's row of the table: modulo the level's entries, without a division where that is possible.
inline int64_t row_of(int32_t x, int32_t y, const Level& level) {
    const auto entries = static_cast<uint32_t>(level.entries);
    if (level.dense) {
        const int64_t row = x + static_cast<int64_t>(y) * level.resolution;
        return row < level.entries ? row : row % level.entries;
    }
    const uint32_t row = static_cast<uint32_t>(x) ^ (static_cast<uint32_t>(y) * PRIME);
    return (entries & (entries - 1)) == 0 ? row & (entries - 1) : row % entries;
}

// The four rows around a point, and its weights towards the second along x and y. In double, so that the fraction of a
// fine level is exact. A NaN reads the first vertex with a weight of NaN.
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

// A row of the table has F features; F = 0 stands for a number that is not known at compile time.
template <int F>
void forward(const float* coords, const float* table, const Level* levels, const double* scales, float* out, int64_t n,
             int64_t n_levels, int64_t table_size, int64_t n_features, int threads) {
    const int64_t nf = F ? F : n_features;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < n; ++i)
        for (int64_t l = 0; l < n_levels; ++l) {
            const Corner c(coords + 2 * i, scales[l], levels[l]);
            const float* own = table + l * table_size * nf;
            for (int64_t f = 0; f < nf; ++f) {
                const float upper = own[c.row[0] * nf + f] * (1 - c.x) + own[c.row[1] * nf + f] * c.x;
                const float lower = own[c.row[2] * nf + f] * (1 - c.x) + own[c.row[3] * nf + f] * c.x;
                out[(i * n_levels + l) * nf + f] = upper * (1 - c.y) + lower * c.y;
            }
        }
}

template <int F>
void backward(const float* coords, const float* table, const Level* levels, const double* scales,
              const float* cotangent, float* d_coords, float* d_table, int64_t n, int64_t n_levels, int64_t table_size,
              int64_t n_features, int threads) {
    const int64_t nf = F ? F : n_features;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static, 1)
        for (int64_t l = 0; l < (d_table != nullptr ? n_levels : 0); ++l) {
            float* own = d_table + l * table_size * nf;
            for (int64_t i = 0; i < n; ++i) {
                const Corner c(coords + 2 * i, scales[l], levels[l]);
                const float weight[4] = {(1 - c.x) * (1 - c.y), c.x * (1 - c.y), (1 - c.x) * c.y, c.x * c.y};
                const float* g = cotangent + (i * n_levels + l) * nf;
                for (int k = 0; k < 4; ++k)
                    for (int64_t f = 0; f < nf; ++f) own[c.row[k] * nf + f] += weight[k] * g[f];
            }
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < (d_coords != nullptr ? n : 0); ++i) {
            double dx = 0, dy = 0;
            for (int64_t l = 0; l < n_levels; ++l) {
                const Corner c(coords + 2 * i, scales[l], levels[l]);
                const float* own = table + l * table_size * nf;
                for (int64_t f = 0; f < nf; ++f) {
                    const float v00 = own[c.row[0] * nf + f], v10 = own[c.row[1] * nf + f];
                    const float v01 = own[c.row[2] * nf + f], v11 = own[c.row[3] * nf + f];
                    const double g = cotangent[(i * n_levels + l) * nf + f] * scales[l];
                    dx += g * ((v10 - v00) * (1 - c.y) + (v11 - v01) * c.y);
                    dy += g * ((v01 - v00) * (1 - c.x) + (v11 - v10) * c.x);
                }
            }
            d_coords[2 * i] = static_cast<float>(dx), d_coords[2 * i + 1] = static_cast<float>(dy);
        }
    }
}

template <typename Function>
Function* choose(int64_t n_features, Function* one, Function* two, Function* four, Function* eight, Function* any) {
    return n_features == 1 ? one : n_features == 2 ? two : n_features == 4 ? four : n_features == 8 ? eight : any;
}

}  // namespace

// coords (n, 2) in [0, 1], x before y; table (n_levels, table_size, n_features); levels (n_levels, 3) and scales
// (n_levels) -> out (n, n_levels, n_features).
EXPORT void hash_encode_forward(const float* coords, const float* table, const Level* levels, const double* scales,
                                float* out, int64_t n, int64_t n_levels, int64_t table_size, int64_t n_features,
                                int threads) {
    const auto run = choose(n_features, forward<1>, forward<2>, forward<4>, forward<8>, forward<0>);
    run(coords, table, levels, scales, out, n, n_levels, table_size, n_features, threads);
}

// Either gradient may be null; d_table is zeroed by the caller.
EXPORT void hash_encode_backward(const float* coords, const float* table, const Level* levels, const double* scales,
                                 const float* cotangent, float* d_coords, float* d_table, int64_t n, int64_t n_levels,
                                 int64_t table_size, int64_t n_features, int threads) {
    const auto run = choose(n_features, backward<1>, backward<2>, backward<4>, backward<8>, backward<0>);
    run(coords, table, levels, scales, cotangent, d_coords, d_table, n, n_levels, table_size, n_features, threads);
}
