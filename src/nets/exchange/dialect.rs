//! Another program's version of a network: its parameter names, and the orders of its channels and
//! axes.

use std::collections::HashMap;

use crate::volume::{Modality, Region};

/// Another program's names and orders for the parameters of one network.
pub struct Dialect {
    /// Name of the program.
    pub program: &'static str,
    /// Name of a tensor that only its files have.
    pub marker_tensor: &'static str,
    /// Maps one of our parameters to its name; `None` where it has no such parameter.
    pub name: fn(&str) -> Option<String>,
    /// Returns true for one of its tensors without a counterpart here.
    pub is_unused: fn(&str) -> bool,
    /// Names of our parameters whose second axis runs over modalities.
    pub modalities: &'static [&'static str],
    /// Names of our parameters whose first axis runs over regions.
    pub regions: &'static [&'static str],
    /// Default orders, where the file names no others.
    pub layout: WeightLayout,
}

/// Orders of channels and axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightLayout {
    /// Order of the input channels.
    pub modalities: [Modality; Modality::COUNT],
    /// Order of the output channels.
    pub regions: [Region; Region::BRATS.len()],
    /// Volume axes x, y, z as in nibabel, instead of z, y, x as they lie in the file.
    pub x_first: bool,
}

impl Dialect {
    /// Parses a file's orders: what its free text names under `modalities`, `regions` and `axes`,
    /// each separated by commas, and else the program's defaults.
    ///
    /// # Errors
    /// If a name is unknown, or one is there twice.
    pub fn parse_layout(&self, text: &HashMap<String, String>) -> Result<WeightLayout, String> {
        let mut layout = self.layout;
        if let Some(names) = text.get("modalities") {
            layout.modalities = parse_order("modalities", names, Modality::ALL, Modality::name)?;
        }
        if let Some(names) = text.get("regions") {
            layout.regions = parse_order("regions", names, Region::BRATS, Region::name)?;
        }
        if let Some(axes) = text.get("axes") {
            layout.x_first = match axes.as_str() {
                "xyz" => true,
                "zyx" => false,
                _ => return Err(format!("has axes = `{axes}`, which are neither xyz nor zyx")),
            };
        }
        Ok(layout)
    }
}

/// Returns all of `known` in the order of `names`.
fn parse_order<T: Copy + PartialEq, const N: usize>(
    key: &str,
    names: &str,
    known: [T; N],
    name: fn(T) -> &'static str,
) -> Result<[T; N], String> {
    let find = |wanted: &str| {
        known.into_iter().find(|item| name(*item).eq_ignore_ascii_case(wanted.trim()))
    };
    let found: Vec<T> = names.split(',').filter_map(find).collect();
    let complete = known.iter().all(|item| found.contains(item));
    let wrong = || {
        let expected = known.map(name).join(",");
        format!("has {key} = `{names}`, which are not {expected} in some order")
    };
    if !complete || names.split(',').count() != N {
        return Err(wrong());
    }
    found.try_into().map_err(|_| wrong())
}

impl WeightLayout {
    /// Converts one of our parameters, `[out, in, d, h, w]` or `[out]`, from this layout to ours.
    pub(super) fn to_ours(
        self,
        dialect: &Dialect,
        name: &str,
        shape: &[usize],
        values: &[f32],
    ) -> Vec<f32> {
        let mut source = WeightPermutation::identity(shape);
        // Other channels than BraTS's are taken in the order of the file.
        let extent = |axis: usize| shape.get(axis).copied();
        if dialect.regions.contains(&name) && extent(0) == Some(self.regions.len()) {
            let place = |region: Region| self.regions.iter().position(|other| *other == region);
            source.outputs = Region::BRATS.map(|region| place(region).unwrap_or_default()).to_vec();
        }
        if dialect.modalities.contains(&name) && extent(1) == Some(self.modalities.len()) {
            let place =
                |modality: Modality| self.modalities.iter().position(|other| *other == modality);
            source.inputs =
                Modality::ALL.map(|modality| place(modality).unwrap_or_default()).to_vec();
        }
        source.x_first = self.x_first;
        source.permute_values(values)
    }
}

