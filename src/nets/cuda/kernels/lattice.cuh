// Geometry of a convolution and of its passes: which voxels of one volume a voxel of another one is a sum of.
//
// Volumes are [b, d, h, w, c], c with a pitch. A pass reads `source`, writes `target`, and sums over taps.
// The gradient of a strided convolution's input falls apart into classes of voxels, one for each remainder of
// z, y and x by the stride: within a class all voxels have the same taps.

/// Convolution, seen from one of its passes. All fields are 4 bytes.
struct Convolution {
    int source[3];    // extents d, h, w of the volume that is read
    int target[3];    // extents of the volume that is written, or of the gradient that is read along with it
    int source_pitch; // elements from voxel to voxel
    int target_pitch;
    int from;         // channels of a group in `source`
    int to;           // channels of a group in `target`
    int groups;
    int samples;
    int side;         // 1, 3, or 2 with stride 2 and no padding: the transposed convolution is its transpose
    int stride;       // 1 or 2
    int transposed;   // 1: the gradient of a convolution's input, from its output's
    int brick[3];     // 128 voxels that a block works on at a time, as powers of two along d, h, w; they add up to 7
    int splits;       // pieces that sums are computed in, added up in a second pass
    int merged;       // groups of the kernel that make one group here, whose products across them are with zeros
};

/// Voxels of one class and their taps: along axis a, voxel i of the class is voxel `step[a] * i + offset[a]` of
/// `target`, and its taps read `pace * i + first[a]` of `source` and the `taps[a] - 1` voxels behind it.
struct Lattice {
    int extent[3], step, offset[3], pace, first[3], taps[3];

    __device__ __forceinline__ int tap_count() const {
        return taps[0] * taps[1] * taps[2];
    }
};

__device__ __forceinline__ int class_count(const Convolution& g) {
    return g.transposed && g.stride == 2 ? 8 : 1;
}

__device__ __forceinline__ Lattice lattice_of(const Convolution& g, int parity) {
    Lattice l;
    const bool classes = class_count(g) == 8;
    l.step = classes ? 2 : 1;
    l.pace = classes ? 1 : g.stride;
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        const int odd = classes ? parity >> (2 - axis) & 1 : 0;
        l.offset[axis] = odd;
        l.extent[axis] = classes ? (g.target[axis] - odd + 1) / 2 : g.target[axis];
        l.first[axis] = classes ? 0 : -((g.side - 1) / 2);
        // Of an odd voxel the middle tap of 3 falls between two voxels of the output, of an even one the outer taps.
        const int of_class = g.side == 3 ? 1 + odd : g.side == 2 ? 1 : 1 - odd;
        l.taps[axis] = classes ? of_class : g.side;
    }
    return l;
}

/// Place in PyTorch's kernel, [z][y][x], of the tap that a pass counts as `tap`.
__device__ __forceinline__ int kernel_tap(const Convolution& g, const Lattice& l, int tap) {
    int place[3] = {tap / (l.taps[1] * l.taps[2]), tap / l.taps[2] % l.taps[1], tap % l.taps[2]};
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        if (class_count(g) == 8) {
            const int outer = 2 - 2 * place[axis];
            place[axis] = g.side == 3 ? (l.offset[axis] ? outer : 1) : l.offset[axis] * (g.side - 1);
        } else if (g.transposed) {
            place[axis] = g.side - 1 - place[axis];
        }
    }
    return (place[0] * g.side + place[1]) * g.side + place[2];
}

/// Granules of channels, of `channels` elements each, that a tap of a group is read in.
__device__ __forceinline__ int granules_of(int channels, int per_granule) {
    return (channels + per_granule - 1) / per_granule;
}

/// Bricks of 128 voxels that cover the largest class, along w, h and d.
__device__ __forceinline__ int3 bricks_of(const Convolution& g) {
    const Lattice l = lattice_of(g, 0);
    return make_int3((l.extent[2] + (1 << g.brick[2]) - 1) >> g.brick[2], (l.extent[1] + (1 << g.brick[1]) - 1) >> g.brick[1], (l.extent[0] + (1 << g.brick[0]) - 1) >> g.brick[0]);
}

/// A brick by its place in its sample, and the next ones one by one.
struct Brick {
    int x, y, z, sample;

    __device__ __forceinline__ Brick(int3 bricks, int number) {
        x = number % bricks.x;
        y = number / bricks.x % bricks.y;
        z = number / bricks.x / bricks.y % bricks.z;
        sample = number / bricks.x / bricks.y / bricks.z;
    }

    __device__ __forceinline__ void advance(int3 bricks) {
        x += 1;
        const bool row = x == bricks.x;
        y += row;
        x = row ? 0 : x;
        const bool plane = y == bricks.y;
        z += plane;
        y = plane ? 0 : y;
        const bool volume = z == bricks.z;
        sample += volume;
        z = volume ? 0 : z;
    }
};

/// Voxel of a brick: its place in either volume, and bits for the taps that lie inside.
struct Voxel {
    int source; // element of the first tap, which may lie outside
    int target; // element, or -1 where the brick hangs over
    unsigned taps;
};

/// Voxel `row` of 0..128 in a brick.
__device__ __forceinline__ Voxel voxel_of(const Convolution& g, const Lattice& l, const Brick& brick, int row) {
    const int place[3] = {
        (brick.z << g.brick[0]) + (row >> (g.brick[2] + g.brick[1])),
        (brick.y << g.brick[1]) + (row >> g.brick[2] & ((1 << g.brick[1]) - 1)),
        (brick.x << g.brick[2]) + (row & ((1 << g.brick[2]) - 1)),
    };
    bool inside = true;
    unsigned taps = 1;
    int width = 1;
#pragma unroll
    for (int axis = 2; axis >= 0; --axis) {
        inside = inside && place[axis] < l.extent[axis];
        unsigned along = 0;
#pragma unroll
        for (int tap = 0; tap < 3; ++tap) {
            const unsigned at = l.pace * place[axis] + l.first[axis] + tap;
            along |= tap < l.taps[axis] && at < (unsigned)g.source[axis] ? 1u << (tap * width) : 0;
        }
        // No two products have a bit in common.
        taps *= along;
        width *= l.taps[axis];
    }
    int source = brick.sample, target = brick.sample;
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        source = source * g.source[axis] + l.pace * place[axis] + l.first[axis];
        target = target * g.target[axis] + l.step * place[axis] + l.offset[axis];
    }
    Voxel voxel;
    voxel.source = source * g.source_pitch;
    voxel.target = inside ? target * g.target_pitch : -1;
    voxel.taps = inside ? taps : 0;
    return voxel;
}

/// Elements between what the first tap reads and what `tap` reads.
__device__ __forceinline__ int tap_distance(const Convolution& g, const Lattice& l, int tap) {
    const int z = tap / (l.taps[1] * l.taps[2]), y = tap / l.taps[2] % l.taps[1], x = tap % l.taps[2];
    return ((z * g.source[1] + y) * g.source[2] + x) * g.source_pitch;
}
