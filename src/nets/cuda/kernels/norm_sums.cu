// First pass over a volume for a norm: sums over voxels, per channel, stretch and sample.
//
// Forward: x - pivot and its square, the pivot being the sample's first voxel, so that a mean far from zero
// costs no digits. Backward: the slopes behind the norm, and their products with the normalised values.
//
// `sums` is [sample][stretch][2][pitch]. Defined outside: BF16, BACKWARD.

extern "C" __global__ void __launch_bounds__(256) norm_sums(const Element* __restrict__ volume, const Element* __restrict__ slopes, const float* __restrict__ statistics, const float* __restrict__ weight, const float* __restrict__ bias, float* __restrict__ sums, const Norm g) {
    __shared__ float found[2][THREADS * PER_GRANULE];
    const Share share(g);
    float first[PER_GRANULE] = {}, second[PER_GRANULE] = {};
    if (share.used) {
#if BACKWARD
        Channel channels[PER_GRANULE];
#pragma unroll
        for (int i = 0; i < PER_GRANULE; ++i) {
            channels[i] = channel_of(g, share.channel + i, statistics, weight, bias);
        }
#else
        Elements<GRANULE> pivot;
        pivot.read(volume + share.place(g, 0));
#endif
#pragma unroll 4
        for (int voxel = share.first; voxel < share.end; voxel += share.rows) {
            Elements<GRANULE> x;
            x.read(volume + share.place(g, voxel));
#if BACKWARD
            Elements<GRANULE> slope;
            slope.read(slopes + share.place(g, voxel));
#endif
#pragma unroll
            for (int i = 0; i < PER_GRANULE; ++i) {
#if BACKWARD
                const float centred = f32_from(x.values[i]) - channels[i].mean;
                const float value = centred * channels[i].scale + channels[i].shift;
                const float behind = f32_from(slope.values[i]) * (value > 0.0f ? 1.0f : g.slope);
                first[i] += behind;
                second[i] += behind * (centred * channels[i].inverse);
#else
                const float distance = f32_from(x.values[i]) - f32_from(pivot.values[i]);
                first[i] += distance;
                second[i] += distance * distance;
#endif
            }
        }
#pragma unroll
        for (int i = 0; i < PER_GRANULE; ++i) {
            found[0][share.row * g.pitch + share.channel + i] = first[i];
            found[1][share.row * g.pitch + share.channel + i] = second[i];
        }
    }
    __syncthreads();
    for (int at = threadIdx.x; at < 2 * g.pitch; at += THREADS) {
        const int which = at / g.pitch, channel = at % g.pitch;
        float sum = 0.0f;
        for (int row = 0; row < share.rows; ++row) {
            sum += found[which][row * g.pitch + channel];
        }
        sums[((size_t)(blockIdx.y * gridDim.x + blockIdx.x) * 2 + which) * g.pitch + channel] = sum;
    }
}
