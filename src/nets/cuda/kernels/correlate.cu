// Convolution, and the gradient of its input: a product of voxels by taps and channels with a packed kernel.
//
// A block of 128 threads computes 128 voxels times COLUMNS channels. The rows of the left matrix are gathered
// straight from the volume, 64 bytes of taps and channels a step; no columns are laid out in memory. Three
// steps are on their way at a time. Where a volume is small, `splits` blocks share the steps of a tile and
// `add_parts` adds up what each has found.
//
// Defined outside: BF16, COLUMNS (8, 16, 32, 64), GRANULE and TARGET_GRANULE (bytes that are read and written
// at once: 16, 8, 4, and in bf16 2), BIAS.

#define ROWS 128
#define THREADS 128
#define STAGES 3
#define STEP 64
#define STAGE ((ROWS + COLUMNS) * STEP)
#define WARPS_ACROSS (COLUMNS == 64 ? 2 : 1)
#define WARP_ROWS (COLUMNS == 64 ? 64 : 32)
#define WARP_COLUMNS (COLUMNS == 64 ? 32 : COLUMNS)
#define SUMS_PITCH (COLUMNS + 8)

/// Place of byte `byte` of a row in a tile of 64 bytes a row: the four quarters of rows are exchanged so that
/// eight rows of a matrix lie in different banks. Rows that are a multiple of 8 apart have the same order.
__device__ __forceinline__ int swizzled(int row, int byte) {
    return row * STEP + (byte & 15) + (((byte >> 4) ^ (row >> 1 & 3)) << 4);
}

