// Gradients of a dense layer's weight [outputs, inputs] and bias: sums over samples, in their order.

extern "C" __global__ void __launch_bounds__(256) dense_weight_gradient(const Element* __restrict__ inputs, const Answer* __restrict__ answers, const Answer* __restrict__ slopes, float* __restrict__ of_weight, float* __restrict__ of_bias, const Dense g) {
    const int at = blockIdx.x * THREADS + threadIdx.x, output = blockIdx.y;
    if (at >= g.input.count) {
        return;
    }
    float sum = 0.0f, all = 0.0f;
    for (int sample = 0; sample < g.samples; ++sample) {
        const float slope = slope_of(g, answers, slopes, sample, output);
        sum += slope * f32_from(inputs[g.input.place(sample, at)]);
        all += slope;
    }
    of_weight[(size_t)output * g.input.count + at] = sum;
    if (at == 0) {
        of_bias[output] = all;
    }
}
