//! Pooling by two: the largest or the mean of 2x2x2 voxels, forward and backward.

use burn_flex::FlexTensor;
use pulp::Arch;
use rayon::prelude::*;

use crate::nets::cpu::{ContiguousVolume, volume_of};

/// Takes the largest of each 2x2x2 voxels of `[b, c, d, h, w]`, all extents even.
pub(in crate::nets) fn max_pool(volume: FlexTensor) -> FlexTensor {
    pool_blocks(
        volume,
        #[inline(always)]
        |voxels| {
            let (first, rest) = voxels.split_first().expect("there are eight");
            rest.iter().fold(*first, |largest, value| pick_larger(largest, *value))
        },
    )
}

/// Computes the gradient of [`max_pool`]'s volume: it goes to the first of equal voxels in memory order.
pub(in crate::nets) fn max_pool_gradient(volume: FlexTensor, slopes: FlexTensor) -> FlexTensor {
    let volume = ContiguousVolume::new(volume);
    spread_slopes(
        slopes,
        Some(volume.values()),
        #[inline(always)]
        |slope, voxels| {
            let mut largest = 0;
            for place in 1..8 {
                if takes_place(voxels[place], voxels[largest]) {
                    largest = place;
                }
            }
            std::array::from_fn(|place| if place == largest { slope } else { 0.0 })
        },
    )
}

/// Averages each 2x2x2 voxels of `[b, c, d, h, w]`, all extents even.
pub(in crate::nets) fn mean_pool(volume: FlexTensor) -> FlexTensor {
    pool_blocks(
        volume,
        #[inline(always)]
        |voxels| voxels.iter().sum::<f32>() / 8.0,
    )
}

/// Computes the gradient of [`mean_pool`]'s volume.
pub(in crate::nets) fn mean_pool_gradient(slopes: FlexTensor) -> FlexTensor {
    spread_slopes(
        slopes,
        None,
        #[inline(always)]
        |slope, _| [slope / 8.0; 8],
    )
}

/// Tells if a value takes the place of the largest so far: a NaN does, as in PyTorch.
#[inline(always)]
fn takes_place(value: f32, largest: f32) -> bool {
    value > largest || value.is_nan()
}

#[inline(always)]
fn pick_larger(largest: f32, value: f32) -> f32 {
    if takes_place(value, largest) { value } else { largest }
}

/// Rows of a block of planes `[2, h, w]` that the row `y` of half the extents covers, in memory order.
#[inline(always)]
fn rows_of(planes: &[f32], [height, width]: [usize; 2], y: usize) -> [&[f32]; 4] {
    [0, 1, height, height + 1].map(|row| &planes[(2 * y + row) * width..][..width])
}

fn pool_blocks(
    volume: FlexTensor,
    of_voxels: impl Fn([f32; 8]) -> f32 + Copy + Sync,
) -> FlexTensor {
    let volume = ContiguousVolume::new(volume);
    let [depth, height, width] = volume.extent();
    let half = [depth, height, width].map(|extent| extent / 2);
    let mut answer = vec![0.0; volume.values().len() / 8];
    let planes = volume.values().par_chunks(2 * height * width);
    answer.par_chunks_mut(half[1] * half[2]).zip(planes).for_each(|(target, planes)| {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (y, target) in target.chunks_exact_mut(half[2]).enumerate() {
                    let rows =
                        rows_of(planes, [height, width], y).map(|row| row.as_chunks::<2>().0);
                    let [a, b, c, d] = rows;
                    for ((((target, a), b), c), d) in target.iter_mut().zip(a).zip(b).zip(c).zip(d)
                    {
                        *target = of_voxels([a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1]]);
                    }
                }
            },
        );
    });
    volume_of(answer, &volume, half)
}

/// Writes what `of_slope` makes of each gradient of `slopes` and of the eight voxels of `values` to their places.
fn spread_slopes(
    slopes: FlexTensor,
    values: Option<&[f32]>,
    of_slope: impl Fn(f32, [f32; 8]) -> [f32; 8] + Copy + Sync,
) -> FlexTensor {
    let slopes = ContiguousVolume::new(slopes);
    let half = slopes.extent();
    let [depth, height, width] = half.map(|extent| 2 * extent);
    let mut answer = vec![0.0; slopes.values().len() * 8];
    let planes = answer.par_chunks_mut(2 * height * width).enumerate();
    planes.zip(slopes.values().par_chunks(half[1] * half[2])).for_each(|((at, target), slopes)| {
        let values = values.map(|values| &values[at * 2 * height * width..][..target.len()]);
        for (y, slopes) in slopes.chunks_exact(half[2]).enumerate() {
            let rows = values.map(|values| rows_of(values, [height, width], y));
            for (x, slope) in slopes.iter().enumerate() {
                let voxels = rows.map_or([0.0; 8], |rows| {
                    std::array::from_fn(|place| rows[place / 2][2 * x + place % 2])
                });
                for (place, value) in of_slope(*slope, voxels).into_iter().enumerate() {
                    let row = 2 * y + [0, 1, height, height + 1][place / 2];
                    target[row * width + 2 * x + place % 2] = value;
                }
            }
        }
    });
    volume_of(answer, &slopes, [depth, height, width])
}
