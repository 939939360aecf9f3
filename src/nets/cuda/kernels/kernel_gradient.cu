// Gradient of a convolution's kernel: a product of taps and channels by voxels with the output's gradient.
//
// A block computes 128 pairs of tap and input channel times COLUMNS output channels, over its share of the
// voxels; `add_kernel_parts` adds up the shares in the order of their numbers, so that no atomic decides
// how a sum is rounded. Both matrices are gathered straight from the volumes, whose rows are channels, so
// they are transposed on the way from shared memory to registers.
//
// Defined outside: BF16, COLUMNS (8, 16, 32, 64), GRANULE (bytes read at once of the input) and TARGET_GRANULE
// (of the output's gradient).

#define ROWS 128
#define THREADS 128
#define STAGES 3
#define STEP (BF16 ? 32 : 16)
#define BRICK 128
#define STEPS_OF_BRICK (BRICK / STEP)
#define GAP (BF16 ? 16 : 32)
#define LEFT_PITCH (ROWS * WIDTH + GAP)
#define RIGHT_PITCH (COLUMNS * WIDTH + GAP)
#define STAGE (STEP * (LEFT_PITCH + RIGHT_PITCH))
#define WARPS_ACROSS (COLUMNS == 64 ? 2 : 1)
#define WARP_ROWS (COLUMNS == 64 ? 64 : 32)
#define WARP_COLUMNS (COLUMNS == 64 ? 32 : COLUMNS)
#define DEPTH (BF16 ? 16 : 8)

