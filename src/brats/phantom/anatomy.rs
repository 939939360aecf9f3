//! Healthy head: brain surface and tissue composition.

use super::frame::{Frame, Point, dot, length, minus};
use super::noise::{NoiseField, blend, smoothstep, soft_below};
use super::streams::{PhantomRng, Stream};

/// Semi-axes of the brain in mm, `[x, y, z]`, before a case's own size and shape.
const SEMI_AXES_MM: [f32; 3] = [66.5, 84.5, 66.0];
/// Millimetres of depth per unit of the surface's level function.
const DEPTH_MM: f32 = 72.0;
/// Mean slope of the folding noise per mm; turns its values into distances.
const FOLD_SLOPE: f32 = 0.075;
/// Depth of the sulci.
const SULCUS_MM: f32 = 20.0;

/// Midline of a lateral ventricle, `[|x|, y, z]` in mm and the radius there: frontal horn, body,
/// atrium; the temporal and occipital horns leave from the atrium.
const VENTRICLE: [([f32; 3], f32); 6] = [
    ([8.0, -36.0, 6.0], 5.0),
    ([8.0, -12.0, 14.0], 4.5),
    ([11.0, 12.0, 18.0], 4.5),
    ([19.0, 30.0, 10.0], 6.5),
    ([31.0, 6.0, -12.0], 2.0),
    ([16.0, 48.0, 8.0], 2.0),
];
const VENTRICLE_SEGMENTS: [(usize, usize); 5] = [(0, 1), (1, 2), (2, 3), (3, 4), (3, 5)];
/// Deep grey matter: thalamus, lentiform nucleus, head of the caudate: centre and semi-axes.
const NUCLEI: [([f32; 3], [f32; 3]); 3] = [
    ([12.0, 8.0, 2.0], [8.0, 13.0, 9.0]),
    ([26.0, -10.0, 1.0], [7.0, 17.0, 10.0]),
    ([15.0, -28.0, 8.0], [4.5, 10.0, 8.0]),
];

/// Healthy tissue at a point inside the brain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tissue {
    /// Depth below the surface in mm.
    pub(super) depth: f32,
    /// Share of cerebrospinal fluid.
    pub(super) csf: f32,
    /// Share of grey matter; the rest is white.
    pub(super) grey: f32,
    /// Distance to the lateral ventricles' wall in mm, negative within.
    pub(super) ventricle: f32,
}

pub(super) struct Anatomy {
    semi_axes: [f32; 3],
    taper: f32,
    surface: [NoiseField; 2],
    folds: [NoiseField; 2],
    folia: NoiseField,
    midline: NoiseField,
    walls: NoiseField,
    ventricle_size: f32,
    cortex: f32,
    softness: f32,
}

impl Anatomy {
    /// Draws a head for a grid; the voxel's size only decides how soft edges are (partial volume).
    pub(super) fn draw(draws: PhantomRng, frame: &Frame) -> Self {
        let mut skull = draws.stream(Stream::Skull);
        let size = skull.uniform(0.97, 1.03) as f32;
        let semi_axes = SEMI_AXES_MM.map(|axis| axis * size * skull.uniform(0.98, 1.02) as f32);
        let taper = skull.uniform(0.06, 0.16) as f32;
        let surface = [NoiseField::new(&mut skull, 45.0), NoiseField::new(&mut skull, 16.0)];
        let mut cortex = draws.stream(Stream::Cortex);
        let thickness = cortex.uniform(2.6, 3.6) as f32;
        let folds = [NoiseField::new(&mut cortex, 12.5), NoiseField::new(&mut cortex, 8.0)];
        let mut ventricles = draws.stream(Stream::Ventricles);
        Self {
            semi_axes,
            taper,
            surface,
            folds,
            folia: NoiseField::new(&mut draws.stream(Stream::Cerebellum), 6.0),
            midline: NoiseField::new(&mut draws.stream(Stream::Midline), 50.0),
            ventricle_size: ventricles.uniform(0.75, 1.55) as f32,
            walls: NoiseField::new(&mut ventricles, 14.0),
            cortex: thickness,
            softness: (0.45 * frame.voxel_mm()).max(0.6),
        }
    }

    /// Depth below the brain's surface in mm; not positive outside.
    pub(super) fn depth_mm(&self, p: Point) -> f32 {
        let mut q: [f32; 3] = std::array::from_fn(|axis| p[axis] / self.semi_axes[axis]);
        // The frontal lobe is narrower than the parietal one, and its base lies higher.
        q[0] *= 1.0 - self.taper * q[1];
        if q[2] < 0.0 {
            q[2] *= 1.0 + 0.22 * smoothstep(0.5 - q[1]);
        }
        let level = 1.0 - length(q);
        if level < -0.12 {
            return level * DEPTH_MM;
        }
        let bumps = 0.07 * self.surface[0].value_at(p) + 0.025 * self.surface[1].value_at(p);
        (level + bumps) * DEPTH_MM
    }

