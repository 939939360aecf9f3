//! Norm and the activation behind it: two passes over a volume forward, two backward.

use burn::tensor::TensorData;
use burn_flex::FlexTensor;
use pulp::Arch;
use rayon::prelude::*;

use crate::nets::cpu::moments::{Moments, add_sums, sum_pairs};
use crate::nets::cpu::{ContiguousVolume, PIECE, small_values, volume_of};
use crate::nets::operations::NormSettings;

/// Norm of one channel of one sample: `(x - mean) * scale + shift`, and the activation.
#[derive(Debug, Clone, Copy)]
struct ChannelNorm {
    mean: f32,
    inverse_deviation: f32,
    weight: f32,
    scale: f32,
    shift: f32,
    slope: f32,
}

impl ChannelNorm {
    /// Value ahead of the activation.
    #[inline(always)]
    fn normalise_value(self, value: f32) -> f32 {
        (value - self.mean) * self.scale + self.shift
    }

    #[inline(always)]
    fn activate_value(self, value: f32) -> f32 {
        let ahead = self.normalise_value(value);
        if ahead > 0.0 { ahead } else { ahead * self.slope }
    }

    /// Gradient ahead of the activation, from that behind it.
    #[inline(always)]
    fn slope_ahead(self, value: f32, slope: f32) -> f32 {
        if self.normalise_value(value) > 0.0 { slope } else { slope * self.slope }
    }

    /// Value as scale and shift find it, of mean 0 and deviation 1 in its group.
    #[inline(always)]
    fn standardise_value(self, value: f32) -> f32 {
        (value - self.mean) * self.inverse_deviation
    }
}

/// Normalises `[b, c, d, h, w]`, scales and shifts by `weight` and `bias`, `[c]`, and applies the activation. Returns
/// that and what the way back needs: mean and inverse deviation of each group, `[b, groups, 2]`.
pub(in crate::nets) fn normalise_volume(
    volume: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    settings: NormSettings,
) -> (FlexTensor, FlexTensor) {
    let mut volume = ContiguousVolume::new(volume);
    let samples = volume.shape[0];
    let group_length = volume.values().len() / (samples * settings.groups);
    let statistics: Vec<f32> = volume
        .values()
        .par_chunks(group_length)
        .flat_map_iter(|group| {
            let moments = group.par_chunks(PIECE).map(|piece| {
                Arch::new().dispatch(
                    #[inline(always)]
                    || Moments::of_values(piece),
                )
            });
            let moments: Vec<Moments> = moments.collect();
            let all = moments.into_iter().fold(Moments::default(), Moments::merge_with);
            let inverse = (all.variance() + f64::from(settings.epsilon)).sqrt().recip();
            [all.mean as f32, inverse as f32]
        })
        .collect();
    let channels = channel_norms(&volume, &statistics, [&weight, &bias], settings);
    let activate = |channel: usize| {
        let norm = channels[channel];
        move |_, value| norm.activate_value(value)
    };
    let voxels = volume.voxel_count();
    let answer = if let Some(values) = volume.own_values() {
        write_channels(values, None, voxels, activate);
        volume.tensor
    } else {
        let mut answer = vec![0.0; volume.values().len()];
        write_channels(&mut answer, Some(volume.values()), voxels, activate);
        volume_of(answer, &volume, volume.extent())
    };
    let statistics = TensorData::new(statistics, [samples, settings.groups, 2]);
    (answer, FlexTensor::from_data(statistics))
}

/// Computes the gradients of a norm's volume, weight and bias, from that of what is behind its activation.
pub(in crate::nets) fn norm_gradients(
    volume: FlexTensor,
    slopes: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    statistics: FlexTensor,
    settings: NormSettings,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let volume = ContiguousVolume::new(volume);
    let mut slopes = ContiguousVolume::new(slopes);
    let channels = channel_norms(&volume, &small_values(&statistics), [&weight, &bias], settings);
    let voxels = volume.voxel_count();
    let sums = channel_sums(&channels, volume.values(), slopes.values(), voxels);
    let members = volume.shape[1] / settings.groups;
    let group_means: Vec<[f64; 2]> = sums
        .chunks(members)
        .zip(channels.chunks(members))
        .map(|(sums, channels)| {
            let weighted = sums.iter().zip(channels);
            let weighted =
                weighted.map(|(sums, norm)| sums.map(|sum| sum * f64::from(norm.weight)));
            weighted.fold([0.0; 2], add_sums).map(|sum| sum / (members * voxels) as f64)
        })
        .collect();
    let [of_bias, of_weight] = [0, 1].map(|which| {
        let count = volume.shape[1];
        let over_samples = |channel: usize| {
            sums[channel..].iter().step_by(count).map(|sums| sums[which]).sum::<f64>() as f32
        };
        let gradient: Vec<f32> = (0..count).map(over_samples).collect();
        FlexTensor::from_data(TensorData::new(gradient, [count]))
    });
    let volume_slope = |channel: usize| {
        let norm = channels[channel];
        let inverse = f64::from(norm.inverse_deviation);
        let [mean, of_values] = group_means[channel / members].map(|mean| (mean * inverse) as f32);
        move |slope, value| {
            let own = norm.slope_ahead(value, slope) * norm.scale;
            own - mean - norm.standardise_value(value) * of_values
        }
    };
    let of_volume = if let Some(values) = slopes.own_values() {
        write_channels(values, Some(volume.values()), voxels, volume_slope);
        slopes.tensor
    } else {
        let mut values = slopes.values().to_vec();
        write_channels(&mut values, Some(volume.values()), voxels, volume_slope);
        volume_of(values, &volume, volume.extent())
    };
    (of_volume, of_weight, of_bias)
}