/// Permutation from another layout's values to ours.
struct WeightPermutation {
    outputs: Vec<usize>,
    inputs: Vec<usize>,
    kernel: [usize; 3],
    x_first: bool,
}

impl WeightPermutation {
    fn identity(shape: &[usize]) -> Self {
        let extent = |axis: usize| shape.get(axis).copied().unwrap_or(1);
        Self {
            outputs: (0..extent(0)).collect(),
            inputs: (0..extent(1)).collect(),
            kernel: [extent(2), extent(3), extent(4)],
            x_first: false,
        }
    }

    fn permute_values(&self, values: &[f32]) -> Vec<f32> {
        let [depth, height, width] = self.kernel;
        let taps = depth * height * width;
        let mut ours = Vec::with_capacity(values.len());
        for output in &self.outputs {
            for input in &self.inputs {
                let kernel = (output * self.inputs.len() + input) * taps;
                for z in 0..depth {
                    for y in 0..height {
                        for x in 0..width {
                            let tap = match self.x_first {
                                true => (x * height + y) * depth + z,
                                false => (z * height + y) * width + x,
                            };
                            ours.push(values[kernel + tap]);
                        }
                    }
                }
            }
        }
        ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect() -> Dialect {
        Dialect {
            program: "other",
            marker_tensor: "mark",
            name: |name| Some(name.into()),
            is_unused: |_| false,
            modalities: &["first"],
            regions: &["last"],
            layout: WeightLayout {
                modalities: [Modality::T1ce, Modality::T1, Modality::T2, Modality::Flair],
                regions: [Region::TC, Region::WT, Region::ET],
                x_first: true,
            },
        }
    }

    #[test]
    fn channels_change_places_by_name() {
        let other = dialect();
        let values: Vec<f32> = (0..8).map(|place| place as f32).collect();
        let ours = other.layout.to_ours(&other, "first", &[2, 4, 1, 1, 1], &values);
        assert_eq!(ours, [1.0, 0.0, 2.0, 3.0, 5.0, 4.0, 6.0, 7.0]);
        let ours = other.layout.to_ours(&other, "last", &[3], &[10.0, 20.0, 30.0]);
        assert_eq!(ours, [30.0, 10.0, 20.0], "ET, TC, WT");
        let untouched = other.layout.to_ours(&other, "between", &[2, 4, 1, 1, 1], &values);
        assert_eq!(untouched, values);
    }

    #[test]
    fn kernels_are_turned_from_xyz_to_zyx() {
        let other = dialect();
        let values: Vec<f32> = (0..27).map(|place| place as f32).collect();
        let ours = other.layout.to_ours(&other, "between", &[1, 1, 3, 3, 3], &values);
        let dims = crate::volume::Dims::cube(3);
        for z in 0..3 {
            for y in 0..3 {
                for x in 0..3 {
                    assert_eq!(
                        ours[dims.offset_from_zyx([z, y, x])],
                        values[dims.offset_from_zyx([x, y, z])]
                    );
                }
            }
        }
    }

    #[test]
    fn a_file_may_name_its_own_orders_and_nonsense_is_refused() {
        let other = dialect();
        let text = |key: &str, value: &str| HashMap::from([(key.to_string(), value.to_string())]);
        assert_eq!(other.parse_layout(&HashMap::new()).unwrap(), other.layout);
        let named = other.parse_layout(&text("modalities", "FLAIR, t1, t1ce, t2")).unwrap();
        assert_eq!(named.modalities, [Modality::Flair, Modality::T1, Modality::T1ce, Modality::T2]);
        assert!(!other.parse_layout(&text("axes", "zyx")).unwrap().x_first);
        for (key, value) in [
            ("modalities", "t1,t2"),
            ("regions", "tc,wt,wt"),
            ("regions", "a,b,c"),
            ("axes", "xzy"),
        ] {
            let refused = other.parse_layout(&text(key, value)).unwrap_err();
            assert!(refused.contains(key) && refused.contains(value), "{refused}");
        }
    }
}
