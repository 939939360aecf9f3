// C = A B with the two interfaces to tensor cores, in every type the emulator knows.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

__device__ __forceinline__ void copy16(void *to, const void *from, bool has) {
  unsigned at = static_cast<unsigned>(__cvta_generic_to_shared(to));
  int bytes = has ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(at), "l"(from), "r"(bytes));
}

// A [m, k] and B [n, k] in bf16, C [m, n] in f32: tiles of 16 x 8 by one warp, two buffers ahead of the products.
extern "C" __global__ void __launch_bounds__(32)
bf16_pipelined(const __nv_bfloat16 *a, const __nv_bfloat16 *b, float *c, int m, int n, int k) {
  constexpr int STEP = 16, PITCH = STEP + 8;
  __shared__ __align__(16) __nv_bfloat16 left[2][16][PITCH], right[2][8][PITCH];
  int row = blockIdx.y * 16, column = blockIdx.x * 8, lane = threadIdx.x;
  float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  auto fetch = [&](int buffer, int from) {
    int r = lane / 2, part = lane % 2 * 8;
    copy16(&left[buffer][r][part], row + r < m ? a + (row + r) * k + from + part : a, row + r < m);
    if (lane < 16) copy16(&right[buffer][r][part], column + r < n ? b + (column + r) * k + from + part : b, column + r < n);
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
  fetch(0, 0);
  for (int at = 0; at < k; at += STEP) {
    int buffer = at / STEP % 2;
    if (at + STEP < k) fetch(buffer ^ 1, at + STEP);
    if (at + STEP < k)
      asm volatile("cp.async.wait_group 1;" ::: "memory");
    else
      asm volatile("cp.async.wait_group %0;" ::"n"(0) : "memory");
    __syncthreads();
    unsigned x[4], y[2];
    unsigned from = __cvta_generic_to_shared(&left[buffer][lane % 16][lane / 16 * 8]);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(from));
    from = __cvta_generic_to_shared(&right[buffer][lane % 8][lane / 8 % 2 * 8]);
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(y[0]), "=r"(y[1]) : "r"(from));
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
    __syncthreads();
  }
  for (int one = 0; one < 4; one++) {
    int r = row + lane / 4 + one / 2 * 8, q = column + lane % 4 * 2 + one % 2;
    if (r < m && q < n) c[r * n + q] = sum[one];
  }
}

// One product of 16 x 8 x K, operands straight from memory: A [16, K], B [K, 8].
extern "C" __global__ void tf32_registers(const float *a, const float *b, float *c) {
  int lane = threadIdx.x, g = lane / 4, t = lane % 4;
  unsigned x[4], y[2];
  const float left[4] = {a[g * 8 + t], a[(g + 8) * 8 + t], a[g * 8 + t + 4], a[(g + 8) * 8 + t + 4]};
  const float right[2] = {b[t * 8 + g], b[(t + 4) * 8 + g]};
  for (int one = 0; one < 4; one++) asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(x[one]) : "f"(left[one]));
  for (int one = 0; one < 2; one++) asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y[one]) : "f"(right[one]));
  float d[4];
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]), "f"(0.0f), "f"(0.0f), "f"(0.0f), "f"(0.0f));
  for (int one = 0; one < 4; one++) c[(g + one / 2 * 8) * 8 + 2 * t + one % 2] = d[one];
}

extern "C" __global__ void f16_registers(const float *a, const float *b, float *c) {
  int lane = threadIdx.x, g = lane / 4, t = lane % 4;
  auto pair = [](float low, float high) {
    __half2 both = __floats2half2_rn(low, high);
    return *reinterpret_cast<unsigned *>(&both);
  };
  unsigned x[2] = {pair(a[g * 8 + 2 * t], a[g * 8 + 2 * t + 1]), pair(a[(g + 8) * 8 + 2 * t], a[(g + 8) * 8 + 2 * t + 1])};
  unsigned y = pair(b[2 * t * 8 + g], b[(2 * t + 1) * 8 + g]);
  float d[4] = {};
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(x[0]), "r"(x[1]), "r"(y));
  for (int one = 0; one < 4; one++) c[(g + one / 2 * 8) * 8 + 2 * t + one % 2] = d[one];
}

// A [16, 16] by rows, B [16, 16] by columns; doubled in the accumulator.
extern "C" __global__ void fragments(const __half *a, const __half *b, float *c) {
  using namespace nvcuda;
  wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> left;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::col_major> right;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
  wmma::fill_fragment(sum, 0.0f);
  wmma::load_matrix_sync(left, a, 16);
  wmma::load_matrix_sync(right, b, 16);
  wmma::mma_sync(sum, left, right, sum);
  for (int one = 0; one < sum.num_elements; one++) sum.x[one] *= 2.0f;
  wmma::store_matrix_sync(c, sum, 16, wmma::mem_row_major);
}
