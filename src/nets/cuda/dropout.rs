//! Dropout of single values as an operation of CUDA GPUs: a bit a value crosses the bus.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Tensor, TensorData};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use crate::nets::cuda::kernel::{CudaKernel, KernelFile};
use crate::nets::cuda::layout::{ChannelsLast, bf16_macro, to_field, volume_shape};
use crate::nets::operations::{BackwardPass, InputGradients};

/// Threads of a block, and bytes that each writes.
const THREADS: usize = 256;
const GRANULE: usize = 16;

/// Sets the values of `[b, c, d, h, w]` whose bit is set to 0 and multiplies the others by `scale`; bits are in
/// the order of the axes, 32 a word, the lowest first.
pub(in crate::nets) fn drop_values(volume: Tensor<5>, bits: &[u32], scale: f32) -> Tensor<5> {
    // As floats, which an operation may have; the kernel takes them for what they are.
    let words: Vec<f32> = bits.iter().map(|word| f32::from_bits(*word)).collect();
    let words = TensorData::new(words, [bits.len()]);
    let device = volume.device().without_autodiff();
    let words = Tensor::<1>::from_data(words, (&device, DType::F32));
    let (volume, words) = (volume.into_dispatch(), words.into_dispatch());
    Tensor::from_dispatch(<Dispatch as DropValues>::drop_values(volume, words, scale))
}

/// Dropout, which is its own gradient.
#[backend_extension(Cube, Autodiff, Fusion)]
pub(in crate::nets) trait DropValues: Backend {
    #[fusion(dtype = volume, shape = volume)]
    fn drop_values(
        volume: FloatTensor<Self>,
        words: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self>;
}

impl DropValues for CubeBackend {
    fn drop_values(volume: CubeTensor, words: CubeTensor, scale: f32) -> CubeTensor {
        let shape @ [b, c, d, h, w] = volume_shape(&volume);
        let source = ChannelsLast::from_tensor(volume);
        let target = ChannelsLast::allocate(&source.tensor, shape);
        let dtype = target.tensor.dtype;
        let voxels = d * h * w;
        let mut fields = [b, voxels, c, source.pitch, target.pitch].map(to_field).to_vec();
        fields.push(scale.to_bits().cast_signed());
        let granules = b * voxels * (target.pitch * dtype.size() / GRANULE);
        CudaKernel::new(KernelFile::DropValues, &[bf16_macro(dtype)]).launch_blocks(
            &source.tensor.client,
            [granules.div_ceil(THREADS), 1, 1],
            &[&source.tensor.handle, &words.handle, &target.tensor.handle],
            &fields,
        );
        target.tensor
    }
}

impl<B: DropValues, C: CheckpointStrategy> DropValues for Autodiff<B, C> {
    fn drop_values(
        volume: FloatTensor<Self>,
        words: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        let words = words.into_primitive();
        let backward = BackwardPass::<DroppedValues<B>>::new();
        match backward.prepare::<C>([volume.node()]).compute_bound().stateful() {
            OpsKind::Tracked(tracked) => {
                let saved = DroppedValues { words: words.clone(), scale };
                tracked.finish(saved, B::drop_values(volume.into_primitive(), words, scale))
            }
            OpsKind::UnTracked(untracked) => {
                untracked.finish(B::drop_values(volume.into_primitive(), words, scale))
            }
        }
    }
}

/// Bits of the values that were dropped.
#[derive(Debug, Clone)]
struct DroppedValues<B: Backend> {
    words: FloatTensor<B>,
    scale: f32,
}

impl<B: DropValues> InputGradients<B, 1> for DroppedValues<B> {
    fn compute_gradients(
        self,
        slopes: FloatTensor<B>,
        _: &mut Checkpointer,
    ) -> [FloatTensor<B>; 1] {
        [B::drop_values(slopes, self.words, self.scale)]
    }
}
