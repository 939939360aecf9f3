//! Volume operations that Burn 0.22 lacks: pooling by two, trilinear up-sampling by two, and a fast
//! transposed convolution by two.
//!
//! On the CPU in f32 and on CUDA GPUs they are operations of our own (`nets/operations`); elsewhere compositions of
//! differentiable operations of every backend, which are what the former are held against.

use burn::tensor::activation::sigmoid;
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Tensor, TensorData};

#[cfg(feature = "cuda")]
use crate::nets::cuda;
use crate::nets::{cast, operations};

/// Maximum pooling 2x2x2, stride 2: `[b, c, d, h, w]` to `[b, c, d/2, h/2, w/2]`. Where voxels tie,
/// the gradient goes to the first in memory order, as PyTorch's does.
///
/// # Panics
/// If an axis is odd.
pub fn max_pool(volume: Tensor<5>) -> Tensor<5> {
    if operations::have_passes(&volume) {
        assert_even(volume.dims());
        return operations::max_pool(volume);
    }
    max_pool_by_planes(volume)
}

/// Mean pooling 2x2x2, stride 2; brings targets to the grid of a coarser output.
///
/// # Panics
/// If an axis is odd.
pub fn mean_pool(volume: Tensor<5>) -> Tensor<5> {
    if operations::have_passes(&volume) {
        assert_even(volume.dims());
        return operations::mean_pool(volume);
    }
    mean_pool_by_planes(volume)
}

fn max_pool_by_planes(volume: Tensor<5>) -> Tensor<5> {
    pool_with(volume, |planes, kernel| max_pool2d(planes, MaxPoolOptions::new(kernel)))
}

fn mean_pool_by_planes(volume: Tensor<5>) -> Tensor<5> {
    pool_with(volume, |planes, kernel| avg_pool2d(planes, AvgPoolOptions::new(kernel)))
}

/// Pools by two in plane, then across planes. The planar kernels keep their indices for the way
/// back, which a chain of `max_dim` or of pairwise maxima would not.
fn pool_with(volume: Tensor<5>, pool: impl Fn(Tensor<4>, [usize; 2]) -> Tensor<4>) -> Tensor<5> {
    let [b, c, d, h, w] = volume.dims();
    assert_even(volume.dims());
    let in_plane = pool(volume.reshape([b * c, d, h, w]), [2, 2]);
    let across = pool(in_plane.reshape([b, c, d, h * w / 4]), [2, 1]);
    across.reshape([b, c, d / 2, h / 2, w / 2])
}

fn assert_even([_, _, d, h, w]: [usize; 5]) {
    assert!([d, h, w].iter().all(|extent| extent % 2 == 0), "odd extent in {d} x {h} x {w}");
}

/// Trilinear up-sampling by two with half-pixel centres (`align_corners = false`): voxel `i` of the
/// result lies at `max(0, (i + 0.5) / 2 - 0.5)` of the source, clamped to its last voxel.
///
/// Where there are no passes of our own, linear along one axis after the other, each a product with a constant matrix: a
/// convolution follows, so whatever precision the device's products have is no new loss.
pub fn upsample_trilinear(volume: Tensor<5>) -> Tensor<5> {
    if operations::have_passes(&volume) {
        return operations::upsample(volume);
    }
    upsample_by_products(volume)
}

fn upsample_by_products(volume: Tensor<5>) -> Tensor<5> {
    let [b, c, d, h, w] = volume.dims();
    let device = volume.device();
    let dtype = volume.dtype();
    let doubling = |extent: usize| doubling_matrix(extent, &device, dtype);
    let along_w = volume.reshape([b * c * d * h, w]).matmul(doubling(w).transpose());
    let rows: Tensor<3> = along_w.reshape([b * c * d, h, 2 * w]);
    let along_h = doubling(h).unsqueeze::<3>().matmul(rows); // [b c d, 2h, 2w]
    let planes = along_h.reshape([b * c, d, 4 * h * w]);
    let along_d = doubling(d).unsqueeze::<3>().matmul(planes); // [b c, 2d, 4hw]
    along_d.reshape([b, c, 2 * d, 2 * h, 2 * w])
}

/// Transposed convolution with a kernel of 2x2x2 and stride 2: `[b, c, d, h, w]` and `kernel`
/// `[c, k, 2, 2, 2]` to `[b, k, 2d, 2h, 2w]`. No two blocks overlap, so it is one product, and a
/// permutation that lays the eight children of a voxel side by side.
pub fn transposed_convolution(volume: Tensor<5>, kernel: Tensor<5>) -> Tensor<5> {
    #[cfg(feature = "cuda")]
    if cuda::computes(&volume) {
        return cuda::transposed_convolve(volume, kernel);
    }
    let [b, c, d, h, w] = volume.dims();
    let [_, k, ..] = kernel.dims();
    let kernel: Tensor<3> = cast(kernel, volume.dtype()).reshape([1, c, 8 * k]).transpose();
    let children = kernel.matmul(volume.reshape([b, c, d * h * w])); // [b, 8k, dhw]
    let apart: Tensor<8> = children.reshape([b, k, 2, 2, 2, d, h, w]);
    apart.permute([0, 1, 5, 2, 6, 3, 7, 4]).reshape([b, k, 2 * d, 2 * h, 2 * w])
}

