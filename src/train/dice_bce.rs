//! Loss of the paper: soft Dice with squared denominators plus binary cross-entropy, over the three
//! overlapping regions (Nalwade and Kisa, section 3; Milletari et al. 2016 for the squares).
//!
//! Targets at a teacher's temperature enter the cross-entropy alone, against logits over the same temperature, and
//! count its square times, so that gradients keep their size (Hinton et al. 2015, section 2). Dice is of
//! temperature 1: of softened probabilities the background would be most of both sums.
//!
//! On a CUDA device it is one kernel (`nets/cuda`), at temperature 1. Nothing here waits for the device.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::nets::Output;
#[cfg(feature = "cuda")]
use crate::nets::cuda;
use crate::train::region_loss::sum_output_losses;
use crate::train::{LossParts, RegionLoss, RegionTargets, SoftenedMembers};

/// Loss of the paper: soft Dice and binary cross-entropy, in its variants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
// Unknown settings are refused by the section that holds these.
#[serde(default)]
pub struct DiceBceLoss {
    /// Dice per sample, averaged, instead of sums over the whole batch.
    pub per_sample: bool,
    /// Added to Dice's numerator. With 0, a region that is absent and rightly not predicted costs 1;
    /// with the same 1e-5 as below it costs 0.
    #[schemars(range(min = 0, max = 1e9))]
    pub numerator_epsilon: f64,
    /// Added to Dice's denominator, which is 0 where a region is absent and surely not predicted.
    #[schemars(range(max = 1e9), extend("exclusiveMinimum" = 0))]
    #[default(1e-8)]
    pub denominator_epsilon: f64,
    /// Cross-entropy summed over regions, as the paper prints it, instead of averaged.
    pub region_sum: bool,
}

impl RegionLoss for DiceBceLoss {
    const NAME: &'static str = "dice_bce";

    fn compute_loss(&self, logits: Tensor<5>, targets: &RegionTargets) -> Tensor<1> {
        self.region_loss(logits, targets.clone()).total
    }

    fn compute_parts(&self, logits: Tensor<5>, targets: &RegionTargets) -> LossParts {
        self.region_loss(logits, targets.clone())
    }
}

impl DiceBceLoss {
    /// Computes the loss of a training pass against targets, which may be soft.
    pub fn total_loss(&self, output: Output, targets: impl Into<RegionTargets>) -> LossParts {
        sum_output_losses(self, output, targets.into())
    }

    /// Computes Dice and cross-entropy of region logits against targets of the same shape.
    pub fn region_loss(&self, logits: Tensor<5>, targets: impl Into<RegionTargets>) -> LossParts {
        let targets = targets.into();
        #[cfg(feature = "cuda")]
        if targets.softened.is_none() && cuda::scores_regions(&logits) {
            return self.region_loss_on_cuda(logits, targets);
        }
        let scores = self.soft_dice(sigmoid(logits.clone()), &targets); // [b or 1, k]
        let dice = scores.clone().mean().neg() + 1.0;
        let bce = self.cross_entropy(logits, &targets);
        let [_, k] = scores.dims();
        let regions = scores.detach().mean_dim(0).reshape([k]);
        LossParts {
            total: dice.clone() + bce.clone(),
            dice: dice.detach(),
            bce: bce.detach(),
            regions,
            aux_losses: Vec::new(),
        }
    }

    /// Computes the same by the kernels of `nets/cuda`.
    #[cfg(feature = "cuda")]
    fn region_loss_on_cuda(&self, logits: Tensor<5>, targets: RegionTargets) -> LossParts {
        let Self { per_sample, region_sum, numerator_epsilon, denominator_epsilon } = *self;
        let settings = cuda::RegionLossSettings {
            per_sample,
            region_sum,
            numerator_epsilon,
            denominator_epsilon,
            has_weights: targets.counted.is_some(),
        };
        let RegionTargets { members, counted, .. } = targets;
        let [total, dice, bce, regions] = cuda::region_loss(logits, members, counted, settings);
        LossParts { total, dice, bce, regions, aux_losses: Vec::new() }
    }

