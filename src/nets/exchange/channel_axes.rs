//! Axes of a network's parameters that run over its modalities or regions, and the place of each channel
//! in a file of weights. Channels go by name, never by place.

use crate::nets::exchange::FileLayout;
use crate::nets::weights::ParameterShape;
use crate::volume::{Modality, ModalitySet, Region, RegionSet, RunChannels};

/// Network that weights are read for: its channels, its parameters, and what their axes run over.
#[derive(Debug)]
pub struct WeightTarget {
    modalities: Vec<&'static str>,
    regions: Vec<&'static str>,
    pub(super) parameters: Vec<TargetParameter>,
}

/// Parameter, and what its axes run over.
#[derive(Debug)]
pub(super) struct TargetParameter {
    pub(super) own: ParameterShape,
    axes: Vec<AxisChannels>,
}

/// Content of an axis: values of no channel, then a block for each modality, then one for each region.
#[derive(Debug, Clone, Copy)]
struct AxisChannels {
    fixed: usize,
    per_modality: usize,
    per_region: usize,
}

impl WeightTarget {
    /// Target with these channels, of a network whose parameters are `shapes` of its channels.
    ///
    /// What an axis runs over is read from how it grows with the channels.
    pub fn new(channels: RunChannels, shapes: impl Fn(RunChannels) -> Vec<ParameterShape>) -> Self {
        let brats = RunChannels::default();
        let one_modality = ModalitySet::of_modalities([Modality::T1]).unwrap_or_default();
        let one_region = RegionSet::new([("WT".to_owned(), Region::WT.labels().to_vec())], None);
        let one_region = one_region.expect("one region of three labels is a set");
        let whole = shapes(brats);
        let of_one_modality = shapes(RunChannels { modalities: one_modality, ..brats });
        let of_one_region = shapes(RunChannels { regions: one_region, ..brats });
        let axes = whole.iter().zip(&of_one_modality).zip(&of_one_region).map(
            |((all, less_modalities), less_regions)| {
                let counts = [brats.modalities.len(), brats.regions.len()];
                let grown = |axis: usize, less: &ParameterShape, count: usize| {
                    (all.shape[axis] - less.shape[axis]) / (count - 1)
                };
                let axis = |axis: usize| {
                    let per_modality = grown(axis, less_modalities, counts[0]);
                    let per_region = grown(axis, less_regions, counts[1]);
                    let of_channels = per_modality * counts[0] + per_region * counts[1];
                    AxisChannels { fixed: all.shape[axis] - of_channels, per_modality, per_region }
                };
                (0..all.shape.len()).map(axis).collect::<Vec<_>>()
            },
        );
        let parameters = shapes(channels).into_iter().zip(axes);
        let parameters = parameters.map(|(own, axes)| TargetParameter { own, axes });
        Self {
            modalities: channels.modalities.iter().map(Modality::name).collect(),
            regions: channels.regions.region_names().collect(),
            parameters: parameters.collect(),
        }
    }

    /// Sentences on the channels that only the network or only the file has, each with the names of the
    /// parameters that it is missing in.
    pub(super) fn describe_other_channels(
        &self,
        layout: &FileLayout,
        name_in_file: impl Fn(&str) -> Option<String>,
    ) -> Vec<String> {
        let named = |size: fn(&AxisChannels) -> usize| {
            let is_touched = |one: &&TargetParameter| one.axes.iter().any(|axis| size(axis) > 0);
            let touched = self.parameters.iter().filter(is_touched);
            let names: Vec<String> =
                touched.filter_map(|one| name_in_file(&one.own.name)).collect();
            names.join(", ")
        };
        let parameters = [named(|axis| axis.per_modality), named(|axis| axis.per_region)];
        let ends = [
            ("modality", &self.modalities, &layout.modalities),
            ("region", &self.regions, &layout.regions),
        ];
        let mut sentences = Vec::new();
        for ((kind, own, of_file), named) in ends.into_iter().zip(parameters) {
            for name in own.iter().filter(|name| place_of(name, of_file).is_none()) {
                sentences.push(format!("{kind} {name} is not in the file ({named})"));
            }
            let is_own = |name: &&String| own.iter().any(|own| own.eq_ignore_ascii_case(name));
            for name in of_file.iter().filter(|name| !is_own(name)) {
                sentences.push(format!("{kind} {name} is not in the network ({named})"));
            }
        }
        sentences
    }
}

/// Place of a channel among those of a file.
fn place_of(name: &str, of_file: &[String]) -> Option<usize> {
    of_file.iter().position(|other| other.eq_ignore_ascii_case(name))
}

impl TargetParameter {
    /// True if an axis runs over channels.
    pub(super) fn has_channels(&self) -> bool {
        self.axes.iter().any(|axis| axis.per_modality + axis.per_region > 0)
    }

    /// Shape of the parameter in a file of this layout.
    pub(super) fn shape_in_file(&self, layout: &FileLayout) -> Vec<usize> {
        let extent = |axis: &AxisChannels| {
            axis.fixed
                + axis.per_modality * layout.modalities.len()
                + axis.per_region * layout.regions.len()
        };
        let mut shape: Vec<usize> = self.axes.iter().map(extent).collect();
        if let (true, [_, _, kernel @ ..]) = (layout.x_first, shape.as_mut_slice()) {
            kernel.reverse();
        }
        shape
    }

