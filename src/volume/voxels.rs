//! Intensities of one volume in the narrowest type that holds them exactly.

use crate::base::{OutOfMemory, collect_values};
use crate::volume::Intensities;

/// Voxel values in memory order `[d, h, w]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Voxels {
    /// Every value is an integer in the range of i16: nearly all MRI.
    I16(Intensities),
    /// Exact as single precision.
    F32(Vec<f32>),
    /// Every other value, in double precision.
    F64(Vec<f64>),
}

impl Voxels {
    /// Takes whole numbers in the range of i16.
    pub fn from_whole(values: Vec<i16>) -> Self {
        Self::I16(values.into())
    }

    /// Number of voxels.
    pub fn len(&self) -> usize {
        match self {
            Self::I16(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// True if there are no voxels.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at a memory offset.
    ///
    /// # Panics
    /// If `place` is out of range.
    pub fn get(&self, place: usize) -> f64 {
        match self {
            Self::I16(values) => f64::from(values[place]),
            Self::F32(values) => f64::from(values[place]),
            Self::F64(values) => values[place],
        }
    }

    /// All values, widened.
    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.len()).map(|place| self.get(place))
    }

    /// True if the value at `place` is tissue: finite and not the background's 0.
    pub fn is_tissue(&self, place: usize) -> bool {
        match self {
            Self::I16(values) => values[place] != 0,
            Self::F32(values) => values[place] != 0.0 && values[place].is_finite(),
            Self::F64(values) => values[place] != 0.0 && values[place].is_finite(),
        }
    }

    /// The same values in another memory order: `order[to] = from`.
    ///
    /// # Errors
    /// If there is no memory for them.
    ///
    /// # Panics
    /// If `order` names a place out of range.
    pub fn gather(&self, order: impl Iterator<Item = usize>) -> Result<Self, OutOfMemory> {
        let count = self.len();
        Ok(match self {
            Self::I16(values) => {
                Self::from_whole(collect_values(count, order.map(|from| values[from]))?)
            }
            Self::F32(values) => Self::F32(collect_values(count, order.map(|from| values[from]))?),
            Self::F64(values) => Self::F64(collect_values(count, order.map(|from| values[from]))?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tissue_is_finite_and_not_zero() {
        let values = Voxels::F32(vec![0.0, -1.0, f32::NAN, f32::INFINITY, 2.0]);
        let tissue: Vec<bool> = (0..5).map(|place| values.is_tissue(place)).collect();
        assert_eq!(tissue, [false, true, false, false, true]);
    }

    #[test]
    fn gathering_permutes() {
        let values = Voxels::from_whole(vec![5, 6, 7]);
        assert_eq!(values.gather([2, 0, 1].into_iter()), Ok(Voxels::from_whole(vec![7, 5, 6])));
    }
}