/// Concatenates the channels of volumes `[b, c, d, h, w]`.
///
/// # Panics
/// If there are none.
pub fn concatenate_channels(volumes: Vec<Tensor<5>>) -> Tensor<5> {
    #[cfg(feature = "cuda")]
    if volumes.iter().all(cuda::computes) {
        let joined = volumes.into_iter().reduce(cuda::concatenate);
        return joined.expect("there is a volume");
    }
    Tensor::cat(volumes, 1)
}

/// Takes the largest of the channels at the same place of each of `groups` groups that lie one after the other:
/// `[b, groups * c, d, h, w]` to `[b, c, d, h, w]`.
///
/// # Panics
/// If there are no channels.
pub fn max_over_groups(volume: Tensor<5>, groups: usize) -> Tensor<5> {
    #[cfg(feature = "cuda")]
    if cuda::computes(&volume) {
        return cuda::group_max(volume, groups);
    }
    let parts = volume.chunk(groups, 1).into_iter();
    parts.reduce(Tensor::max_pair).expect("there is a group")
}

/// Converts images `[b, c, d, h, w]`, in the type of their transfer, to the type to compute in.
pub fn convert_images(images: Tensor<5>, dtype: DType) -> Tensor<5> {
    #[cfg(feature = "cuda")]
    if images.dtype() == DType::F16 && cuda::are_chosen(&images.device()) {
        return cuda::lay_out_images(images, dtype);
    }
    images.cast(dtype)
}

/// Converts a volume `[b, c, d, h, w]` to another type, f32 or bf16. On CUDA GPUs its gradient keeps the layout of
/// `nets/cuda`; without a gradient, Burn's own conversion goes into one kernel with what follows.
pub fn convert_volume(volume: Tensor<5>, dtype: DType) -> Tensor<5> {
    #[cfg(feature = "cuda")]
    if volume.dtype() != dtype && volume.device().is_autodiff() && cuda::computes(&volume) {
        return cuda::convert_volume(volume, dtype);
    }
    cast(volume, dtype)
}

/// Computes the probabilities of logits `[b, c, d, h, w]`, f32, in the type `dtype`.
pub fn compute_probabilities(logits: Tensor<5>, dtype: DType) -> Tensor<5> {
    #[cfg(feature = "cuda")]
    if cuda::computes(&logits) {
        return cuda::compute_probabilities(logits, dtype);
    }
    cast(sigmoid(logits), dtype)
}

/// Averages the squared differences of volumes `[b, c, d, h, w]` over all values, in f32; `wanted` gets no gradient.
pub fn squared_error(volume: Tensor<5>, wanted: Tensor<5>) -> Tensor<1> {
    #[cfg(feature = "cuda")]
    if cuda::computes(&volume) && volume.dtype() == wanted.dtype() {
        return cuda::squared_error(volume, wanted);
    }
    let [volume, wanted] = [volume, wanted].map(|one| cast(one, DType::F32));
    (volume - wanted).square().mean()
}

/// Up-sampling matrix `[2n, n]`: each voxel's two children lie a quarter of a voxel to either side
/// of it, so they take a quarter of the neighbour there, or of the voxel itself at the border.
/// Exact in every type.
fn doubling_matrix(extent: usize, device: &Device, dtype: DType) -> Tensor<2> {
    let mut values = vec![0.0f32; 2 * extent * extent];
    for voxel in 0..extent {
        let neighbours = [voxel.saturating_sub(1), (voxel + 1).min(extent - 1)];
        for (child, neighbour) in neighbours.into_iter().enumerate() {
            let row = (2 * voxel + child) * extent;
            values[row + voxel] += 0.75;
            values[row + neighbour] += 0.25;
        }
    }
    Tensor::from_data(TensorData::new(values, [2 * extent, extent]), (device, dtype))
}

#[cfg(test)]
mod tests {
    use burn::tensor::module::conv_transpose3d;
    use burn::tensor::ops::ConvTransposeOptions;

    use super::*;
    use crate::nets::test_tensors::TestTensors;

