//! Smooth keyed noise, and the soft edges that anatomy is cut with.
//!
//! Only `+ - * /`, comparisons and square roots decide a voxel, never `sin`, `exp` or a power:
//! those differ between platforms in the last bit, and a phantom must not.

use super::frame::{EXTENT_MM, Point};
use crate::base::KeyedRng;

/// A continuous random field over the field of view: uniform values in `[-1, 1)` on a cubic
/// lattice, blended by smoothstep. Structures are about as large as the lattice's spacing.
pub(super) struct NoiseField {
    nodes: [usize; 3],
    shift: f32,
    per_mm: f32,
    values: Vec<f32>,
}

impl NoiseField {
    /// A field with structures of `scale_mm`; takes as many draws from `rng` as it has nodes.
    pub(super) fn new(rng: &mut KeyedRng, scale_mm: f32) -> Self {
        let nodes = EXTENT_MM.map(|extent| (extent / scale_mm) as usize + 3);
        let shift = rng.uniform_unit() as f32;
        let count = nodes[0] * nodes[1] * nodes[2];
        let values = (0..count).map(|_| rng.uniform(-1.0, 1.0) as f32).collect();
        Self { nodes, shift, per_mm: 1.0 / scale_mm, values }
    }

    /// Value at a point, in `[-1, 1]`.
    pub(super) fn value_at(&self, p: Point) -> f32 {
        let mut cell = [0usize; 3];
        let mut weight = [0f32; 3];
        for axis in 0..3 {
            let place = (p[axis] + 0.5 * EXTENT_MM[axis]) * self.per_mm + self.shift;
            let bounded = place.clamp(0.0, (self.nodes[axis] - 2) as f32);
            cell[axis] = (bounded as usize).min(self.nodes[axis] - 2);
            weight[axis] = smoothstep(bounded - cell[axis] as f32);
        }
        let row = self.nodes[0];
        let plane = row * self.nodes[1];
        let first = cell[0] + row * cell[1] + plane * cell[2];
        let along_x = |at: usize| blend(self.values[at], self.values[at + 1], weight[0]);
        let near = blend(along_x(first), along_x(first + row), weight[1]);
        let far = blend(along_x(first + plane), along_x(first + plane + row), weight[1]);
        blend(near, far, weight[2])
    }
}

/// Interpolates linearly: `a` at weight 0, `b` at weight 1.
pub(super) fn blend(a: f32, b: f32, weight: f32) -> f32 {
    a + (b - a) * weight
}

/// Hermite step: 0 below 0, 1 above 1, smooth between.
pub(super) fn smoothstep(t: f32) -> f32 {
    let bounded = t.clamp(0.0, 1.0);
    bounded * bounded * (3.0 - 2.0 * bounded)
}

/// Soft step: 1 for a `value` well below `edge`, 0 well above, 0.5 on it. `softness` is half the
/// width of the passage, in the unit of both.
pub(super) fn soft_below(value: f32, edge: f32, softness: f32) -> f32 {
    smoothstep(0.5 + 0.5 * (edge - value) / softness)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Domain, SampleKey};

    fn noise(scale_mm: f32) -> NoiseField {
        let key = SampleKey { seed: 1, epoch: 0, index: 0 };
        NoiseField::new(&mut KeyedRng::new(key, Domain::Phantom), scale_mm)
    }

    #[test]
    fn it_is_bounded_continuous_and_not_flat_up_to_the_corners() {
        let field = noise(12.0);
        let (mut low, mut high) = (1f32, -1f32);
        let mut before: Option<f32> = None;
        for step in 0..4000 {
            let t = step as f32 / 3999.0 - 0.5;
            let value = field.value_at(EXTENT_MM.map(|extent| extent * t));
            (low, high) = (low.min(value), high.max(value));
            assert!(value.abs() <= 1.0);
            assert!(before.is_none_or(|last| (value - last).abs() < 0.05), "it jumps at {t}");
            before = Some(value);
        }
        assert!(high - low > 0.5, "from {low} to {high}");
    }

    #[test]
    fn an_edge_is_half_at_its_place_and_whole_beyond_its_softness() {
        assert_eq!(soft_below(3.0, 3.0, 0.5), 0.5);
        assert_eq!(soft_below(2.4, 3.0, 0.5), 1.0);
        assert_eq!(soft_below(3.6, 3.0, 0.5), 0.0);
    }
}