    /// Soft Dice `2 sum(p g) / (sum(p^2) + sum(g^2))` of each region, `[1, k]` or per sample `[b,
    /// k]`.
    fn soft_dice(&self, probabilities: Tensor<5>, targets: &RegionTargets) -> Tensor<2> {
        let [b, k, d, h, w] = probabilities.dims();
        let counted = targets.counted.as_ref().map(|own| own.clone().expand([b, k, d, h, w]));
        let sum = |volume: Tensor<5>| {
            let volume = match &counted {
                Some(counted) => volume * counted.clone(),
                None => volume,
            };
            let per_sample: Tensor<2> =
                volume.reshape([b, k, d * h * w]).sum_dim(2).reshape([b, k]);
            if self.per_sample { per_sample } else { per_sample.sum_dim(0) }
        };
        let members = targets.members.clone();
        let overlap = sum(probabilities.clone() * members.clone());
        let sizes = sum(probabilities.square()) + sum(members.square());
        (overlap * 2.0 + self.numerator_epsilon) / (sizes + self.denominator_epsilon)
    }

    /// Binary cross-entropy of logits, in the form that neither overflows nor cancels at either
    /// end: `max(x, 0) - x g + ln(1 + e^-|x|)`.
    fn cross_entropy(&self, logits: Tensor<5>, targets: &RegionTargets) -> Tensor<1> {
        let regions = logits.dims()[1];
        let entropy = match &targets.softened {
            None => voxel_entropy(logits, targets.members.clone()),
            Some(SoftenedMembers { members, temperatures }) => {
                let temperatures = temperatures.clone().expand(logits.dims());
                voxel_entropy(logits / temperatures.clone(), members.clone())
                    * temperatures.square()
            }
        };
        let mean = targets.mean_over_counted(entropy);
        if self.region_sum { mean * regions as f64 } else { mean }
    }
}

