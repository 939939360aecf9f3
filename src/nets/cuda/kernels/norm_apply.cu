// Second pass over a volume for a norm. Forward: the normalised volume behind the activation. Backward: the
// gradient of the norm's input.
//
// `statistics` and `means` are [sample][group][2]. Defined outside: BF16, BACKWARD.

extern "C" __global__ void __launch_bounds__(256) norm_apply(const Element* __restrict__ volume, const Element* __restrict__ slopes, const float* __restrict__ statistics, const float* __restrict__ means, const float* __restrict__ weight, const float* __restrict__ bias, Element* __restrict__ target, const Norm g) {
    const Share share(g);
    if (!share.used) {
        return;
    }
    Channel channels[PER_GRANULE];
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        channels[i] = channel_of(g, share.channel + i, statistics, weight, bias);
    }
#if BACKWARD
    float shift[PER_GRANULE], scale[PER_GRANULE];
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        const int group = min(share.channel + i, g.channels - 1) / (g.channels / g.groups);
        shift[i] = means[(blockIdx.y * g.groups + group) * 2];
        scale[i] = means[(blockIdx.y * g.groups + group) * 2 + 1];
    }
#endif
#pragma unroll 4
    for (int voxel = share.first; voxel < share.end; voxel += share.rows) {
        Elements<GRANULE> x, answer;
        x.read(volume + share.place(g, voxel));
#if BACKWARD
        Elements<GRANULE> slope;
        slope.read(slopes + share.place(g, voxel));
#endif
#pragma unroll
        for (int i = 0; i < PER_GRANULE; ++i) {
            const float centred = f32_from(x.values[i]) - channels[i].mean;
            const float value = centred * channels[i].scale + channels[i].shift;
#if BACKWARD
            const float behind = f32_from(slope.values[i]) * (value > 0.0f ? 1.0f : g.slope);
            const float normalised = centred * channels[i].inverse;
            const float gradient = behind * channels[i].scale - channels[i].inverse * (shift[i] + normalised * scale[i]);
#else
            const float gradient = activated(value, g.slope);
#endif
            answer.values[i] = element_from(share.channel + i < g.channels ? gradient : 0.0f);
        }
        answer.write(target + share.place(g, voxel));
    }
}
