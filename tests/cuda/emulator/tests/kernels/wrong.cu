// Each kernel does one thing that a card would not forgive, or not always.

// The barrier is missing.
extern "C" __global__ void races(float *data) {
  __shared__ float kept[64];
  kept[threadIdx.x] = data[threadIdx.x];
  data[threadIdx.x] = kept[63 - threadIdx.x];
}

// So is that of the warp: its lanes do not go in step.
extern "C" __global__ void races_in_a_warp(float *data) {
  __shared__ float kept[32];
  kept[threadIdx.x] = data[threadIdx.x];
  data[threadIdx.x] = kept[threadIdx.x ^ 1];
}

extern "C" __global__ void keeps_to_the_warp(float *data) {
  __shared__ float kept[32];
  kept[threadIdx.x] = data[threadIdx.x];
  __syncwarp();
  data[threadIdx.x] = kept[threadIdx.x ^ 1];
}

// Two blocks write one sum.
extern "C" __global__ void races_between_blocks(float *sum) {
  if (threadIdx.x == 0) *sum += (float)(blockIdx.x + 1);
}

// The loop counts one too many.
extern "C" __global__ void reads_beyond(const float *data, float *sum, int n) {
  for (int at = 0; at <= n; at++) *sum += data[at];
}

extern "C" __global__ void writes_beyond_shared(float *data) {
  __shared__ float kept[32], next[32];
  next[threadIdx.x] = 0.0f;
  kept[threadIdx.x + 1] = data[threadIdx.x];
  __syncthreads();
  data[threadIdx.x] = kept[threadIdx.x] + next[threadIdx.x];
}

extern "C" __global__ void misaligned(const float *data, float *out) {
  float4 all = *reinterpret_cast<const float4 *>(data + 1);
  out[0] = all.x + all.y + all.z + all.w;
}

// Looked at before it has come.
extern "C" __global__ void does_not_wait(const float *data, float *out) {
  __shared__ __align__(16) float kept[4];
  unsigned to = __cvta_generic_to_shared(kept);
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16;\n cp.async.commit_group;" ::"r"(to), "l"(data));
  out[0] = kept[3];
}

// Its own copy has come, but nobody knows of the others'.
extern "C" __global__ void waits_alone(const float *data, float *out) {
  __shared__ __align__(16) float kept[64][4];
  unsigned to = __cvta_generic_to_shared(kept[threadIdx.x]);
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(data + 4 * threadIdx.x));
  asm volatile("cp.async.wait_all;");
  out[threadIdx.x] = kept[63 - threadIdx.x][0];
}

extern "C" __global__ void half_a_warp_meets(float *data) {
  if (threadIdx.x < 16) data[threadIdx.x] = __shfl_xor_sync(0xffffffffu, data[threadIdx.x], 1);
  else __syncwarp();
}

extern "C" __global__ void never_meets(float *data) {
  if (threadIdx.x < 32) asm volatile("bar.sync 1, 96;");
  else __syncthreads();
}

extern "C" __global__ void takes_too_much(float *data) {
  __shared__ float kept[12289];
  data[0] = kept[0];
}

extern "C" __global__ void follows_null(float *data) { *(volatile float *)nullptr = data[0]; }
extern "C" __global__ void __launch_bounds__(32) narrow(float *data) { data[0] = 1.0f; }