/// Binary cross-entropy of each voxel's logit and membership.
fn voxel_entropy(logits: Tensor<5>, members: Tensor<5>) -> Tensor<5> {
    let tail = logits.clone().abs().neg().exp().log1p();
    // No ReLU, whose slope at 0 is 0: logits are 0 where no feature fires and the bias is as drawn.
    let above = (logits.clone().detach().sign() + 1.0) * 0.5;
    logits.clone() * above - logits * members + tail
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, Int, TensorData};

    use super::*;
    use crate::nets::{AuxLoss, SideOutput, mean_pool};
    use crate::train::{counted_voxels, region_targets};
    use crate::volume::{RegionSet, label};

    fn constant(value: f32, shape: [usize; 5]) -> Tensor<5> {
        Tensor::full(shape, value, &Device::flex())
    }

    fn read(value: &Tensor<1>) -> f32 {
        value.clone().into_scalar()
    }

    #[test]
    fn an_absent_region_rightly_not_predicted_costs_one_or_with_smoothing_nothing() {
        let shape = [1, 3, 2, 2, 2];
        let cost = |config: DiceBceLoss| {
            let parts = config.region_loss(constant(-40.0, shape), constant(0.0, shape));
            assert!(read(&parts.bce) < 1e-16);
            read(&parts.dice)
        };
        assert_eq!(cost(DiceBceLoss::default()), 1.0);
        let smooth = DiceBceLoss {
            numerator_epsilon: 1e-5,
            denominator_epsilon: 1e-5,
            ..Default::default()
        };
        assert_eq!(cost(smooth), 0.0);
    }

    #[test]
    fn cross_entropy_keeps_its_small_values() {
        let shape = [1, 3, 1, 1, 1];
        let none = constant(0.0, shape);
        let parts = DiceBceLoss::default().region_loss(constant(-16.0, shape), none);
        let exact = (-16.0f64).exp().ln_1p();
        assert!((f64::from(read(&parts.bce)) / exact - 1.0).abs() < 1e-5);
    }

    /// A teacher sure to 0.8 is sure to 2/3 at temperature 2: sqrt(0.8) : sqrt(0.2) = 2 : 1.
    #[test]
    fn at_a_temperature_entropy_and_slope_are_those_of_hinton() {
        let device = Device::flex().autodiff();
        let place = |values: Vec<f32>, shape: [usize; 5]| {
            Tensor::<5>::from_data(TensorData::new(values, shape), &device)
        };
        let shape = [2, 1, 1, 1, 2];
        // The first sample has a teacher's probabilities, the second its own labels.
        let softened = SoftenedMembers {
            members: place(vec![2.0 / 3.0, 2.0 / 3.0, 0.0, 1.0], shape),
            temperatures: place(vec![2.0, 1.0], [2, 1, 1, 1, 1]),
        };
        let members = place(vec![0.8, 0.8, 0.0, 1.0], shape);
        let targets = RegionTargets { softened: Some(softened), ..members.clone().into() };
        let logits = place(vec![0.0, 4.0f32.ln(), 0.0, 2.0], shape).require_grad();
        let loss = DiceBceLoss::default();
        let entropy = loss.cross_entropy(logits.clone(), &targets);
        // Logit ln 4 at temperature 2 is ln 2, of which the sigmoid is 2/3, as the target's.
        let (two, three) = (2.0f64.ln(), 3.0f64.ln());
        let softened = [4.0 * two, 4.0 * (three - 2.0 / 3.0 * two)];
        let expected = (softened[0] + softened[1] + two + (-2.0f64).exp().ln_1p()) / 4.0;
        assert!((f64::from(read(&entropy)) - expected).abs() < 1e-6);
        let [parts, plain] =
            [targets, members.into()].map(|targets| loss.region_loss(logits.clone(), targets));
        assert_eq!(read(&parts.dice), read(&plain.dice), "Dice is of temperature 1");
        assert_eq!(read(&parts.bce), read(&entropy));

        let slopes: Vec<f32> =
            logits.grad(&entropy.backward()).unwrap().into_data().try_to_vec().unwrap();
        let expected = [2.0 * (0.5 - 2.0 / 3.0), 0.0, 0.5, -1.0 / (1.0 + 2.0f32.exp())];
        for (slope, expected) in slopes.iter().zip(expected) {
            assert!((slope - expected / 4.0).abs() < 1e-7, "{slope} {expected}");
        }
    }

    #[test]
    fn the_slope_of_cross_entropy_at_zero_is_the_probability_less_the_target() {
        let device = Device::flex().autodiff();
        let place = |values: Vec<f32>| {
            Tensor::<5>::from_data(TensorData::new(values, [1, 1, 1, 1, 4]), &device)
        };
        let logits = place(vec![0.0, 0.0, 2.0, -2.0]).require_grad();
        let targets = RegionTargets::from(place(vec![0.0, 1.0, 0.0, 1.0]));
        let gradients = DiceBceLoss::default().cross_entropy(logits.clone(), &targets).backward();
        let slopes: Vec<f32> = logits.grad(&gradients).unwrap().into_data().try_to_vec().unwrap();
        let sigmoid = |logit: f32| 1.0 / (1.0 + (-logit).exp());
        let expected = [0.5, -0.5, sigmoid(2.0), sigmoid(-2.0) - 1.0].map(|slope| slope / 4.0);
        for (slope, expected) in slopes.iter().zip(expected) {
            assert!((slope - expected).abs() < 1e-7, "{slope} {expected}");
        }
    }

    #[test]
    fn side_outputs_and_penalties_add_up_with_their_weights() {
        let config = DiceBceLoss::default();
        let full = constant(0.3, [1, 3, 4, 4, 4]);
        let coarse = constant(-0.2, [1, 3, 1, 1, 1]);
        let targets =
            Tensor::cat(vec![constant(1.0, [1, 3, 1, 4, 4]), constant(0.0, [1, 3, 3, 4, 4])], 2);
        let alone = read(&config.region_loss(full.clone(), targets.clone()).total);
        let quarter = constant(0.25, [1, 3, 1, 1, 1]);
        let side = read(&config.region_loss(coarse.clone(), quarter).total);
        let output = Output {
            logits: full,
            weight: 0.4,
            deep_supervision: vec![SideOutput { logits: coarse, weight: 0.2 }],
            aux_losses: vec![AuxLoss {
                name: "kl",
                value: Tensor::from_data([0.5f32], &Device::flex()),
            }],
        };
        let parts = config.total_loss(output, targets);
        assert!((read(&parts.total) - (0.4 * alone + 0.2 * side + 0.5)).abs() < 1e-6);
        assert_eq!(parts.aux_losses[0].0, "kl");
    }

    /// What lies under ignored voxels changes neither the loss nor a gradient, and the rest costs what it
    /// costs alone.
    #[test]
    fn ignored_voxels_cost_nothing_at_any_resolution() {
        let config = DiceBceLoss::default();
        let device = Device::flex();
        let labels: Vec<u8> = (0..64u32).map(|place| (place * 7 % 4) as u8).collect();
        let ignored = |place: usize| place / 16 >= 2;
        let total = |under: u8, logit: f32, is_masked: bool| {
            let own = |(place, label): (usize, &u8)| if ignored(place) { under } else { *label };
            let labels: Vec<u8> = labels.iter().enumerate().map(own).collect();
            let labels = TensorData::new(labels, [1, 4, 4, 4]);
            let labels = Tensor::<4, Int>::from_data(labels, (&device, DType::U8)).cast(DType::I32);
            let counted = is_masked.then(|| counted_voxels(labels.clone()));
            let members = region_targets(RegionSet::BRATS, labels);
            let value =
                |place: usize| if ignored(place % 64) { logit } else { place as f32 / 99.0 };
            let logits =
                TensorData::new((0..192).map(value).collect::<Vec<f32>>(), [1, 3, 4, 4, 4]);
            let logits = Tensor::<5>::from_data(logits, &device);
            let coarse = mean_pool(logits.clone());
            let output = Output {
                deep_supervision: vec![SideOutput { logits: coarse, weight: 0.5 }],
                ..Output::of_logits(logits)
            };
            read(&config.total_loss(output, RegionTargets { counted, ..members.into() }).total)
        };
        let masked = total(label::IGNORE, 0.3, true);
        assert_eq!(masked, total(label::IGNORE, -9.0, true));
        assert_ne!(masked, total(label::IGNORE, 0.3, false));
        let half = {
            let labels = TensorData::new(labels[..32].to_vec(), [1, 2, 4, 4]);
            let labels = Tensor::<4, Int>::from_data(labels, (&device, DType::U8)).cast(DType::I32);
            let value = |place: usize| (place / 32 * 64 + place % 32) as f32 / 99.0;
            let logits = TensorData::new((0..96).map(value).collect::<Vec<f32>>(), [1, 3, 2, 4, 4]);
            let logits = Tensor::<5>::from_data(logits, &device);
            let output = Output {
                deep_supervision: vec![SideOutput {
                    logits: mean_pool(logits.clone()),
                    weight: 0.5,
                }],
                ..Output::of_logits(logits)
            };
            let members = region_targets(RegionSet::BRATS, labels);
            read(&config.total_loss(output, members).total)
        };
        assert!((masked - half).abs() < 1e-5, "{masked} {half}");
        let everything = RegionTargets {
            counted: Some(constant(0.0, [1, 1, 2, 2, 2])),
            ..constant(0.0, [1, 3, 2, 2, 2]).into()
        };
        let parts = config.region_loss(constant(0.5, [1, 3, 2, 2, 2]), everything);
        assert!(read(&parts.total).is_finite() && read(&parts.bce) == 0.0);
    }
}
