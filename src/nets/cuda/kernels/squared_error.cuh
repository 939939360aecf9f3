// Mean squared error between two volumes of one layout, [b, d, h, w, c]. Defined outside: BF16.

#define THREADS 256

/// All fields are 4 bytes.
struct Error {
    int voxels;  // of all samples
    int channels;
    int pitch;   // elements from voxel to voxel
    int blocks;  // of the first pass
};
