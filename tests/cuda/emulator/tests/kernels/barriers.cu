// mbarriers, bulk copies and copies by tensor maps.

struct alignas(64) CUtensorMap {
  unsigned long long opaque[16];
};

__device__ __forceinline__ unsigned shared(const void *at) { return static_cast<unsigned>(__cvta_generic_to_shared(at)); }

__device__ __forceinline__ void wait(unsigned barrier, unsigned parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra over;\n"
      "bra again;\n"
      "over:\n"
      "}\n" ::"r"(barrier), "r"(parity) : "memory");
}

#define BEGIN(barrier, count) asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count))

// One warp brings pieces of 64 numbers into two buffers, the other sums them.
extern "C" __global__ void ring(const float *data, float *out, int pieces) {
  __shared__ __align__(128) float buffers[2][64];
  __shared__ __align__(8) unsigned long long full[2], empty[2];
  if (threadIdx.x == 0)
    for (int one = 0; one < 2; one++) {
      BEGIN(shared(&full[one]), 1);
      BEGIN(shared(&empty[one]), 32);
    }
  __syncthreads();
  if (threadIdx.x < 32) {
    if (threadIdx.x == 0)
      for (int piece = 0; piece < pieces; piece++) {
        int one = piece % 2;
        if (piece >= 2) wait(shared(&empty[one]), (piece / 2 - 1) & 1);
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared(&full[one])), "r"(256));
        asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                         shared(buffers[one])), "l"(data + piece * 64), "r"(256), "r"(shared(&full[one])));
      }
    return;
  }
  float sum = 0.0f;
  for (int piece = 0; piece < pieces; piece++) {
    int one = piece % 2;
    wait(shared(&full[one]), piece / 2 & 1);
    sum += buffers[one][threadIdx.x - 32] + buffers[one][threadIdx.x];
    asm volatile("{ .reg .b64 state; mbarrier.arrive.shared::cta.b64 state, [%0]; }" ::"r"(shared(&empty[one])));
  }
  out[threadIdx.x - 32] = sum;
}

// A box of 2 x 4 x 8 numbers at (x, y, z) of a volume, as it lies in shared memory.
extern "C" __global__ void box(const __grid_constant__ CUtensorMap map, float *out, int x, int y, int z) {
  __shared__ __align__(1024) float kept[64];
  __shared__ __align__(8) unsigned long long full;
  if (threadIdx.x == 0) {
    BEGIN(shared(&full), 1);
    asm volatile("fence.mbarrier_init.release.cluster;");
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared(&full)), "r"(256));
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(
                     shared(kept)), "l"(&map), "r"(x), "r"(y), "r"(z), "r"(shared(&full)));
  }
  __syncthreads();
  wait(shared(&full), 0);
  out[threadIdx.x] = kept[threadIdx.x];
}

// 8 pixels with 4 channels each of an image [n, h, w, c] from (w, h) on, moved by (dw, dh).
extern "C" __global__ void columns(const __grid_constant__ CUtensorMap map, float *out, int w, int h, unsigned short dw, unsigned short dh) {
  __shared__ __align__(128) float kept[32];
  __shared__ __align__(8) unsigned long long full;
  if (threadIdx.x == 0) {
    BEGIN(shared(&full), 1);
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared(&full)), "r"(128));
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3, %4, %5}], [%6], {%7, %8};" ::"r"(shared(kept)), "l"(&map), "r"(0), "r"(w), "r"(h), "r"(0),
                 "r"(shared(&full)), "h"(dw), "h"(dh));
  }
  __syncthreads();
  wait(shared(&full), 0);
  out[threadIdx.x] = kept[threadIdx.x];
}
