// Barriers, shuffles, votes and atomics.

extern "C" __global__ void sums(const float *data, float *of_blocks, int n) {
  __shared__ float of_warps[32];
  float sum = 0.0f;
  for (int at = blockIdx.x * blockDim.x + threadIdx.x; at < n; at += gridDim.x * blockDim.x) sum += data[at];
  for (int half = 16; half > 0; half /= 2) sum += __shfl_down_sync(0xffffffffu, sum, half);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    float total = 0.0f;
    for (int warp = 0; warp < blockDim.x / 32; warp++) total += of_warps[warp];
    of_blocks[blockIdx.x] = total;
  }
}

extern "C" __global__ void histogram(const unsigned char *data, unsigned *counts, int n) {
  __shared__ unsigned mine[8];
  if (threadIdx.x < 8) mine[threadIdx.x] = 0;
  __syncthreads();
  for (int at = threadIdx.x; at < n; at += blockDim.x) atomicAdd(&mine[data[at] & 7], 1u);
  __syncthreads();
  if (threadIdx.x < 8) atomicAdd(&counts[threadIdx.x], mine[threadIdx.x]);
}

extern "C" __global__ void votes(unsigned *out) {
  unsigned lane = threadIdx.x;
  unsigned odd = __ballot_sync(0xffffffffu, lane & 1);
  int other = __shfl_xor_sync(0xffffffffu, (int)lane, 1);
  double up = __shfl_up_sync(0xffffffffu, (double)lane, 2, 8);
  unsigned half = 0;
  if (lane < 16) half = __reduce_add_sync(0x0000ffffu, lane);
  out[lane] = odd == 0xaaaaaaaau && __syncthreads_count(lane < 5) == 5 ? other * 10000 + (int)up * 100 + (half == 120) : 0;
}

template <int N> __device__ void reverse(float *data) {
  __shared__ float kept[N];
  kept[threadIdx.x] = data[threadIdx.x];
  __syncthreads();
  data[threadIdx.x] = kept[N - 1 - threadIdx.x];
}
extern "C" __global__ void reverse64(float *data) { reverse<64>(data); }

// Dynamic shared memory, and half of the threads gone before the barrier.
extern "C" __global__ void shifted(float *data) {
  extern __shared__ float kept[];
  if (threadIdx.x >= 32) return;
  kept[threadIdx.x] = data[threadIdx.x];
  __syncthreads();
  data[threadIdx.x] = kept[(threadIdx.x + 1) % 32];
}
