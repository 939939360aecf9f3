// Dense layer: answers = weight [outputs, inputs] times a sample's values, plus bias, ReLU behind it where RELU is 1.
//
// A warp has one output; its sums are added up in an order that is always the same.

extern "C" __global__ void __launch_bounds__(256) dense(const Element* __restrict__ inputs, const float* __restrict__ weight, const float* __restrict__ bias, Answer* __restrict__ answers, const Dense g) {
    const int lane = threadIdx.x & 31, output = blockIdx.x * (THREADS / 32) + (threadIdx.x >> 5);
    if (output >= g.answer.count) {
        return;
    }
    for (int first = 0; first < g.samples; first += SAMPLES) {
        float sums[SAMPLES] = {};
        for (int at = lane; at < g.input.count; at += 32) {
            const float factor = weight[(size_t)output * g.input.count + at];
#pragma unroll
            for (int i = 0; i < SAMPLES; ++i) {
                sums[i] += first + i < g.samples ? factor * f32_from(inputs[g.input.place(first + i, at)]) : 0.0f;
            }
        }
#pragma unroll
        for (int i = 0; i < SAMPLES; ++i) {
            for (int distance = 16; distance > 0; distance /= 2) {
                sums[i] += __shfl_xor_sync(0xffffffffu, sums[i], distance);
            }
            if (lane == 0 && first + i < g.samples) {
                float value = sums[i] + bias[output];
#if RELU
                // What is not a number stays so.
                value = value < 0.0f ? 0.0f : value;
#endif
#if ANSWER_BF16
                answers[g.answer.place(first + i, output)] = (unsigned short)bf16_pair(value, 0.0f);
#else
                answers[g.answer.place(first + i, output)] = value;
#endif
            }
        }
    }
}