extern "C" __global__ void __launch_bounds__(128) correlate(const Element* __restrict__ source, const unsigned char* __restrict__ packed, const float* __restrict__ bias, Element* __restrict__ target, float* __restrict__ parts, const Convolution g) {
    __shared__ __align__(128) unsigned char memory[STAGES * STAGE];
    __shared__ int row_source[ROWS];
    __shared__ unsigned row_taps[ROWS];
    __shared__ int row_target[ROWS];
    __shared__ int distances[27];

    const int thread = threadIdx.x;
    const int lane = thread & 31, warp = thread >> 5;
    const int parity = blockIdx.z / g.splits, split = blockIdx.z % g.splits;
    const int tiles = (g.to + COLUMNS - 1) / COLUMNS;
    const int tile = blockIdx.y % tiles, group = blockIdx.y / tiles;

    const Lattice l = lattice_of(g, parity);
    const Voxel voxel = voxel_of(g, l, Brick(bricks_of(g), blockIdx.x), thread);
    row_source[thread] = voxel.source;
    row_taps[thread] = voxel.taps;
    row_target[thread] = voxel.target;
    const int taps = l.tap_count();
    if (thread < taps) {
        distances[thread] = tap_distance(g, l, thread);
    }

    // Steps of this class, of all classes before it, and of all.
    const int per_granule = PER_GRANULE;
    const int granules = granules_of(g.from, per_granule);
    int before = 0, all = 0, steps = 0;
    for (int other = 0; other < class_count(g); ++other) {
        const int bytes = lattice_of(g, other).tap_count() * granules * GRANULE;
        const int count = (bytes + STEP - 1) / STEP;
        before += other < parity ? count : 0;
        steps = other == parity ? count : steps;
        all += count;
    }
    const int share = (steps + g.splits - 1) / g.splits;
    const int first = min(split * share, steps);
    const int end = min(first + share, steps);
    source += group * g.from;
    packed += ((size_t)(group * all + before + first) * tiles + tile) * (COLUMNS * STEP) + thread * 16;

    // A thread reads the same granule of each step's 64 bytes, of several rows.
    const int across = STEP / GRANULE;
    const int down = THREADS / across;
    const int column = thread % across, row = thread / across;
    const int skip_taps = across / granules, skip_granules = across % granules;
    int tap = (first * across + column) / granules;
    int granule = (first * across + column) % granules;
    const unsigned start = shared_address(memory);
    const unsigned to_row = swizzled(row, column * GRANULE);
    const unsigned to_weights = ROWS * STEP + swizzled(thread >> 2, (thread & 3) * 16);
    unsigned loaded = 0, computed = 0;
    __syncthreads();

    auto load = [&]() {
        const unsigned stage = start + loaded;
        loaded = loaded == (STAGES - 1) * STAGE ? 0 : loaded + STAGE;
        const bool used = tap < taps;
        const unsigned bit = used ? 1u << tap : 0;
        const int distance = used ? distances[tap] + granule * per_granule : 0;
        const int have = min(GRANULE, (g.from - granule * per_granule) * WIDTH);
#pragma unroll
        for (int at = 0; at < ROWS; at += down) {
            const bool inside = row_taps[at + row] & bit;
            const int place = row_source[at + row] + distance;
            const unsigned to = down % 8 == 0 ? to_row + at * STEP : swizzled(at + row, column * GRANULE);
            copy_granule<GRANULE>(stage + to, source + (inside ? place : 0), inside ? have : 0);
        }
#pragma unroll
        for (int at = 0; at < COLUMNS * 4; at += THREADS) {
            if (COLUMNS * 4 % THREADS == 0 || at + thread < COLUMNS * 4) {
                copy_granule<16>(stage + to_weights + at / 4 * STEP, packed + at * 16, 16);
            }
        }
        packed += tiles * (COLUMNS * STEP);
        granule += skip_granules;
        tap += skip_taps;
        if (granule >= granules) {
            granule -= granules;
            tap += 1;
        }
    };

    const int from_row = warp / WARPS_ACROSS * WARP_ROWS;
    const int from_column = warp % WARPS_ACROSS * WARP_COLUMNS;
    const unsigned left = start + swizzled(from_row + (lane & 15), (lane >> 4) * 16);
    const unsigned right = start + ROWS * STEP + swizzled(from_column + (lane & 7) + (COLUMNS == 8 ? 0 : (lane >> 4) * 8), (lane >> 3 & 1) * 16);
    float sums[WARP_ROWS / 16][WARP_COLUMNS / 8][4] = {};

    auto compute = [&]() {
        const unsigned stage = computed;
        computed = computed == (STAGES - 1) * STAGE ? 0 : computed + STAGE;
#pragma unroll
        for (int half = 0; half < STEP; half += 32) {
            unsigned a[WARP_ROWS / 16][4];
            unsigned b[WARP_COLUMNS / 8][2];
#pragma unroll
            for (int at = 0; at < WARP_ROWS / 16; ++at) {
                load_matrices(a[at], (stage + left + at * 16 * STEP) ^ half);
#if !BF16
#pragma unroll
                for (int word = 0; word < 4; ++word) {
                    a[at][word] = tf32_bits(__uint_as_float(a[at][word]));
                }
#endif
            }
#if COLUMNS == 8
            load_matrices(b[0], (stage + right) ^ half);
#else
#pragma unroll
            for (int at = 0; at < WARP_COLUMNS / 8; at += 2) {
                unsigned two[4];
                load_matrices(two, (stage + right + at * 8 * STEP) ^ half);
                b[at][0] = two[0];
                b[at][1] = two[1];
                b[at + 1][0] = two[2];
                b[at + 1][1] = two[3];
            }
#endif
#pragma unroll
            for (int i = 0; i < WARP_ROWS / 16; ++i) {
#pragma unroll
                for (int j = 0; j < WARP_COLUMNS / 8; ++j) {
                    multiply(sums[i][j], a[i], b[j][0], b[j][1]);
                }
            }
        }
    };

#pragma unroll
    for (int ahead = 0; ahead < STAGES - 1; ++ahead) {
        if (first + ahead < end) {
            load();
        }
        commit_copies();
    }
    for (int step = first; step < end; ++step) {
        wait_copies<STAGES - 2>();
        __syncthreads();
        if (step + STAGES - 1 < end) {
            load();
        }
        commit_copies();
        compute();
    }

    // Sums go through shared memory, so that a voxel's channels are written side by side.
    wait_copies<0>();
    __syncthreads();
    float* tile_sums = reinterpret_cast<float*>(memory);
#pragma unroll
    for (int i = 0; i < WARP_ROWS / 16; ++i) {
#pragma unroll
        for (int j = 0; j < WARP_COLUMNS / 8; ++j) {
            float* place = tile_sums + (from_row + i * 16 + (lane >> 2)) * SUMS_PITCH + from_column + j * 8 + (lane & 3) * 2;
            *reinterpret_cast<float2*>(place) = make_float2(sums[i][j][0], sums[i][j][1]);
            *reinterpret_cast<float2*>(place + 8 * SUMS_PITCH) = make_float2(sums[i][j][2], sums[i][j][3]);
        }
    }
    __syncthreads();

    const int channels = min(COLUMNS, g.to - tile * COLUMNS);
    const int channel = group * g.to + tile * COLUMNS;
    if (g.splits > 1) {
        const size_t volume = (size_t)g.samples * g.target[0] * g.target[1] * g.target[2] * g.target_pitch;
        for (int at = thread; at < ROWS * COLUMNS; at += THREADS) {
            const int place = row_target[at / COLUMNS];
            if (place >= 0 && at % COLUMNS < channels) {
                parts[split * volume + place + channel + at % COLUMNS] = tile_sums[at / COLUMNS * SUMS_PITCH + at % COLUMNS];
            }
        }
        return;
    }
    const int per_write = TARGET_GRANULE / WIDTH;
    const int writes = COLUMNS / per_write;
    for (int at = thread; at < ROWS * writes; at += THREADS) {
        const int place = row_target[at / writes];
        const int start = at % writes * per_write;
        if (place < 0 || start >= channels) {
            continue;
        }
        const float* values = tile_sums + at / writes * SUMS_PITCH + start;
        Elements<TARGET_GRANULE> answer;
#pragma unroll
        for (int i = 0; i < per_write; ++i) {
            float value = values[i];
#if BIAS
            value += start + i < channels ? bias[channel + start + i] : 0.0f;
#endif
            answer.values[i] = element_from(value);
        }
        answer.write(target + place + channel + start);
    }
}
