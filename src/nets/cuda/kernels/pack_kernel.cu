// Kernel of a convolution as `correlate` reads it: rows of 64 bytes of taps and channels, zero beyond them.
//
// `kernel` is PyTorch's, f32, [out, in / groups, side, side, side]; `packed` is [group][step][column][64 bytes],
// with the steps of one class of voxels after those of another, and as many columns as blocks compute.
//
// Defined outside: BF16, COLUMNS and GRANULE, as for `correlate`.

extern "C" __global__ void __launch_bounds__(256) pack_kernel(const float* __restrict__ kernel, Element* __restrict__ packed, const Convolution g) {
    const int per_step = 64 / WIDTH;
    const int per_granule = PER_GRANULE;
    const int granules = granules_of(g.from, per_granule);
    const int columns = (g.to + COLUMNS - 1) / COLUMNS * COLUMNS;
    int all = 0;
    for (int parity = 0; parity < class_count(g); ++parity) {
        all += (lattice_of(g, parity).tap_count() * granules * GRANULE + 63) / 64;
    }
    const int place = blockIdx.x * 256 + threadIdx.x;
    if (place >= g.groups * all * columns * per_step) {
        return;
    }
    const int element = place % per_step;
    const int column = place / per_step % columns;
    int step = place / per_step / columns % all;
    const int group = place / per_step / columns / all;

    int parity = 0;
    Lattice l = lattice_of(g, 0);
    while (true) {
        const int steps = (l.tap_count() * granules * GRANULE + 63) / 64;
        if (step < steps) {
            break;
        }
        step -= steps;
        parity += 1;
        l = lattice_of(g, parity);
    }
    const int granule = (step * per_step + element) / per_granule;
    const int tap = granule / granules;
    const int channel = granule % granules * per_granule + element % per_granule;
    float value = 0.0f;
    const int from = g.from / g.merged, to = g.to / g.merged;
    if (tap < l.tap_count() && channel < g.from && column < g.to && channel / from == column / to) {
        const int taps = g.side * g.side * g.side;
        const int first_in = group * g.from + channel, first_out = group * g.to + column;
        // The kernel is [out][in]: from is `in` in the convolution itself, `out` in its gradient.
        const int pair = g.transposed ? first_in * to + column % to : first_out * from + channel % from;
        value = kernel[pair * taps + kernel_tap(g, l, tap)];
    }
#if BF16
    packed[place] = element_from(value);
#else
    packed[place] = __uint_as_float(tf32_bits(value));
#endif
}
