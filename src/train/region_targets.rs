//! Targets of the loss: the regions that a batch's labels make, and the voxels that count.

use burn::tensor::{Bool, Int, Tensor};

use crate::nets::mean_pool;
use crate::volume::{CERTAIN, RegionSet, label};

/// Targets of a batch: region membership `[b, k, d, h, w]`, 0 to 1, and the voxels that count.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use gliaflow::prelude::RegionTargets;
///
/// let volume = |value: f32| Tensor::<5>::full([1, 1, 1, 1, 2], value, &Device::flex());
/// let halves = Tensor::cat(vec![volume(1.0), volume(0.0)], 4);
/// let counted = Some(halves.slice([0..1, 0..1, 0..1, 0..1, 1..3]));
/// let targets = RegionTargets { counted, ..volume(0.0).into() };
/// let mean: f32 = targets.mean_over_counted(volume(3.0)).into_scalar();
/// assert_eq!(mean, 3.0); // of the voxel that counts
/// ```
#[derive(Debug, Clone)]
pub struct RegionTargets {
    /// Membership of the regions.
    pub members: Tensor<5>,
    /// Weight of each voxel, `[b, 1, d, h, w]`: 0 where the truth is ignored; absent where all count.
    pub counted: Option<Tensor<5>>,
    /// Membership at a teacher's temperature; absent where that is 1 in every sample.
    pub softened: Option<SoftenedMembers>,
}

/// Region membership at the temperature of each sample (Hinton et al. 2015, section 2).
#[derive(Debug, Clone)]
pub struct SoftenedMembers {
    /// Sigmoids of the membership's logits over the temperature, `[b, k, d, h, w]`.
    pub members: Tensor<5>,
    /// Temperature of each sample, `[b, 1, 1, 1, 1]`: 1 where the labels are not a teacher's.
    pub temperatures: Tensor<5>,
}

impl From<Tensor<5>> for RegionTargets {
    /// Targets that count in every voxel, at temperature 1.
    fn from(members: Tensor<5>) -> Self {
        Self { members, counted: None, softened: None }
    }
}

/// Makes targets of stored probabilities in 255ths `[b, k, d, h, w]`, each sample's at its temperature.
///
/// Membership at temperature 1 follows from the stored one: of q at T it is `q^T / (q^T + (1 - q)^T)`, which errs
/// by at most T/510, at a half.
pub(super) fn targets_of_shares(
    shares: Tensor<5>,
    temperatures: Option<Tensor<5>>,
) -> RegionTargets {
    let members = shares / f32::from(CERTAIN);
    let Some(temperatures) = temperatures else { return members.into() };
    let exponents = temperatures.clone().expand(members.dims());
    let inside = members.clone().powf(exponents.clone());
    let outside = (members.clone().neg() + 1.0).powf(exponents);
    RegionTargets {
        members: inside.clone() / (inside + outside),
        counted: None,
        softened: Some(SoftenedMembers { members, temperatures }),
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
        let Self { mut members, counted, mut softened } = self.clone();
        let side = map.dims()[2];
        let Some(mut counted) = counted else {
            while members.dims()[2] > side {
                members = mean_pool(members);
                softened = softened.map(SoftenedMembers::downsample);
            }
            return Self { members, counted: None, softened };
        };
        let shape = members.dims();
        members = members * counted.clone().expand(shape);
        while members.dims()[2] > side {
            members = mean_pool(members);
            counted = mean_pool(counted);
        }
        let shape = members.dims();
        members = members / counted.clone().clamp_min(SMALLEST_WEIGHT).expand(shape);
        // Stored probabilities have no voxels that do not count, so there is nothing softened here.
        Self { members, counted: Some(counted), softened: None }
    }
}

impl SoftenedMembers {
    fn downsample(self) -> Self {
        Self { members: mean_pool(self.members), ..self }
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

    #[test]
    fn members_at_temperature_one_come_back_from_softened_bytes() {
        let place = |values: Vec<f32>, shape: [usize; 5]| {
            Tensor::<5>::from_data(TensorData::new(values, shape), &Device::flex())
        };
        let read = |volume: Tensor<5>| volume.into_data().try_to_vec::<f32>().unwrap();
        // 0.8 at temperature 2 is 2/3; the second sample has labels.
        let shares = vec![170.0, 0.0, 255.0, 0.0, 255.0, 255.0];
        let shares = place(shares, [2, 1, 1, 1, 3]);
        let temperatures = place(vec![2.0, 1.0], [2, 1, 1, 1, 1]);
        let targets = targets_of_shares(shares.clone(), Some(temperatures));
        let expected = [0.8, 0.0, 1.0, 0.0, 1.0, 1.0];
        for (found, expected) in read(targets.members).into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        let softened = targets.softened.unwrap();
        assert_eq!(read(softened.members), read(shares.clone() / 255.0));
        let surest = targets_of_shares(place(vec![24.0; 3], [1, 1, 1, 1, 3]), {
            Some(place(vec![4.0], [1, 1, 1, 1, 1]))
        });
        let logit = |p: f32| (p / (1.0 - p)).ln();
        assert!((logit(read(surest.members)[0]) + 9.057).abs() < 1e-3);
        assert!(targets_of_shares(shares, None).softened.is_none());
    }

    #[test]
    fn softened_members_go_to_coarser_grids_with_the_others() {
        let full = |value: f32, side: usize| {
            Tensor::<5>::full([1, 1, side, side, side], value, &Device::flex())
        };
        let softened = SoftenedMembers { members: full(0.6, 4), temperatures: full(2.0, 1) };
        let targets = RegionTargets { softened: Some(softened), ..full(0.7, 4).into() };
        let coarse = targets.downsample_to(&full(0.0, 2));
        assert_eq!(coarse.members.dims(), [1, 1, 2, 2, 2]);
        let softened = coarse.softened.unwrap();
        let mean: f32 = softened.members.clone().mean().into_scalar();
        assert!(softened.members.dims() == [1, 1, 2, 2, 2] && (mean - 0.6).abs() < 1e-6);
    }
}
