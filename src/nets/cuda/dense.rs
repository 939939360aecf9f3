//! Dense layer as an operation of CUDA GPUs: its input and its answer may be volumes in the layout of these kernels, so
//! that none is laid out for it.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, TensorMetadata, backend_extension,
};
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;
use cubecl::server::Handle;

use crate::nets::cuda::kernel::{CudaKernel, KernelFile};
use crate::nets::cuda::layout::{ChannelsLast, bf16_macro, to_field, volume_shape};
use crate::nets::operations::{BackwardPass, InputGradients};

/// Threads of a block.
const THREADS: usize = 256;

/// Answer of a dense layer: rows, or a volume with ReLU behind it.
#[derive(Debug, Clone, Copy)]
pub(in crate::nets) struct DenseAnswer {
    /// The volume's `[c, d, h, w]`.
    volume: Option<[usize; 4]>,
    dtype: DType,
}

/// Computes the rows `[b, k]` of `weight [k, n]` and `bias [k]`, f32, from a volume `[b, c, d, h, w]` whose values
/// are `n` a sample.
pub(in crate::nets) fn dense_of_volume(
    volume: Tensor<5>,
    weight: Tensor<2>,
    bias: Tensor<1>,
) -> Tensor<2> {
    let answer = DenseAnswer { volume: None, dtype: DType::F32 };
    let [volume, weight, bias] =
        [volume.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(<Dispatch as ApplyDense>::apply_dense(volume, weight, bias, answer))
}

/// Computes a volume `[b, c, d, h, w]` of rows `[b, n]` in f32, with ReLU behind it.
pub(in crate::nets) fn dense_to_volume(
    rows: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    [_, c, d, h, w]: [usize; 5],
    dtype: DType,
) -> Tensor<5> {
    let answer = DenseAnswer { volume: Some([c, d, h, w]), dtype };
    let [rows, weight, bias] = [rows.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(<Dispatch as ApplyDense>::apply_dense(rows, weight, bias, answer))
}

/// Passes of a dense layer.
#[backend_extension(Cube, Autodiff, Fusion)]
pub(in crate::nets) trait ApplyDense: Backend {
    #[fusion(dtype = answer.dtype, shape = answer_shape(input, weight, *answer))]
    fn apply_dense(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        answer: DenseAnswer,
    ) -> FloatTensor<Self>;

    /// Gradients of input, weight and bias.
    #[fusion(meta = |input, weight, bias, _answers, _slopes, _answer| {
        (input.clone(), weight.clone(), bias.clone())
    })]
    fn dense_gradients(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        answers: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        answer: DenseAnswer,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

fn answer_shape(input: &Shape, weight: &Shape, answer: DenseAnswer) -> Shape {
    let rows = || Shape::from([input[0], weight[0]]);
    answer.volume.map_or_else(rows, |[c, d, h, w]| Shape::from([input[0], c, d, h, w]))
}

/// Rows, or a volume of the kernels' layout, as they find a sample's values.
struct Values {
    tensor: CubeTensor,
    /// Values of a sample, its voxels, and elements from voxel to voxel.
    sizes: [usize; 3],
}

impl Values {
    fn new(tensor: CubeTensor) -> Self {
        if tensor.shape().num_dims() == 2 {
            let tensor = into_contiguous(tensor);
            let values = tensor.shape()[1];
            return Self { tensor, sizes: [values, 1, values] };
        }
        let [_, c, d, h, w] = volume_shape(&tensor);
        let ChannelsLast { tensor, pitch } = ChannelsLast::with_own_pitch(tensor);
        Self { tensor, sizes: [c * d * h * w, d * h * w, pitch] }
    }

    fn allocate(like: &CubeTensor, shape: &Shape, dtype: DType) -> Self {
        if shape.num_dims() == 2 {
            return Self::new(allocate_rows(like, shape, dtype));
        }
        let shape = std::array::from_fn(|axis| shape[axis]);
        Self::new(ChannelsLast::allocate_as(like, shape, dtype).tensor)
    }
}

fn allocate_rows(like: &CubeTensor, shape: &Shape, dtype: DType) -> CubeTensor {
    let handle = like.client.empty(shape.num_elements() * dtype.size());
    let (client, device) = (like.client.clone(), like.device.clone());
    CubeTensor::new_contiguous(client, device, shape.clone(), handle, dtype)
}

fn launch_dense(
    file: KernelFile,
    client: &Client,
    [input, answers]: [&Values; 2],
    blocks: [usize; 2],
    buffers: &[&Handle],
) {
    let samples = input.tensor.shape()[0];
    let fields: Vec<i32> =
        [samples].into_iter().chain(input.sizes).chain(answers.sizes).map(to_field).collect();
    let (_, answer_bf16) = bf16_macro(answers.tensor.dtype);
    let has_relu = u32::from(answers.tensor.shape().num_dims() > 2);
    let macros = [bf16_macro(input.tensor.dtype), ("ANSWER_BF16", answer_bf16), ("RELU", has_relu)];
    let [x, y] = blocks;
    CudaKernel::new(file, &macros).launch_blocks(client, [x, y, 1], buffers, &fields);
}

impl ApplyDense for CubeBackend {
    fn apply_dense(
        input: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        answer: DenseAnswer,
    ) -> CubeTensor {
        let shape = answer_shape(&input.shape(), &weight.shape(), answer);
        let input = Values::new(input);
        let answers = Values::allocate(&input.tensor, &shape, answer.dtype);
        let [weight, bias] = [weight, bias].map(into_contiguous);
        let buffers = [&input.tensor.handle, &weight.handle, &bias.handle, &answers.tensor.handle];
        let blocks = [answers.sizes[0].div_ceil(THREADS / 32), 1];
        launch_dense(KernelFile::Dense, &weight.client, [&input, &answers], blocks, &buffers);
        answers.tensor
    }

    fn dense_gradients(
        input: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        answers: CubeTensor,
        slopes: CubeTensor,
        _answer: DenseAnswer,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let input = Values::new(input);
        let [answers, slopes] = [answers, slopes].map(Values::new);
        let weight = into_contiguous(weight);
        let gradient = Values::allocate(&input.tensor, &input.tensor.shape(), input.tensor.dtype);
        let of_weight = allocate_rows(&weight, &weight.shape(), DType::F32);
        let of_bias = allocate_rows(&bias, &bias.shape(), DType::F32);
        let client = &weight.client;
        let [of_answers, of_slopes] = [&answers.tensor.handle, &slopes.tensor.handle];
        let buffers = [&weight.handle, of_answers, of_slopes, &gradient.tensor.handle];
        let blocks = [input.sizes[0].div_ceil(32), 1];
        launch_dense(KernelFile::DenseInputGradient, client, [&input, &answers], blocks, &buffers);
        let buffers =
            [&input.tensor.handle, of_answers, of_slopes, &of_weight.handle, &of_bias.handle];
        let blocks = [input.sizes[0].div_ceil(THREADS), answers.sizes[0]];
        launch_dense(KernelFile::DenseWeightGradient, client, [&input, &answers], blocks, &buffers);
        (gradient.tensor, of_weight, of_bias)
    }
}

impl<B: ApplyDense, C: CheckpointStrategy> ApplyDense for Autodiff<B, C> {
    fn apply_dense(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        answer: DenseAnswer,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), weight.node(), bias.node()];
        match BackwardPass::<SavedDense<B>>::new().prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut tracked) => {
                let inputs = [&input, &weight, &bias].map(|tensor| tracked.checkpoint(tensor));
                let [input, weight, bias] =
                    [input, weight, bias].map(|tensor| tensor.into_primitive());
                let answers = B::apply_dense(input, weight, bias, answer);
                let saved = SavedDense { inputs, answers: answers.clone(), answer };
                tracked.finish(saved, answers)
            }
            OpsKind::UnTracked(untracked) => {
                let [input, weight, bias] =
                    [input, weight, bias].map(|tensor| tensor.into_primitive());
                untracked.finish(B::apply_dense(input, weight, bias, answer))
            }
        }
    }

    fn dense_gradients(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        answers: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        answer: DenseAnswer,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [input, weight, bias, answers, slopes] =
            [input, weight, bias, answers, slopes].map(|tensor| tensor.into_primitive());
        let (input, weight, bias) =
            B::dense_gradients(input, weight, bias, answers, slopes, answer);
        (Self::from_inner(input), Self::from_inner(weight), Self::from_inner(bias))
    }
}

/// State that a dense layer's gradients need of it.
#[derive(Debug, Clone)]
struct SavedDense<B: Backend> {
    /// Input, weight and bias.
    inputs: [NodeId; 3],
    answers: FloatTensor<B>,
    answer: DenseAnswer,
}

impl<B: ApplyDense> InputGradients<B, 3> for SavedDense<B> {
    fn compute_gradients(
        self,
        slopes: FloatTensor<B>,
        checkpointer: &mut Checkpointer,
    ) -> [FloatTensor<B>; 3] {
        let Self { inputs, answers, answer } = self;
        let [input, weight, bias] =
            inputs.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        B::dense_gradients(input, weight, bias, answers, slopes, answer).into()
    }
}
