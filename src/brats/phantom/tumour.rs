//! A glioma: oedema spreading along the white matter around a core, the core necrotic within and,
//! in most cases, enhancing at its rim.

use super::anatomy::{Anatomy, Tissue};
use super::frame::{Frame, Point, dot, length, minus};
use super::noise::{NoiseField, smoothstep, soft_below};
use super::streams::{PhantomRng, Stream};
use crate::base::KeyedRng;
use crate::volume::label;

/// Share of cases without enhancing tumour, as low-grade gliomas mostly are.
const WITHOUT_ENHANCEMENT: f64 = 1.0 / 7.0;
/// Share of the others whose rim is thin and broken.
const FAINT_ENHANCEMENT: f64 = 0.2;
/// Radius of the main mass with its oedema in mm.
const RADIUS_MM: [f64; 2] = [18.5, 33.0];

/// Uptake of contrast agent in the core.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Enhancement {
    /// Not at all.
    None,
    /// A thin rim with gaps.
    Broken,
    /// A closed rim.
    Closed,
}

/// A ball of the oedema.
#[derive(Debug, Clone, Copy)]
struct Lobe {
    centre: Point,
    radius: f32,
}

/// Shares of tumour tissue at a point.
#[derive(Debug, Clone, Copy)]
pub(super) struct TumourShares {
    pub(super) label: u8,
    /// Share of oedema and everything within it.
    pub(super) whole: f32,
    /// Share of the core within that.
    pub(super) core: f32,
    /// Share of enhancing rim within the core.
    pub(super) rim: f32,
}

impl TumourShares {
    const NONE: Self = Self { label: label::BACKGROUND, whole: 0.0, core: 0.0, rim: 0.0 };
}

pub(super) struct Tumour {
    site: Point,
    axes: [Point; 3],
    stretch: [f32; 3],
    radius: f32,
    reach: f32,
    lobes: Vec<Lobe>,
    core_site: Point,
    core_radius: f32,
    rim: f32,
    enhancement: Enhancement,
    border: [NoiseField; 2],
    core_border: NoiseField,
    rim_border: NoiseField,
    softness: f32,
}

impl Tumour {
    /// Draws a tumour that fits into the head.
    pub(super) fn draw(draws: PhantomRng, anatomy: &Anatomy, frame: &Frame) -> Self {
        let mut growth = draws.stream(Stream::TumourGrowth);
        let radius = growth.uniform(RADIUS_MM[0], RADIUS_MM[1]) as f32;
        let site = find_site(&mut draws.stream(Stream::TumourSite), anatomy, radius);
        let lobes: Vec<Lobe> = (0..1 + growth.uniform_below(3))
            .map(|_| {
                let way = random_direction(&mut growth);
                let distance = radius * growth.uniform(0.5, 0.9) as f32;
                let centre = std::array::from_fn(|axis| site[axis] + way[axis] * distance);
                Lobe { centre, radius: radius * growth.uniform(0.4, 0.7) as f32 }
            })
            .collect();
        let mut core = draws.stream(Stream::TumourCore);
        let enhancement =
            match (core.draw_bool(WITHOUT_ENHANCEMENT), core.draw_bool(FAINT_ENHANCEMENT)) {
                (true, _) => Enhancement::None,
                (false, true) => Enhancement::Broken,
                (false, false) => Enhancement::Closed,
            };
        let core_radius = radius * core.uniform(0.55, 0.8) as f32;
        let aside = random_direction(&mut core);
        let offset = (radius - core_radius) * core.uniform(0.0, 0.6) as f32;
        let thin = enhancement == Enhancement::Broken;
        let rim = core.uniform(if thin { 0.2 } else { 0.28 }, if thin { 0.3 } else { 0.5 });
        Self {
            site,
            axes: random_axes(&mut growth),
            stretch: std::array::from_fn(|_| growth.uniform(0.85, 1.2) as f32),
            radius,
            reach: 2.0 * radius,
            lobes,
            core_site: std::array::from_fn(|axis| site[axis] + aside[axis] * offset),
            core_radius,
            rim: rim as f32,
            enhancement,
            border: [NoiseField::new(&mut growth, 15.0), NoiseField::new(&mut growth, 7.0)],
            core_border: NoiseField::new(&mut core, 11.0),
            rim_border: NoiseField::new(&mut core, 8.0),
            softness: (0.3 * frame.voxel_mm()).max(0.5),
        }
    }

    /// True if the core looks like solid tumour rather than dead tissue.
    pub(super) fn is_solid(&self) -> bool {
        self.enhancement == Enhancement::None
    }

