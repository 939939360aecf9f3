//! Mean squared error between volumes as an operation of CUDA GPUs, with a gradient of its own in the volumes' layout.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::server::Handle;

use crate::nets::cuda::kernel::{CudaKernel, KernelFile};
use crate::nets::cuda::layout::{ChannelsLast, bf16_macro, to_field, volume_shape};
use crate::nets::operations::{BackwardPass, InputGradients};

/// Threads of a block, bytes that each reads at once, and blocks that keep a large card busy.
const THREADS: usize = 256;
const GRANULE: usize = 16;
const BLOCKS_WANTED: usize = 1056;

/// Averages the squared differences of volumes `[b, c, d, h, w]` of one type over all values, `[1]` in f32; only
/// `volume` has a gradient.
pub(in crate::nets) fn squared_error(volume: Tensor<5>, wanted: Tensor<5>) -> Tensor<1> {
    let (volume, wanted) = (volume.into_dispatch(), wanted.into_dispatch());
    Tensor::from_dispatch(<Dispatch as SquaredError>::squared_error(volume, wanted))
}

/// ErrorPasses of a mean squared error.
#[backend_extension(Cube, Autodiff, Fusion)]
pub(in crate::nets) trait SquaredError: Backend {
    #[fusion(dtype = DType::F32, shape = of_mean(volume))]
    fn squared_error(volume: FloatTensor<Self>, wanted: FloatTensor<Self>) -> FloatTensor<Self>;

    #[fusion(dtype = volume, shape = volume)]
    fn squared_error_gradient(
        volume: FloatTensor<Self>,
        wanted: FloatTensor<Self>,
        slope: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

fn of_mean(_volume: &Shape) -> Shape {
    Shape::from([1])
}

/// Both volumes, and what the kernels are told of them.
struct ErrorPasses {
    volume: ChannelsLast,
    wanted: ChannelsLast,
    granules: usize,
    blocks: usize,
    fields: Vec<i32>,
}

impl ErrorPasses {
    fn new(volume: CubeTensor, wanted: CubeTensor) -> Self {
        let [b, c, d, h, w] = volume_shape(&volume);
        let [volume, wanted] = [volume, wanted].map(ChannelsLast::with_own_pitch);
        let voxels = b * d * h * w;
        let granules = voxels * volume.pitch * volume.tensor.dtype.size() / GRANULE;
        let blocks = granules.div_ceil(THREADS).min(BLOCKS_WANTED);
        let fields = [voxels, c, volume.pitch, blocks].map(to_field).to_vec();
        Self { volume, wanted, granules, blocks, fields }
    }

    fn launch_kernel(&self, file: KernelFile, blocks: usize, buffers: &[&Handle]) {
        let tensor = &self.volume.tensor;
        let kernel = CudaKernel::new(file, &[bf16_macro(tensor.dtype)]);
        kernel.launch_blocks(&tensor.client, [blocks, 1, 1], buffers, &self.fields);
    }
}

impl SquaredError for CubeBackend {
    fn squared_error(volume: CubeTensor, wanted: CubeTensor) -> CubeTensor {
        let passes = ErrorPasses::new(volume, wanted);
        let [volume, wanted] = [&passes.volume.tensor, &passes.wanted.tensor];
        let client = volume.client.clone();
        let [parts, mean] = [passes.blocks, 1].map(|count| client.empty(count * size_of::<f32>()));
        let buffers = [&volume.handle, &wanted.handle, &parts];
        passes.launch_kernel(KernelFile::SquaredErrorSums, passes.blocks, &buffers);
        passes.launch_kernel(KernelFile::SquaredError, 1, &[&parts, &mean]);
        CubeTensor::new_contiguous(
            client,
            volume.device.clone(),
            Shape::from([1]),
            mean,
            DType::F32,
        )
    }

    fn squared_error_gradient(
        volume: CubeTensor,
        wanted: CubeTensor,
        slope: CubeTensor,
    ) -> CubeTensor {
        let shape = volume_shape(&volume);
        let passes = ErrorPasses::new(volume, wanted);
        let target = ChannelsLast::allocate(&passes.volume.tensor, shape).tensor;
        let [volume, wanted] = [&passes.volume.tensor, &passes.wanted.tensor];
        let buffers = [&volume.handle, &wanted.handle, &slope.handle, &target.handle];
        let blocks = passes.granules.div_ceil(THREADS);
        passes.launch_kernel(KernelFile::SquaredErrorGradient, blocks, &buffers);
        target
    }
}

impl<B: SquaredError, C: CheckpointStrategy> SquaredError for Autodiff<B, C> {
    fn squared_error(volume: FloatTensor<Self>, wanted: FloatTensor<Self>) -> FloatTensor<Self> {
        let wanted = wanted.into_primitive();
        let node = volume.node();
        match BackwardPass::<ComparedVolumes<B>>::new()
            .prepare::<C>([node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut tracked) => {
                let saved =
                    ComparedVolumes { volume: tracked.checkpoint(&volume), wanted: wanted.clone() };
                tracked.finish(saved, B::squared_error(volume.into_primitive(), wanted))
            }
            OpsKind::UnTracked(untracked) => {
                untracked.finish(B::squared_error(volume.into_primitive(), wanted))
            }
        }
    }

    fn squared_error_gradient(
        volume: FloatTensor<Self>,
        wanted: FloatTensor<Self>,
        slope: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let [volume, wanted, slope] = [volume, wanted, slope].map(|tensor| tensor.into_primitive());
        Self::from_inner(B::squared_error_gradient(volume, wanted, slope))
    }
}

/// State that the error's gradient needs of it.
#[derive(Debug, Clone)]
struct ComparedVolumes<B: Backend> {
    volume: NodeId,
    wanted: FloatTensor<B>,
}

impl<B: SquaredError> InputGradients<B, 1> for ComparedVolumes<B> {
    fn compute_gradients(
        self,
        slope: FloatTensor<B>,
        checkpointer: &mut Checkpointer,
    ) -> [FloatTensor<B>; 1] {
        let volume = checkpointer.retrieve_node_output(self.volume);
        [B::squared_error_gradient(volume, self.wanted, slope)]
    }
}