extern "C" __global__ void __launch_bounds__(128) kernel_gradient(const Element* __restrict__ source, const Element* __restrict__ slopes, float* __restrict__ parts, const Convolution given) {
    // Known while compiling, so that classes of voxels cost nothing here.
    Convolution g = given;
    g.transposed = 0;

    __shared__ __align__(128) unsigned char memory[STAGES * STAGE];
    __shared__ int row_source[2 * BRICK];
    __shared__ unsigned row_taps[2 * BRICK];
    __shared__ int row_slopes[2 * BRICK];

    const int thread = threadIdx.x;
    const int lane = thread & 31, warp = thread >> 5;
    const int tiles = (g.to + COLUMNS - 1) / COLUMNS;
    const int tile = blockIdx.y % tiles, group = blockIdx.y / tiles;
    const Lattice l = lattice_of(g, 0);
    const int taps = l.tap_count();
    const int3 bricks = bricks_of(g);
    const int all = bricks.x * bricks.y * bricks.z * g.samples;
    const int share = (all + g.splits - 1) / g.splits;
    const int first = min((int)blockIdx.z * share, all);
    const int steps = (min(first + share, all) - first) * STEPS_OF_BRICK;
    source += group * g.from;
    slopes += group * g.to + tile * COLUMNS;

    // A thread reads the same pair of tap and channels of each voxel.
    const int per_granule = PER_GRANULE;
    const int granules = granules_of(g.from, per_granule);
    const int across = ROWS * WIDTH / GRANULE;
    const int down = THREADS / across;
    const int pair = thread % across, row = thread / across;
    const int granule = blockIdx.x * across + pair;
    const int tap = granule / granules;
    const int channel = granule % granules * per_granule;
    const bool used = tap < taps;
    const int have = used ? min(GRANULE, (g.from - channel) * WIDTH) : 0;
    const int distance = used ? tap_distance(g, l, tap) + channel : 0;
    const unsigned bit = used ? 1u << tap : 0;

    const int per_slope = TARGET_GRANULE / WIDTH;
    const int slopes_across = COLUMNS / per_slope;
    const int slope = thread % slopes_across * per_slope, slope_row = thread / slopes_across;
    const int slope_have = max(0, min(TARGET_GRANULE, (g.to - tile * COLUMNS - slope) * WIDTH));

    Brick brick(bricks, first);
    auto fill = [&](int half) {
        const Voxel voxel = voxel_of(g, l, brick, thread);
        row_source[half * BRICK + thread] = voxel.source;
        row_taps[half * BRICK + thread] = voxel.taps;
        row_slopes[half * BRICK + thread] = voxel.target;
        brick.advance(bricks);
    };

    const unsigned start = shared_address(memory);
    const unsigned to_pair = row * LEFT_PITCH + pair * GRANULE;
    const unsigned to_slope = STEP * LEFT_PITCH + slope_row * RIGHT_PITCH + slope * WIDTH;
    unsigned loaded = 0, computed = 0;
    int voxel = 0;
    slopes += slope;

    auto load = [&]() {
        const unsigned stage = start + loaded;
        loaded = loaded == (STAGES - 1) * STAGE ? 0 : loaded + STAGE;
#pragma unroll
        for (int at = 0; at < STEP; at += down) {
            const bool inside = row_taps[voxel + at + row] & bit;
            const int place = row_source[voxel + at + row] + distance;
            copy_granule<GRANULE>(stage + to_pair + at * LEFT_PITCH, source + (inside ? place : 0), inside ? have : 0);
        }
#pragma unroll
        for (int at = 0; at < STEP * slopes_across; at += THREADS) {
            const int in_step = at / slopes_across;
            if (STEP * slopes_across % THREADS == 0 || in_step + slope_row < STEP) {
                const int place = row_slopes[voxel + in_step + slope_row];
                const bool inside = place >= 0 && slope_have > 0;
                copy_granule<TARGET_GRANULE>(stage + to_slope + in_step * RIGHT_PITCH, slopes + (inside ? place : 0), inside ? slope_have : 0);
            }
        }
        voxel = (voxel + STEP) % (2 * BRICK);
    };

    const int from_row = warp / WARPS_ACROSS * WARP_ROWS;
    const int from_column = warp % WARPS_ACROSS * WARP_COLUMNS;
    float sums[WARP_ROWS / 16][WARP_COLUMNS / 8][4] = {};

#if BF16
    // The two lower matrices of four are the first eight voxels.
    const unsigned left = start + ((lane & 7) + (lane >> 4) * 8) * LEFT_PITCH + (from_row + (lane >> 3 & 1) * 8) * WIDTH;
    const unsigned right = start + STEP * LEFT_PITCH + (lane & 15) * RIGHT_PITCH + (from_column + (COLUMNS == 8 ? 0 : (lane >> 4) * 8)) * WIDTH;
#else
    // The hardware transposes matrices of 16 bits alone.
    const unsigned char* left = memory + (lane & 3) * LEFT_PITCH + (from_row + (lane >> 2)) * WIDTH;
    const unsigned char* right = memory + STEP * LEFT_PITCH + (lane & 3) * RIGHT_PITCH + (from_column + (lane >> 2)) * WIDTH;
#endif

    auto compute = [&]() {
        const unsigned stage = computed;
        computed = computed == (STAGES - 1) * STAGE ? 0 : computed + STAGE;
#pragma unroll
        for (int depth = 0; depth < STEP; depth += DEPTH) {
            unsigned a[WARP_ROWS / 16][4];
            unsigned b[WARP_COLUMNS / 8][2];
#if BF16
#pragma unroll
            for (int at = 0; at < WARP_ROWS / 16; ++at) {
                load_transposed(a[at], stage + left + depth * LEFT_PITCH + at * 16 * WIDTH);
            }
#if COLUMNS == 8
            load_transposed(b[0], stage + right + depth * RIGHT_PITCH);
#else
#pragma unroll
            for (int at = 0; at < WARP_COLUMNS / 8; at += 2) {
                unsigned two[4];
                load_transposed(two, stage + right + depth * RIGHT_PITCH + at * 8 * WIDTH);
                b[at][0] = two[0];
                b[at][1] = two[1];
                b[at + 1][0] = two[2];
                b[at + 1][1] = two[3];
            }
#endif
#else
#pragma unroll
            for (int at = 0; at < WARP_ROWS / 16; ++at) {
#pragma unroll
                for (int word = 0; word < 4; ++word) {
                    const unsigned char* place = left + stage + (depth + word / 2 * 4) * LEFT_PITCH + (at * 16 + word % 2 * 8) * WIDTH;
                    a[at][word] = tf32_bits(*reinterpret_cast<const float*>(place));
                }
            }
#pragma unroll
            for (int at = 0; at < WARP_COLUMNS / 8; ++at) {
#pragma unroll
                for (int word = 0; word < 2; ++word) {
                    const unsigned char* place = right + stage + (depth + word * 4) * RIGHT_PITCH + at * 8 * WIDTH;
                    b[at][word] = tf32_bits(*reinterpret_cast<const float*>(place));
                }
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

    // A brick's voxels are looked up one brick ahead of the first step that loads them.
    if (steps > 0) {
        fill(0);
    }
    __syncthreads();
#pragma unroll
    for (int ahead = 0; ahead < STAGES - 1; ++ahead) {
        if (ahead < steps) {
            load();
        }
        commit_copies();
    }
    for (int step = 0; step < steps; ++step) {
        wait_copies<STAGES - 2>();
        __syncthreads();
        if (step + STAGES - 1 < steps) {
            load();
        }
        commit_copies();
        if (step % STEPS_OF_BRICK == 0 && step + STEPS_OF_BRICK < steps) {
            fill(step / STEPS_OF_BRICK + 1 & 1);
        }
        compute();
    }

    const int rows = gridDim.x * ROWS, columns = tiles * COLUMNS;
    float* part = parts + (size_t)(blockIdx.z * g.groups + group) * rows * columns;
#pragma unroll
    for (int i = 0; i < WARP_ROWS / 16; ++i) {
#pragma unroll
        for (int j = 0; j < WARP_COLUMNS / 8; ++j) {
            const int at = blockIdx.x * ROWS + from_row + i * 16 + (lane >> 2);
            float* place = part + (size_t)at * columns + tile * COLUMNS + from_column + j * 8 + (lane & 3) * 2;
            *reinterpret_cast<float2*>(place) = make_float2(sums[i][j][0], sums[i][j][1]);
            *reinterpret_cast<float2*>(place + 8 * columns) = make_float2(sums[i][j][2], sums[i][j][3]);
        }
    }
}
