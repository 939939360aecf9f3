// What the kernels should compute, in f64, from volumes [b, d, h, w, c] without gaps; and comparisons with it.
#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

struct Shape {
    int samples, source[3], target[3], inputs, outputs, groups, side, stride;
};

float bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&value, &bits, 4);
    return value;
}

float tf32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits = (bits + 0x1000) & 0xffffe000u;
    memcpy(&value, &bits, 4);
    return value;
}

/* Calls `with(input, output, weight)` for each product of the convolution, as places in the three arrays. */
template <class With> void for_each_product(const Shape &s, With with)
{
    const int from = s.inputs / s.groups, to = s.outputs / s.groups, taps = s.side * s.side * s.side;
    for (int b = 0; b < s.samples; b++)
        for (int z = 0; z < s.target[0]; z++)
            for (int y = 0; y < s.target[1]; y++)
                for (int x = 0; x < s.target[2]; x++)
                    for (int tap = 0; tap < taps; tap++) {
                        const int pad = (s.side - 1) / 2;
                        const int at[3] = { z * s.stride + tap / s.side / s.side - pad,
                                            y * s.stride + tap / s.side % s.side - pad, x * s.stride + tap % s.side - pad };
                        if (at[0] < 0 || at[0] >= s.source[0] || at[1] < 0 || at[1] >= s.source[1] || at[2] < 0 || at[2] >= s.source[2])
                            continue;
                        const long input = ((static_cast<long>(b) * s.source[0] + at[0]) * s.source[1] + at[1]) * s.source[2] + at[2];
                        const long output = ((static_cast<long>(b) * s.target[0] + z) * s.target[1] + y) * s.target[2] + x;
                        for (int o = 0; o < s.outputs; o++)
                            for (int i = 0; i < from; i++)
                                with(input * s.inputs + o / to * from + i, output * s.outputs + o, (static_cast<long>(o) * from + i) * taps + tap);
                    }
}

} // namespace

extern "C" {

/* Uniform in -1..1 around `mean`, from a counter; kind 0 as it is, 1 in bf16, 2 with the mantissa of TF32. */
void draw(float *to, long count, unsigned seed, int kind, float mean)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
    for (long at = 0; at < count; at++) {
        state += 0x9e3779b97f4a7c15ull;
        uint64_t mixed = (state ^ state >> 30) * 0xbf58476d1ce4e5b9ull;
        mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebull;
        const float value = static_cast<float>(mixed >> 40) / 8388608.0f - 1.0f + mean;
        to[at] = kind == 1 ? bf16(value) : kind == 2 ? tf32(value) : value;
    }
}

/* Rows of `channels` values to rows of `pitch` elements, what is between them not a number. */
void lay_out(const float *values, void *to, long rows, int channels, int pitch, int is_bf16)
{
    for (long row = 0; row < rows; row++)
        for (int c = 0; c < pitch; c++) {
            const float value = c < channels ? values[row * channels + c] : NAN;
            uint32_t bits;
            memcpy(&bits, &value, 4);
            if (is_bf16)
                static_cast<uint16_t *>(to)[row * pitch + c] = static_cast<uint16_t>(bits >> 16);
            else
                static_cast<float *>(to)[row * pitch + c] = value;
        }
}

/* The answer of a convolution, and of both gradients; `sizes` are the same sums of magnitudes. */
void convolve(const Shape *s, const float *volume, const float *kernel, const float *bias, double *answer, double *sizes)
{
    const long rows = static_cast<long>(s->samples) * s->target[0] * s->target[1] * s->target[2];
    for (long at = 0; at < rows * s->outputs; at++) {
        answer[at] = bias ? bias[at % s->outputs] : 0.0;
        sizes[at] = std::fabs(answer[at]);
    }
    for_each_product(*s, [&](long i, long o, long w) {
        const double product = static_cast<double>(volume[i]) * kernel[w];
        answer[o] += product;
        sizes[o] += std::fabs(product);
    });
}

void volume_gradient(const Shape *s, const float *slopes, const float *kernel, double *answer, double *sizes)
{
    const long count = static_cast<long>(s->samples) * s->source[0] * s->source[1] * s->source[2] * s->inputs;
    memset(answer, 0, count * sizeof *answer);
    memset(sizes, 0, count * sizeof *sizes);
    for_each_product(*s, [&](long i, long o, long w) {
        const double product = static_cast<double>(slopes[o]) * kernel[w];
        answer[i] += product;
        sizes[i] += std::fabs(product);
    });
}

