//! The volume operations that Burn 0.22 lacks: pooling by two and trilinear up-sampling by two.
//!
//! They are made of operations that every backend has with a gradient, so they need no kernel of
//! their own; each is checked against PyTorch's figures. Drop one when Burn gains it.

use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

/// Maximum over blocks of 2x2x2, stride 2: `[b, c, d, h, w]` to `[b, c, d/2, h/2, w/2]`.
///
/// # Panics
/// If an axis is odd.
pub fn max_pool(volume: Tensor<5>) -> Tensor<5> {
    let [b, c, d, h, w] = halved(&volume);
    let pool = |planes: Tensor<4>, kernel: [usize; 2]| {
        max_pool2d(planes, MaxPoolOptions::new(kernel).with_stride(kernel))
    };
    let in_plane = pool(volume.reshape([b * c, 2 * d, 2 * h, 2 * w]), [2, 2]);
    let across = pool(in_plane.reshape([b, c, 2 * d, h * w]), [2, 1]);
    across.reshape([b, c, d, h, w])
}

/// Mean over blocks of 2x2x2: how a target is brought to the grid of a coarser map.
///
/// # Panics
/// If an axis is odd.
pub fn mean_pool(volume: Tensor<5>) -> Tensor<5> {
    let [b, c, d, h, w] = halved(&volume);
    let blocks: Tensor<8> = volume.reshape([b, c, d, 2, h, 2, w, 2]);
    blocks.mean_dim(7).mean_dim(5).mean_dim(3).reshape([b, c, d, h, w])
}

fn halved(volume: &Tensor<5>) -> [usize; 5] {
    let [b, c, d, h, w] = volume.dims();
    assert!([d, h, w].iter().all(|extent| extent % 2 == 0), "odd extent in {d} x {h} x {w}");
    [b, c, d / 2, h / 2, w / 2]
}

/// Trilinear up-sampling by two with half-pixel centres (`align_corners = false`): voxel `i` of the
/// result lies at `max(0, (i + 0.5) / 2 - 0.5)` of the source, clamped to its last voxel.
pub fn upsample(volume: Tensor<5>) -> Tensor<5> {
    (2..5).rev().fold(volume, double)
}

/// Linear interpolation along one axis: each voxel's two children lie a quarter of a voxel to
/// either side of it, so they take a quarter of the neighbour there.
fn double(volume: Tensor<5>, axis: usize) -> Tensor<5> {
    let mut shape = volume.dims();
    let extent = shape[axis];
    let at = |start, length| volume.clone().narrow(axis, start, length);
    let before = Tensor::cat(vec![at(0, 1), at(0, extent - 1)], axis);
    let after = Tensor::cat(vec![at(1, extent - 1), at(extent - 1, 1)], axis);
    let own = volume.clone() * 0.75;
    let children = vec![before * 0.25 + own.clone(), after * 0.25 + own];
    shape[axis] = 2 * extent;
    Tensor::stack::<6>(children, axis + 1).reshape(shape)
}
