//! Conversion of volumes to another type as an operation of CUDA GPUs, and of logits to the probabilities that a finer
//! stage reads: volumes and gradients keep the layout of these kernels.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, TensorMetadata, backend_extension,
};
use burn::tensor::{DType, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use crate::nets::cuda::kernel::{CudaKernel, KernelFile};
use crate::nets::cuda::layout::{ChannelsLast, bf16_macro, strides_of, to_field, volume_shape};
use crate::nets::operations::{BackwardPass, InputGradients};

/// Threads of a block, and bytes that each writes.
const THREADS: usize = 256;
const GRANULE: usize = 16;

/// Converts `[b, c, d, h, w]` from f32 or bf16 to f32 or bf16.
pub(in crate::nets) fn convert_volume(volume: Tensor<5>, dtype: DType) -> Tensor<5> {
    Tensor::from_dispatch(<Dispatch as ConvertVolume>::convert_type(volume.into_dispatch(), dtype))
}

/// Computes the probabilities of logits `[b, c, d, h, w]`, f32, in f32 or bf16.
pub(in crate::nets) fn compute_probabilities(logits: Tensor<5>, dtype: DType) -> Tensor<5> {
    Tensor::from_dispatch(<Dispatch as ConvertVolume>::compute_probabilities(
        logits.into_dispatch(),
        dtype,
    ))
}

/// Passes of a conversion.
#[backend_extension(Cube, Autodiff, Fusion)]
pub(in crate::nets) trait ConvertVolume: Backend {
    #[fusion(dtype = *dtype, shape = volume)]
    fn convert_type(volume: FloatTensor<Self>, dtype: DType) -> FloatTensor<Self>;

    #[fusion(dtype = *dtype, shape = logits)]
    fn compute_probabilities(logits: FloatTensor<Self>, dtype: DType) -> FloatTensor<Self>;

    /// Gradient of logits, f32.
    #[fusion(dtype = logits, shape = logits)]
    fn probability_gradient(
        logits: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// Values that the kernel makes of what it reads.
#[derive(Clone, Copy)]
enum Logistic {
    None,
    Forward,
    Gradient,
}

fn convert_channels(
    source: &CubeTensor,
    logits: &CubeTensor,
    dtype: DType,
    logistic: Logistic,
) -> CubeTensor {
    let shape @ [b, c, d, h, w] = volume_shape(source);
    let target = ChannelsLast::allocate_as(source, shape, dtype);
    let voxels = b * d * h * w;
    let granules = voxels * target.pitch * dtype.size() / GRANULE;
    let strides = [source, logits].map(strides_of).concat();
    let sizes = [d, h, w, voxels, c].into_iter().chain(strides).chain([target.pitch]);
    let fields: Vec<i32> = sizes.map(to_field).collect();
    let (_, source_bf16) = bf16_macro(source.dtype);
    let macros = [bf16_macro(dtype), ("SOURCE_BF16", source_bf16), ("LOGISTIC", logistic as u32)];
    CudaKernel::new(KernelFile::ConvertChannels, &macros).launch_blocks(
        &source.client,
        [granules.div_ceil(THREADS), 1, 1],
        &[&source.handle, &logits.handle, &target.tensor.handle],
        &fields,
    );
    target.tensor
}

impl ConvertVolume for CubeBackend {
    fn convert_type(volume: CubeTensor, dtype: DType) -> CubeTensor {
        convert_channels(&volume, &volume, dtype, Logistic::None)
    }

    fn compute_probabilities(logits: CubeTensor, dtype: DType) -> CubeTensor {
        convert_channels(&logits, &logits, dtype, Logistic::Forward)
    }

    fn probability_gradient(logits: CubeTensor, slopes: CubeTensor) -> CubeTensor {
        convert_channels(&slopes, &logits, DType::F32, Logistic::Gradient)
    }
}

impl<B: ConvertVolume, C: CheckpointStrategy> ConvertVolume for Autodiff<B, C> {
    fn convert_type(volume: FloatTensor<Self>, dtype: DType) -> FloatTensor<Self> {
        match BackwardPass::<Converted>::new()
            .prepare::<C>([volume.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(tracked) => {
                let volume = volume.into_primitive();
                tracked.finish(Converted(volume.dtype()), B::convert_type(volume, dtype))
            }
            OpsKind::UnTracked(untracked) => {
                untracked.finish(B::convert_type(volume.into_primitive(), dtype))
            }
        }
    }

    fn compute_probabilities(logits: FloatTensor<Self>, dtype: DType) -> FloatTensor<Self> {
        match BackwardPass::<Logits>::new().prepare::<C>([logits.node()]).compute_bound().stateful()
        {
            OpsKind::Tracked(mut tracked) => {
                let saved = Logits(tracked.checkpoint(&logits));
                tracked.finish(saved, B::compute_probabilities(logits.into_primitive(), dtype))
            }
            OpsKind::UnTracked(untracked) => {
                untracked.finish(B::compute_probabilities(logits.into_primitive(), dtype))
            }
        }
    }

    fn probability_gradient(
        logits: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (logits, slopes) = (logits.into_primitive(), slopes.into_primitive());
        Self::from_inner(B::probability_gradient(logits, slopes))
    }
}

/// Type that was converted from.
#[derive(Debug, Clone)]
struct Converted(DType);

impl<B: ConvertVolume> InputGradients<B, 1> for Converted {
    fn compute_gradients(
        self,
        slopes: FloatTensor<B>,
        _: &mut Checkpointer,
    ) -> [FloatTensor<B>; 1] {
        [B::convert_type(slopes, self.0)]
    }
}

/// Logits whose probabilities were computed.
#[derive(Debug, Clone)]
struct Logits(NodeId);

impl<B: ConvertVolume> InputGradients<B, 1> for Logits {
    fn compute_gradients(
        self,
        slopes: FloatTensor<B>,
        checkpointer: &mut Checkpointer,
    ) -> [FloatTensor<B>; 1] {
        [B::probability_gradient(checkpointer.retrieve_node_output(self.0), slopes)]
    }
}