    /// Values of a file of this layout in the places of `target`'s channels; `None` where the file has
    /// no such channel.
    pub(super) fn place_values(
        &self,
        target: &WeightTarget,
        layout: &FileLayout,
        values: &[f32],
    ) -> Vec<Option<f32>> {
        let shape = self.shape_in_file(layout);
        let sources: Vec<Vec<Option<usize>>> =
            self.axes.iter().map(|axis| axis.source_places(target, layout)).collect();
        // Kernels' axes are x, y, z in the file and z, y, x here.
        let axis_in_file = |axis: usize| match axis {
            0 | 1 => axis,
            _ if layout.x_first => shape.len() + 1 - axis,
            _ => axis,
        };
        let stride = |axis: usize| shape[axis_in_file(axis) + 1..].iter().product::<usize>();
        let mut offsets = vec![Some(0)];
        for (axis, places) in sources.iter().enumerate() {
            let stride = stride(axis);
            let further = |before: Option<usize>| {
                let own = move |place: &Option<usize>| Some(before? + (*place)? * stride);
                places.iter().map(own)
            };
            offsets = offsets.into_iter().flat_map(further).collect();
        }
        offsets.into_iter().map(|offset| values.get(offset?).copied()).collect()
    }
}

impl AxisChannels {
    /// Place in the file of each of the axis's values; `None` where the file has no such channel.
    fn source_places(&self, target: &WeightTarget, layout: &FileLayout) -> Vec<Option<usize>> {
        let mut places: Vec<Option<usize>> = (0..self.fixed).map(Some).collect();
        let ends = [
            (self.per_modality, &target.modalities, &layout.modalities),
            (self.per_region, &target.regions, &layout.regions),
        ];
        let mut start = self.fixed;
        for (size, own, of_file) in ends {
            for name in own {
                let block = place_of(name, of_file);
                places.extend((0..size).map(|at| Some(start + block? * size + at)));
            }
            start += size * of_file.len();
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A convolution over images, a fusion of five channels with the regions' maps, a head's bias.
    fn shapes(channels: RunChannels) -> Vec<ParameterShape> {
        let (modalities, regions) = (channels.modalities.len(), channels.regions.len());
        let own = |name: &str, shape: &[usize]| ParameterShape {
            name: name.to_owned(),
            shape: shape.to_vec(),
        };
        vec![
            own("first", &[2 * modalities, 1, 1, 2, 3]),
            own("fuse", &[1, 2 + regions, 1, 1, 1]),
            own("head", &[regions]),
        ]
    }

    fn layout(modalities: &[&str], regions: &[&str], x_first: bool) -> FileLayout {
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        FileLayout { modalities: own(modalities), regions: own(regions), x_first, is_stated: true }
    }

    fn placed(target: &WeightTarget, number: usize, layout: &FileLayout) -> Vec<Option<f32>> {
        let parameter = &target.parameters[number];
        let count = parameter.shape_in_file(layout).iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|place| place as f32).collect();
        parameter.place_values(target, layout, &values)
    }

    #[test]
    fn channels_go_by_name_and_those_that_one_side_lacks_are_named() {
        let target = WeightTarget::new(RunChannels::default(), shapes);
        let other = layout(&["flair", "t1"], &["wt", "NCR", "et"], false);
        assert_eq!(placed(&target, 2, &other), [Some(2.0), None, Some(0.0)], "ET, TC, WT");
        let fused = [Some(0.0), Some(1.0), Some(4.0), None, Some(2.0)];
        assert_eq!(placed(&target, 1, &other), fused, "what is of no channel stays in its place");
        assert_eq!(target.parameters[0].shape_in_file(&other), [4, 1, 1, 2, 3]);
        let first = placed(&target, 0, &other);
        assert_eq!(
            (first[0], first[6], first[12], first[36]),
            (Some(12.0), Some(18.0), None, Some(0.0))
        );
        let told = target.describe_other_channels(&other, |name| Some(name.to_owned()));
        assert_eq!(
            told,
            [
                "modality t1ce is not in the file (first)",
                "modality t2 is not in the file (first)",
                "region TC is not in the file (fuse, head)",
                "region NCR is not in the network (fuse, head)",
            ]
        );
    }

    #[test]
    fn kernels_are_turned_from_xyz_to_zyx() {
        let target = WeightTarget::new(RunChannels::default(), shapes);
        let turned = layout(&["t1", "t1ce", "t2", "flair"], &["ET", "TC", "WT"], true);
        assert_eq!(target.parameters[0].shape_in_file(&turned), [8, 1, 3, 2, 1]);
        let own = placed(&target, 0, &turned);
        // [y, x] of the second output.
        let wanted = [6.0, 8.0, 10.0, 7.0, 9.0, 11.0].map(Some);
        assert_eq!(own[6..12], wanted);
    }
}