/// Norms of all channels of all samples.
fn channel_norms(
    volume: &ContiguousVolume,
    statistics: &[f32],
    parameters: [&FlexTensor; 2],
    settings: NormSettings,
) -> Vec<ChannelNorm> {
    let [weight, bias] = parameters.map(small_values);
    let members = weight.len() / settings.groups;
    let norm = |place: usize| {
        let [mean, inverse_deviation] = [0, 1].map(|which| statistics[place / members * 2 + which]);
        let (weight, shift) = (weight[place % weight.len()], bias[place % weight.len()]);
        let scale = weight * inverse_deviation;
        ChannelNorm { mean, inverse_deviation, weight, scale, shift, slope: settings.slope }
    };
    (0..volume.channel_count()).map(norm).collect()
}

/// Sums of the gradient ahead of the activation, and of its products with the standardised values, of each channel of each
/// sample.
fn channel_sums(
    channels: &[ChannelNorm],
    values: &[f32],
    slopes: &[f32],
    voxels: usize,
) -> Vec<[f64; 2]> {
    let by_channel = values.par_chunks(voxels).zip(slopes.par_chunks(voxels)).zip(channels);
    by_channel
        .map(|((values, slopes), &norm)| {
            let pieces = values.par_chunks(PIECE).zip(slopes.par_chunks(PIECE));
            let sums = pieces.map(|(values, slopes)| {
                Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        sum_pairs(values, slopes, |value, slope| {
                            let slope = norm.slope_ahead(value, slope);
                            [slope, slope * norm.standardise_value(value)]
                        })
                    },
                )
            });
            let sums: Vec<[f64; 2]> = sums.collect();
            sums.into_iter().fold([0.0; 2], add_sums)
        })
        .collect()
}

/// Writes over each value of `target` what the channel's function makes of it and of the value of `source` at its
/// place, or of it alone twice.
fn write_channels<F: Fn(f32, f32) -> f32>(
    target: &mut [f32],
    source: Option<&[f32]>,
    voxels: usize,
    of_channel: impl Fn(usize) -> F + Sync,
) {
    target.par_chunks_mut(voxels).enumerate().for_each(|(channel, target)| {
        target.par_chunks_mut(PIECE).enumerate().for_each(|(piece, target)| {
            let value = of_channel(channel);
            let from = channel * voxels + piece * PIECE;
            let source = source.map(|source| &source[from..][..target.len()]);
            Arch::new().dispatch(
                #[inline(always)]
                || match source {
                    Some(source) => {
                        for (target, source) in target.iter_mut().zip(source) {
                            *target = value(*target, *source);
                        }
                    }
                    None => {
                        for target in target {
                            *target = value(*target, *target);
                        }
                    }
                },
            );
        });
    });
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::tensor::{Device, Tensor};
    use rayon::ThreadPoolBuilder;

    use super::*;
    use crate::nets::test_tensors::TestTensors;
    use crate::nets::{Norm, leaky_relu};

    /// Values and gradients of volume, weight and bias.
    fn all(
        norm: &Norm,
        volume: &Tensor<5>,
        weights: &Tensor<5>,
        answer: impl Fn(&Norm, Tensor<5>) -> Tensor<5>,
    ) -> [Vec<f32>; 4] {
        let volume = volume.clone().require_grad();
        let answer = answer(norm, volume.clone());
        let gradients = (answer.clone() * weights.clone()).sum().backward();
        let read = |data: TensorData| -> Vec<f32> { data.try_to_vec().unwrap() };
        let of_parameter = |parameter: &Param<Tensor<1>>| {
            read(parameter.val().grad(&gradients).unwrap().into_data())
        };
        let of_volume = read(volume.grad(&gradients).unwrap().into_data());
        [read(answer.into_data()), of_volume, of_parameter(&norm.weight), of_parameter(&norm.bias)]
    }

    #[test]
    fn passes_of_the_cpu_are_the_composed_operations_whatever_the_threads() {
        let device = Device::flex().autodiff();
        let drawn = TestTensors::with_seed(1, &device);
        let parameter = |count: usize| Param::from_tensor(drawn.draw_around([count], 0.5, 1.0));
        // More voxels than a thread works on at a time, and fewer than a vector.
        for (shape, groups) in
            [([1, 4, 40, 41, 43], 4), ([2, 6, 9, 31, 20], 2), ([3, 2, 1, 1, 3], 2)]
        {
            let mut norm = Norm::group(shape[1], groups, 1e-5, &device);
            (norm.weight, norm.bias) = (parameter(shape[1]), parameter(shape[1]));
            let volume = drawn.draw_around(shape, 3.0, 2.0);
            let weights = drawn.draw_standard(shape);
            let own = |threads: usize| {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| all(&norm, &volume, &weights, Norm::forward_leaky_relu))
            };
            let ours = own(1);
            assert_eq!(ours, own(3));
            let composed = |norm: &Norm, volume| leaky_relu(norm.normalise(volume));
            let theirs = all(&norm, &volume, &weights, composed);
            for (ours, theirs) in ours.iter().zip(&theirs) {
                let largest =
                    theirs.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
                let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 1e-5 * largest, "{shape:?}: {worst} of {largest}");
            }
        }
    }
}
