// One step of an optimiser for all parameters of a network: SGD, Adam or AdamW, as update_rules.rs has them.
//
// A line with an @ stands for as many as there are SLOTS, one with an @ and a % for as many as there are MOMENTS of
// each (kernel.rs); slots behind the last parameter have no blocks. Where `checked` is not finite, all stays as it
// is. Defined outside: SLOTS, MOMENTS (0 to 3), RULE (0 SGD, 1 Adam, 2 AdamW).

#define THREADS 256
#define STRETCH 4096

/// All fields are 4 bytes.
struct Update {
    int ends[SLOTS];     // blocks up to the end of each parameter
    int sizes[SLOTS];
    float decays[SLOTS]; // weight decay of each
    float rate;
    float betas[2];      // of SGD the momentum alone
    float rests[2];      // 1 - beta
    float epsilon;
    int nesterov;
    int is_first;        // of the launches of a step: the one that writes the bias corrections
};

extern "C" __global__ void __launch_bounds__(256) update_parameters(
    const float* __restrict__ weights_@,
    const float* __restrict__ gradient_@,
    float* __restrict__ new_weights_@,
    const float* __restrict__ moment_@_%,
    float* __restrict__ new_moment_@_%,
    const float* __restrict__ checked, const float* __restrict__ factor, const float* __restrict__ seen_0, const float* __restrict__ seen_1, float* __restrict__ new_seen_0, float* __restrict__ new_seen_1, const Update g) {
    int slot = 0, begin = 0;
    while ((int)blockIdx.x >= g.ends[slot]) {
        begin = g.ends[slot];
        slot += 1;
    }
    const float *weights = nullptr, *gradients = nullptr;
    float* new_weights = nullptr;
    const float* moments[MOMENTS + 1] = {};
    float* new_moments[MOMENTS + 1] = {};
    switch (slot) {
        case @: weights = weights_@; gradients = gradient_@; new_weights = new_weights_@; break;
    }
#if MOMENTS > 0
#pragma unroll
    for (int moment = 0; moment < MOMENTS; ++moment) {
        switch (slot * MOMENTS + moment) {
            case @ * MOMENTS + %: moments[moment] = moment_@_%; new_moments[moment] = new_moment_@_%; break;
        }
    }
#endif
    const bool is_finite = checked[0] - checked[0] == 0.0f;
    const float scale = factor[0], decay = g.decays[slot];
#if RULE > 0
    const float seen[2] = {seen_0[0] * g.betas[0] + g.rests[0], seen_1[0] * g.betas[1] + g.rests[1]};
    if (g.is_first && blockIdx.x == 0 && threadIdx.x == 0) {
        new_seen_0[0] = is_finite ? seen[0] : seen_0[0];
        new_seen_1[0] = is_finite ? seen[1] : seen_1[0];
    }
#endif
    const int start = ((int)blockIdx.x - begin) * STRETCH;
    const int end = min(start + STRETCH, g.sizes[slot]);
#pragma unroll 4
    for (int at = start + threadIdx.x; at < end; at += THREADS) {
        const float weight = weights[at];
        float old[MOMENTS + 1], next[MOMENTS + 1];
#pragma unroll
        for (int moment = 0; moment < MOMENTS; ++moment) {
            old[moment] = moments[moment][at];
        }
        float gradient = gradients[at] * scale;
#if RULE < 2
        gradient += weight * decay;
#endif
#if RULE > 0
        next[0] = old[0] * g.betas[0] + gradient * g.rests[0];
        next[1] = old[1] * g.betas[1] + gradient * gradient * g.rests[1];
        float square = next[1];
#if MOMENTS > 2
        square = next[2] = fmaxf(old[2], square);
#endif
        float direction = next[0] / seen[0] / (sqrtf(square / seen[1]) + g.epsilon);
#if RULE == 2
        direction += weight * decay;
#endif
#elif MOMENTS > 0
        next[0] = old[0] * g.betas[0] + gradient;
        const float direction = g.nesterov ? gradient + next[0] * g.betas[0] : next[0];
#else
        const float direction = gradient;
#endif
        new_weights[at] = is_finite ? weight - direction * g.rate : weight;
#pragma unroll
        for (int moment = 0; moment < MOMENTS; ++moment) {
            new_moments[moment][at] = is_finite ? next[moment] : old[moment];
        }
    }
}