    /// Tissue at a point, given its depth.
    pub(super) fn tissue_at(&self, p: Point, depth: f32) -> Tissue {
        let soft = self.softness;
        let x = p[0] - 3.0 * self.midline.value_at(p);
        let ventricle = self.ventricle_distance(p, x);
        let (mut csf, mut grey) = self.cortex_shares(p, depth);
        let (fissure_csf, fissure_grey) = self.fissure_shares(x, p, depth);
        csf = csf.max(fissure_csf);
        grey = grey.max(fissure_grey).max(nuclei_share([x.abs(), p[1], p[2]], soft));
        csf = csf.max(soft_below(ventricle, 0.0, soft));
        Tissue { depth, csf, grey: grey.min(1.0 - csf), ventricle }
    }

    /// Shares of CSF and grey matter in the folded outer part. The zero surfaces of a smooth noise
    /// wind like sulci: fluid fills them and grey matter lines them.
    fn cortex_shares(&self, p: Point, depth: f32) -> (f32, f32) {
        let soft = self.softness;
        let reach = soft_below(depth, SULCUS_MM, 7.0);
        let rind = soft_below(depth, self.cortex, soft);
        if reach == 0.0 {
            return (0.0, rind);
        }
        let cerebellum = soft_below(p[2], -30.0, 3.0) * soft_below(-p[1], -22.0, 3.0);
        let cerebral = 0.68 * self.folds[0].value_at(p) + 0.32 * self.folds[1].value_at(p);
        let fold = if cerebellum > 0.0 {
            blend(cerebral, self.folia.value_at(p), cerebellum)
        } else {
            cerebral
        };
        let slope = FOLD_SLOPE + 0.08 * cerebellum;
        let distance = fold.abs() / slope;
        let width = 0.3 + 1.1 * soft_below(depth, 9.0, 9.0);
        let csf = soft_below(distance, width, soft) * reach;
        let outer = soft_below(depth, 1.2, soft) * 0.5;
        let grey = rind.max(soft_below(distance, width + self.cortex, soft) * reach);
        (csf.max(outer), grey)
    }

    /// Shares of CSF and grey matter of the fissure between the hemispheres; it spares the corpus
    /// callosum and the brain stem.
    fn fissure_shares(&self, x: f32, p: Point, depth: f32) -> (f32, f32) {
        let distance = x.abs();
        if distance > 12.0 {
            return (0.0, 0.0);
        }
        let y = p[1] / 50.0;
        let z = (p[2] - 4.0) / 28.0;
        let around = smoothstep((y * y + z * z).sqrt() * 4.0 - 4.0);
        let open = around * soft_below(-p[2], 18.0, 6.0);
        let width = 1.0 + 1.4 * soft_below(depth, 10.0, 10.0);
        let csf = soft_below(distance, width, self.softness) * open;
        (csf, soft_below(distance, width + self.cortex, self.softness) * open)
    }

    /// Distance to the wall of the nearer lateral ventricle or the third one, negative within.
    fn ventricle_distance(&self, p: Point, x: f32) -> f32 {
        let q = [x.abs(), p[1], p[2]];
        let far = length(minus(q, [15.0, 8.0, 5.0])) - 52.0;
        if far > 12.0 {
            return far;
        }
        let mut nearest = length(minus([2.0 * q[0], q[1], q[2]], [0.0, 2.0, -4.0])) - 8.0;
        for (from, to) in VENTRICLE_SEGMENTS {
            let start = VENTRICLE[from];
            let end = VENTRICLE[to];
            let along = minus(end.0, start.0);
            let t = (dot(minus(q, start.0), along) / dot(along, along)).clamp(0.0, 1.0);
            let foot = std::array::from_fn(|axis| start.0[axis] + along[axis] * t);
            let radius = (start.1 + (end.1 - start.1) * t) * self.ventricle_size;
            nearest = nearest.min(length(minus(q, foot)) - radius);
        }
        nearest - 1.8 * self.walls.value_at(p)
    }
}

/// Share of deep grey matter at `[|x|, y, z]`.
fn nuclei_share(q: Point, softness: f32) -> f32 {
    let mut share = 0f32;
    for (centre, semi) in NUCLEI {
        let from = minus(q, centre);
        let scaled = [from[0] / semi[0], from[1] / semi[1], from[2] / semi[2]];
        share = share.max(soft_below((length(scaled) - 1.0) * semi[0], 0.0, softness));
    }
    0.85 * share
}