void kernel_gradient(const Shape *s, const float *volume, const float *slopes, double *answer, double *sizes)
{
    const long count = static_cast<long>(s->outputs) * (s->inputs / s->groups) * s->side * s->side * s->side;
    memset(answer, 0, count * sizeof *answer);
    memset(sizes, 0, count * sizeof *sizes);
    for_each_product(*s, [&](long i, long o, long w) {
        const double product = static_cast<double>(volume[i]) * slopes[o];
        answer[w] += product;
        sizes[w] += std::fabs(product);
    });
}

/* Group norm and activation of [samples][voxels][channels], and the gradients of its input, weight and bias. */
void normalise(const int *sizes, double epsilon, double slope, const float *volume, const float *weight, const float *bias, const float *slopes, double *answer, double *gradient, double *weight_gradient, double *bias_gradient)
{
    const int samples = sizes[0], voxels = sizes[1], channels = sizes[2], members = channels / sizes[3];
    memset(weight_gradient, 0, channels * sizeof *weight_gradient);
    memset(bias_gradient, 0, channels * sizeof *bias_gradient);
    for (int sample = 0; sample < samples; sample++)
        for (int group = 0; group < sizes[3]; group++) {
            const double count = static_cast<double>(members) * voxels;
            auto place = [&](int voxel, int member) { return (static_cast<long>(sample) * voxels + voxel) * channels + group * members + member; };
            auto mean_of = [&](auto value) {
                double sum = 0;
                for (int voxel = 0; voxel < voxels; voxel++)
                    for (int member = 0; member < members; member++)
                        sum += value(voxel, member);
                return sum / count;
            };
            const double mean = mean_of([&](int v, int m) { return static_cast<double>(volume[place(v, m)]); });
            const double variance = mean_of([&](int v, int m) { return std::pow(volume[place(v, m)] - mean, 2); });
            const double inverse = 1 / std::sqrt(variance + epsilon);
            auto normal = [&](int v, int m) { return (volume[place(v, m)] - mean) * inverse; };
            auto ahead = [&](int v, int m) { return normal(v, m) * weight[group * members + m] + bias[group * members + m]; };
            auto behind = [&](int v, int m) { return slopes[place(v, m)] * (ahead(v, m) > 0 ? 1.0 : slope); };
            auto scaled = [&](int v, int m) { return behind(v, m) * weight[group * members + m]; };
            const double shift = mean_of(scaled);
            const double scale = mean_of([&](int v, int m) { return scaled(v, m) * normal(v, m); });
            for (int v = 0; v < voxels; v++)
                for (int m = 0; m < members; m++) {
                    const double value = ahead(v, m);
                    answer[place(v, m)] = value > 0 ? value : slope * value;
                    gradient[place(v, m)] = inverse * (scaled(v, m) - shift - normal(v, m) * scale);
                    bias_gradient[group * members + m] += behind(v, m);
                    weight_gradient[group * members + m] += behind(v, m) * normal(v, m);
                }
        }
}

/* The largest error of rows of `pitch` elements, as a multiple of `of_size` times the sum of magnitudes plus
 * `of_value` times the value; not a number counts as infinite. */
double worst_error(const void *found, const double *answer, const double *sizes, long rows, int channels, int pitch, int is_bf16, double of_size, double of_value)
{
    double worst = 0;
    for (long row = 0; row < rows; row++)
        for (int c = 0; c < channels; c++) {
            float value;
            if (is_bf16) {
                const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t *>(found)[row * pitch + c]) << 16;
                memcpy(&value, &bits, 4);
            } else {
                value = static_cast<const float *>(found)[row * pitch + c];
            }
            const long at = row * channels + c;
            const double allowed = of_size * sizes[at] + of_value * std::fabs(answer[at]) + 1e-30;
            const double error = std::fabs(value - answer[at]) / allowed;
            worst = error > worst || std::isnan(error) ? (std::isnan(error) ? INFINITY : error) : worst;
        }
    return worst;
}

}