    /// Label and shares of tumour tissue at a point inside the brain.
    pub(super) fn shares_at(&self, p: Point, tissue: &Tissue) -> TumourShares {
        let from = minus(p, self.site);
        if length(from) > self.reach {
            return TumourShares::NONE;
        }
        let core_mm = self.core_distance(p);
        // The core stays off the surface; oedema also spares fluid and spreads less in grey matter.
        let shell_mm = 2.5 - tissue.depth;
        let core_mm = core_mm.max(shell_mm);
        let barred = smoothstep(2.0 * tissue.csf) * self.radius;
        let spread_mm = self.spread_distance(p, from) + 0.22 * self.radius * tissue.grey;
        let whole_mm = (spread_mm + barred).max(shell_mm).min(core_mm);
        let inner_mm = core_mm + self.core_radius * self.rim_thickness(p);
        let label = match (whole_mm < 0.0, core_mm < 0.0, inner_mm < 0.0) {
            (false, ..) => label::BACKGROUND,
            (true, false, _) => label::ED,
            (true, true, true) => label::NCR,
            (true, true, false) => label::ET,
        };
        TumourShares {
            label,
            whole: soft_below(whole_mm, 0.0, 1.4 * self.softness),
            core: soft_below(core_mm, 0.0, self.softness),
            rim: 1.0 - soft_below(inner_mm, 0.0, self.softness),
        }
    }

    /// Distance to the border of the mass with its oedema in mm, about; negative within.
    fn spread_distance(&self, p: Point, from: Point) -> f32 {
        let mut nearest = (self.relative_distance(from, self.radius) - 1.0) * self.radius;
        for lobe in &self.lobes {
            nearest = nearest.min(length(minus(p, lobe.centre)) - lobe.radius);
        }
        nearest
            + self.radius * (0.26 * self.border[0].value_at(p) + 0.16 * self.border[1].value_at(p))
    }

    /// Distance to the border of the core in mm, about; negative within.
    fn core_distance(&self, p: Point) -> f32 {
        let level = self.relative_distance(minus(p, self.core_site), self.core_radius) - 1.0;
        if level > 0.6 {
            return level * self.core_radius;
        }
        (level + 0.3 * self.core_border.value_at(p)) * self.core_radius
    }

    /// Thickness of the rim as a share of the core's radius; negative where there is none.
    fn rim_thickness(&self, p: Point) -> f32 {
        let uneven = self.rim_border.value_at(p);
        match self.enhancement {
            Enhancement::None => -1.0,
            Enhancement::Closed => self.rim * (1.0 + 0.7 * uneven),
            Enhancement::Broken => self.rim * (0.6 + 2.4 * uneven),
        }
    }

    /// Distance from a centre in units of the ellipsoid's radius.
    fn relative_distance(&self, from: Point, radius: f32) -> f32 {
        length(std::array::from_fn(|axis| {
            dot(from, self.axes[axis]) / (radius * self.stretch[axis])
        }))
    }
}

/// Finds a point in the white matter deep enough for most of a tumour of `radius`: drawn until one
/// fits, else the deepest of those tried.
fn find_site(rng: &mut KeyedRng, anatomy: &Anatomy, radius: f32) -> Point {
    let mut deepest = ([25.0, 0.0, 25.0], 0.0);
    for _ in 0..200 {
        let site = [
            rng.uniform(-50.0, 50.0) as f32,
            rng.uniform(-62.0, 62.0) as f32,
            rng.uniform(-30.0, 48.0) as f32,
        ];
        let depth = anatomy.depth_mm(site);
        let tissue = anatomy.tissue_at(site, depth);
        let white = 1.0 - tissue.csf - tissue.grey;
        if depth > 0.8 * radius && white > 0.8 && tissue.ventricle > 4.0 {
            return site;
        }
        if depth > deepest.1 {
            deepest = (site, depth);
        }
    }
    deepest.0
}

/// A direction, uniform on the sphere.
pub(super) fn random_direction(rng: &mut KeyedRng) -> Point {
    loop {
        let p: Point = std::array::from_fn(|_| rng.uniform(-1.0, 1.0) as f32);
        let size = length(p);
        if (0.1..=1.0).contains(&size) {
            return p.map(|value| value / size);
        }
    }
}

/// Three directions at right angles.
fn random_axes(rng: &mut KeyedRng) -> [Point; 3] {
    let first = random_direction(rng);
    loop {
        let other = random_direction(rng);
        let shared = dot(first, other);
        let rest: Point = std::array::from_fn(|axis| other[axis] - shared * first[axis]);
        let size = length(rest);
        if size > 0.3 {
            let second = rest.map(|value| value / size);
            let third = std::array::from_fn(|axis| {
                let next = (axis + 1) % 3;
                let last = (axis + 2) % 3;
                first[next] * second[last] - first[last] * second[next]
            });
            return [first, second, third];
        }
    }
}