    fn read(volume: Tensor<5>) -> Vec<f32> {
        volume.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn maximum_takes_each_block_and_sends_its_gradient_to_one_voxel() {
        let device = Device::flex().autodiff();
        // Two channels of 2 x 4 x 2: blocks along h. The first block of channel 0 is all equal.
        let values: Vec<f32> = (0..32)
            .map(|place| if place % 8 < 4 && place < 16 { 5.0 } else { place as f32 })
            .collect();
        let volume = Tensor::<5>::from_data(TensorData::new(values, [1, 2, 2, 4, 2]), &device)
            .require_grad();
        let pooled = max_pool(volume.clone());
        assert_eq!(pooled.dims(), [1, 2, 1, 2, 1]);
        assert_eq!(read(pooled.clone()), [5.0, 15.0, 27.0, 31.0]);
        let gradient = read(volume.grad(&pooled.sum().backward()).unwrap());
        let hit: Vec<usize> = (0..32).filter(|&place| gradient[place] != 0.0).collect();
        assert_eq!(hit, [0, 15, 27, 31]);
        assert!(hit.iter().all(|&place| gradient[place] == 1.0));
    }

    #[test]
    fn mean_is_over_each_block_and_its_gradient_is_spread_evenly() {
        let device = Device::flex().autodiff();
        let values: Vec<f32> = (0..16).map(|place| place as f32).collect();
        let data = TensorData::new(values, [1, 1, 2, 2, 4]);
        let volume = Tensor::<5>::from_data(data, &device).require_grad();
        let pooled = mean_pool(volume.clone());
        assert_eq!(read(pooled.clone()), [6.5, 8.5]);
        let weights = Tensor::<5>::from_data([[[[[8.0, 16.0]]]]], &device);
        let gradient = read(volume.grad(&(pooled * weights).sum().backward()).unwrap());
        assert_eq!(gradient, [1.0, 1.0, 2.0, 2.0].repeat(4));
    }

    #[test]
    fn a_transposed_convolution_is_burns_own_forward_and_backward() {
        let device = Device::flex().autodiff();
        let drawn = TestTensors::with_seed(1, &device);
        let draw = |shape: [usize; 5]| drawn.draw_standard(shape).require_grad();
        let (volume, kernel) = (draw([2, 3, 2, 4, 3]), draw([3, 5, 2, 2, 2]));
        let weights = draw([2, 5, 4, 8, 6]);
        let all = |answer: Tensor<5>| {
            let gradients = (answer.clone() * weights.clone()).sum().backward();
            let of = |tensor: &Tensor<5>| read(tensor.grad(&gradients).unwrap());
            [read(answer), of(&volume), of(&kernel)]
        };
        let ours = all(transposed_convolution(volume.clone(), kernel.clone()));
        let options = ConvTransposeOptions::new([2; 3], [0; 3], [0; 3], [1; 3], 1);
        let theirs = all(conv_transpose3d(volume.clone(), kernel.clone(), None, options));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours.len(), theirs.len());
            assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-4));
        }
    }

    #[test]
    fn passes_of_the_cpu_are_the_composed_operations() {
        let device = Device::flex().autodiff();
        let drawn = TestTensors::with_seed(2, &device);
        type Operation = fn(Tensor<5>) -> Tensor<5>;
        let pairs: [(Operation, Operation); 3] = [
            (max_pool, max_pool_by_planes),
            (mean_pool, mean_pool_by_planes),
            (upsample_trilinear, upsample_by_products),
        ];
        for shape in [[1, 1, 2, 2, 2], [2, 3, 4, 6, 10], [1, 2, 6, 2, 68]] {
            for (own, composed) in pairs {
                // A permutation, so that what is read does not lie in order.
                let volume = drawn.draw_standard(shape).require_grad();
                let turned = || volume.clone().permute([0, 1, 2, 4, 3]).permute([0, 1, 4, 3, 2]);
                let weights = drawn.draw_standard(own(turned()).dims());
                let both = |answer: Tensor<5>| {
                    let gradients = (answer.clone() * weights.clone()).sum().backward();
                    [read(answer), read(volume.grad(&gradients).unwrap())]
                };
                for (ours, theirs) in both(own(turned())).iter().zip(both(composed(turned()))) {
                    assert_eq!(ours.len(), theirs.len());
                    let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
                    assert!(worst.clone().fold(0.0, f32::max) < 1e-5, "{shape:?}");
                }
            }
        }
        // One voxel has no neighbours.
        let alone = drawn.draw_standard([1, 1, 1, 1, 1]);
        assert_eq!(read(upsample_trilinear(alone.clone())), [read(alone)[0]; 8]);
    }

    #[test]
    fn gradients_are_the_slopes_of_their_operations() {
        let device = Device::flex().autodiff();
        let drawn = TestTensors::with_seed(3, &device);
        let shape = [1, 2, 4, 2, 6];
        let (point, direction) = (drawn.draw_standard(shape), drawn.draw_standard(shape));
        for operation in [max_pool, mean_pool, upsample_trilinear] {
            let weights = drawn.draw_standard(operation(point.clone()).dims());
            let value = |at: Tensor<5>| (operation(at) * weights.clone()).sum();
            let volume = point.clone().require_grad();
            let gradient = volume.grad(&value(volume.clone()).backward()).unwrap();
            let expected: f32 = (gradient * direction.clone().inner()).sum().into_scalar();
            let step = 1e-3;
            let ahead: f32 = value(point.clone() + direction.clone() * step).into_scalar();
            let behind: f32 = value(point.clone() - direction.clone() * step).into_scalar();
            let slope = (ahead - behind) / (2.0 * step as f32);
            assert!((slope - expected).abs() < 0.02, "{slope} for {expected}");
        }
    }

    #[test]
    #[should_panic(expected = "odd extent in 2 x 3 x 2")]
    fn an_odd_axis_is_refused() {
        max_pool(Tensor::zeros([1, 1, 2, 3, 2], &Device::flex()));
    }
}
