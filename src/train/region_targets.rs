//! Targets of the loss: the regions that a batch's labels make, and the voxels that count.

use burn::tensor::{Bool, Int, Tensor};

use crate::nets::mean_pool;
use crate::volume::{RegionSet, label};

/// Targets of a batch: region membership `[b, k, d, h, w]`, 0 to 1, and the voxels that count.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use gliaflow::prelude::RegionTargets;
///
/// let volume = |value: f32| Tensor::<5>::full([1, 1, 1, 1, 2], value, &Device::flex());
/// let halves = Tensor::cat(vec![volume(1.0), volume(0.0)], 4);
/// let targets = RegionTargets { members: volume(0.0), counted: Some(halves.slice([0..1, 0..1, 0..1, 0..1, 1..3])) };
/// let mean: f32 = targets.mean_over_counted(volume(3.0)).into_scalar();
/// assert_eq!(mean, 3.0); // of the voxel that counts
/// ```
#[derive(Debug, Clone)]
pub struct RegionTargets {
    /// Membership of the regions.
    pub members: Tensor<5>,
    /// Weight of each voxel, `[b, 1, d, h, w]`: 0 where the truth is ignored; absent where all count.
    pub counted: Option<Tensor<5>>,
}

impl From<Tensor<5>> for RegionTargets {
    /// Targets that count in every voxel.
    fn from(members: Tensor<5>) -> Self {
        Self { members, counted: None }
    }
}

impl RegionTargets {
    /// Averages values `[b, k, d, h, w]` over the voxels that count, `[1]`; 0 where none does.
    pub fn mean_over_counted(&self, values: Tensor<5>) -> Tensor<1> {
        match &self.counted {
            None => values.mean(),
            Some(counted) => {
                let weights = counted.clone().expand(values.dims());
                (values * weights.clone()).sum() / weights.sum().clamp_min(SMALLEST_WEIGHT)
            }
        }
    }

    /// Averages down to the grid of a coarser output; of voxels that do not count none is averaged.
    pub(super) fn downsample_to(&self, map: &Tensor<5>) -> Self {
        let Self { mut members, counted } = self.clone();
        let side = map.dims()[2];
        let Some(mut counted) = counted else {
            while members.dims()[2] > side {
                members = mean_pool(members);
            }
            return members.into();
        };
        let shape = members.dims();
        members = members * counted.clone().expand(shape);
        while members.dims()[2] > side {
            members = mean_pool(members);
            counted = mean_pool(counted);
        }
        let shape = members.dims();
        members = members / counted.clone().clamp_min(SMALLEST_WEIGHT).expand(shape);
        Self { members, counted: Some(counted) }
    }
}

/// Voxels of a batch that count, `[b, 1, d, h, w]`: 0 where canonical labels `[b, d, h, w]` are ignored.
pub fn counted_voxels(labels: Tensor<4, Int>) -> Tensor<5> {
    labels.equal_elem(label::IGNORE).bool_not().float().unsqueeze_dim::<5>(1)
}

/// Divisor where no voxel counts.
pub(super) const SMALLEST_WEIGHT: f64 = 1e-6;

/// Region membership `[b, k, d, h, w]` (0 or 1) of canonical labels `[b, d, h, w]`, on their device.
pub fn region_targets(regions: RegionSet, labels: Tensor<4, Int>) -> Tensor<5> {
    let channels = regions.iter().map(|region| {
        let members = region.labels().iter();
        let mask: Option<Tensor<4, Bool>> = members
            .map(|canonical| labels.clone().equal_elem(*canonical))
            .reduce(|mask, other| mask.bool_or(other));
        mask.expect("every region has a label").float().unsqueeze_dim::<5>(1)
    });
    Tensor::cat(channels.collect(), 1)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, TensorData};

    use super::*;
    use crate::volume::Region;

    #[test]
    fn targets_are_the_regions_of_each_label() {
        let labels: Vec<u8> = (0..=4).chain([0; 3]).collect();
        let device = Device::flex();
        let data = TensorData::new(labels.clone(), [1, 2, 2, 2]);
        let on_device = Tensor::<4, Int>::from_data(data, (&device, DType::U8));
        let targets: Vec<f32> =
            region_targets(RegionSet::BRATS, on_device).into_data().try_to_vec().unwrap();
        for region in Region::BRATS {
            for (place, &canonical) in labels.iter().enumerate() {
                let expected = f32::from(u8::from(region.contains(canonical)));
                assert_eq!(targets[region.index() * 8 + place], expected, "{region} {canonical}");
            }
        }
    }
}
