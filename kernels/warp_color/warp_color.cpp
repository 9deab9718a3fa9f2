// The meaning is in reference.py.

#include "../bilinear.h"

namespace {

// Points of an output row of w, over an image of width pixels: their own pixels where the sizes agree, so that no
// coordinate is rounded where nothing moves.
void aim(Row& row, const float* coord, int64_t y, int64_t height, int64_t width, int64_t h, int64_t w) {
    const float sx = static_cast<float>(width) / static_cast<float>(w);
    const float sy = static_cast<float>(height) / static_cast<float>(h);
    const float start_x = w == width ? 0.0f : 0.5f * sx - 0.5f;
    const float start_y = h == height ? static_cast<float>(y) : (static_cast<float>(y) + 0.5f) * sy - 0.5f;
    row.aim(coord + y * w, coord + (h + y) * w, start_x, w == width ? 1.0f : sx, start_y, 0.0f, height, width);
}

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
            aim(row, coord + b * 2 * h * w, y, height, width, h, w);
            for (int64_t c = 0; c < channels; ++c) {
                const int64_t line = ((b * channels + c) * h + y) * w;
                row.read(image + (b * channels + c) * height * width, color + line, out + line);
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
            aim(row, coord + b * 2 * h * w, y, height, width, h, w);
            float* dx = d_coord + (b * 2 * h + y) * w;
            float* dy = dx + h * w;
            for (int64_t c = 0; c < channels; ++c)
                row.add_slope(image + (b * channels + c) * height * width,
                              cotangent + ((b * channels + c) * h + y) * w, dx, dy);
            for (int64_t i = 0; i < w; ++i) dx[i] *= row.x.inside[i], dy[i] *= row.y.inside[i];
        }
        if (d_image != nullptr) {
#pragma omp for schedule(static)
            for (int64_t plane = 0; plane < batch * channels; ++plane) {
                float* target = d_image + plane * height * width;
                for (int64_t y = 0; y < h; ++y) {
                    aim(row, coord + plane / channels * 2 * h * w, y, height, width, h, w);
                    row.give(cotangent + (plane * h + y) * w, target);
                }
            }
        }
    }
}
