// Dense layers whose rows may be volumes: value `at` of a sample's [c, voxels] lies where its channels do.
//
// Defined outside: BF16 for the layer's input, ANSWER_BF16 for its answer, RELU.

#define THREADS 256
// Samples whose sums a thread has at once: a weight is read once for all of them.
#define SAMPLES 4

/// Values of a sample, [channels, voxels] in their order.
struct Values {
    int count, voxels;
    int pitch; // elements from voxel to voxel

    __device__ __forceinline__ size_t place(int sample, int at) const {
        return ((size_t)sample * voxels + at % voxels) * pitch + at / voxels;
    }
};

/// All fields are 4 bytes.
struct Dense {
    int samples;
    Values input, answer;
};

#if ANSWER_BF16
typedef unsigned short Answer;
#else
typedef float Answer;
#endif

/// Gradient of a layer's sum, of its answer's: zero where ReLU has cut it off.
__device__ __forceinline__ float slope_of(const Dense& g, const Answer* answers, const Answer* slopes, int sample, int output) {
    const size_t place = g.answer.place(sample, output);
#if RELU
    if (!(f32_from(answers[place]) > 0.0f)) {
        return 0.0f;
    }
#endif
    return f32_from(slopes[place]);
}
