// What CUDA's headers offer on top of PTX, and PTX in the ways in which code generators write it.
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cuda/barrier>
#include <cuda_bf16.h>
#include <cuda_pipeline.h>

extern "C" __global__ void pipeline(const float4 *data, float *out) {
  __shared__ float4 kept[64];
  __pipeline_memcpy_async(&kept[threadIdx.x], &data[threadIdx.x], 16);
  __pipeline_commit();
  __pipeline_wait_prior(0);
  cooperative_groups::this_thread_block().sync();
  float4 other = kept[63 - threadIdx.x];
  out[threadIdx.x] = other.x + other.y + other.z + other.w;
}

extern "C" __global__ void barrier_object(const float *data, float *out) {
  __shared__ alignas(16) float kept[64];
  __shared__ cuda::barrier<cuda::thread_scope_block> bar;
  if (threadIdx.x == 0) init(&bar, blockDim.x);
  __syncthreads();
  auto block = cooperative_groups::this_thread_block();
  cuda::memcpy_async(block, kept, data, sizeof(float) * 64, bar);
  bar.arrive_and_wait();
  out[threadIdx.x] = kept[63 - threadIdx.x];
}

// Each lane takes the row of the lane across: stored as matrices, read back by ldmatrix.
extern "C" __global__ void matrices(unsigned *out) {
  __shared__ __align__(16) unsigned short kept[32][8];
  unsigned lane = threadIdx.x, given[4], taken[4];
  for (int one = 0; one < 4; one++) given[one] = lane * 4 + one;
  unsigned row = __cvta_generic_to_shared(kept[lane]);
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row), "r"(given[0]), "r"(given[1]),
               "r"(given[2]), "r"(given[3]));
  __syncwarp();
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(taken[0]), "=r"(taken[1]), "=r"(taken[2]), "=r"(taken[3]) : "r"(row));
  for (int one = 0; one < 4; one++) out[lane * 4 + one] = taken[one];
}

extern "C" __global__ void registers(const float *data, float *out, unsigned *counts) {
  float a, b, c, d;
  asm volatile("ld.global.nc.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(a), "=f"(b), "=f"(c), "=f"(d) : "l"(data + 4 * threadIdx.x));
  float most;
  asm("{ .reg .f32 %first; max.f32 %first, %1, %2; max.NaN.f32 %0, %first, %3; }" : "=f"(most) : "f"(a), "f"(b), "f"(c));
  unsigned is_first;
  asm volatile("{\n\t.reg .pred %%px;\n\t.reg .b32 %mask;\n\tactivemask.b32 %mask;\n\telect.sync _|%%px, %mask;\n\tselp.b32 %0, 1, 0, %%px;\n\t}"
               : "=r"(is_first) : );
  if (is_first) asm volatile("red.relaxed.gpu.global.add.u32 [%0], %1;" ::"l"(counts), "r"(5));
  asm volatile(
      "{\n .reg .pred p;\n setp.gt.f32 p, %1, %2;\n @p st.global.f32 [%0], %1;\n @!p st.global.f32 [%0 + 4], %2;\n}" ::"l"(
          out + 2 * threadIdx.x), "f"(most), "f"(d));
}

extern "C" __global__ void halves(const float *data, unsigned *out) {
  unsigned packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(data[1]), "f"(data[0]));
  __nv_bfloat162 both = __floats2bfloat162_rn(data[0], data[1]);
  out[0] = packed;
  out[1] = *reinterpret_cast<unsigned *>(&both);
}
