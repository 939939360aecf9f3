//! Two masks and the distances between their surfaces, as HD95 and the surface Dice need them.

use std::cell::OnceCell;

use crate::eval::distance::DistanceMap;
use crate::eval::surface::boundary_mask;
use crate::eval::surfel::{SurfaceCells, SurfelAreas};
use crate::volume::{Box3, Dims};

/// Pair of a true and a predicted mask.
pub(super) enum MaskPair {
    /// Neither mask has a voxel.
    BothEmpty,
    /// Exactly one of the masks has no voxel.
    OneEmpty,
    /// Both masks have voxels, and surfaces with them.
    Surfaces(Surfaces),
}

/// Two masks, neither empty, on the smallest grid that holds both.
pub(super) struct Surfaces {
    masks: [Vec<bool>; 2],
    dims: Dims,
    spacing_mm: [f64; 3],
    /// Surfels of each mask, made when they are first asked for.
    surfels: OnceCell<[Vec<Surfel>; 2]>,
}

/// Cell that a surface passes through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surfel {
    /// Distance to the nearest cell that the other surface passes through.
    pub(super) distance_mm: f64,
    /// Area of the surface in the cell.
    pub(super) area_mm2: f64,
}

impl MaskPair {
    /// Pairs two masks in memory order `[d, h, w]`; `spacing_mm` is fastest axis first.
    ///
    /// # Panics
    /// If there are not as many values as voxels.
    pub(super) fn of_masks(
        truth: &[bool],
        prediction: &[bool],
        dims: Dims,
        spacing_mm: [f64; 3],
    ) -> Self {
        assert!(truth.len() == dims.voxel_count() && prediction.len() == dims.voxel_count());
        match (truth.contains(&true), prediction.contains(&true)) {
            (false, false) => return Self::BothEmpty,
            (true, true) => {}
            _ => return Self::OneEmpty,
        }
        // Exact, since both masks lie inside: a voxel at the box's face has the same neighbours as
        // before (beyond the box, as beyond the grid, is outside), and [`DistanceMap::to_features`]
        // says why the distances are the same.
        let around = Box3::bounding_box(dims, |place| truth[place] || prediction[place])
            .expect("both masks have voxels");
        Self::Surfaces(Surfaces {
            masks: [around.crop_from(truth, dims), around.crop_from(prediction, dims)],
            dims: around.dims,
            spacing_mm,
            surfels: OnceCell::new(),
        })
    }
}

impl Surfaces {
    /// Distances in mm from each surface voxel of one mask to the nearest of the other, both ways.
    pub(super) fn boundary_distances(&self) -> [Vec<f64>; 2] {
        let [truth, prediction] = [0, 1].map(|which| boundary_mask(&self.masks[which], self.dims));
        let from_to = |from: &[bool], to: &[bool]| {
            let map = DistanceMap::to_features(to, self.dims, self.spacing_mm);
            let surface = (0..from.len()).filter(|&place| from[place]);
            surface.map(|place| map.distance_mm(place)).collect()
        };
        [from_to(&truth, &prediction), from_to(&prediction, &truth)]
    }

    /// Surfels of the truth with their distances to the prediction's, and the other way round.
    pub(super) fn directed_surfels(&self) -> &[Vec<Surfel>; 2] {
        self.surfels.get_or_init(|| {
            let areas = SurfelAreas::new(self.spacing_mm);
            let [truth, prediction] =
                [0, 1].map(|which| SurfaceCells::of_mask(&self.masks[which], self.dims));
            let from_to = |from: &SurfaceCells, to: &SurfaceCells| {
                let map = DistanceMap::to_features(&to.crossed_cells(), to.dims, self.spacing_mm);
                let crossed =
                    from.crossed_cells().into_iter().enumerate().filter(|(_, crossed)| *crossed);
                let surfels = crossed.map(|(cell, _)| Surfel {
                    distance_mm: map.distance_mm(cell),
                    area_mm2: areas.of_code(from.cell_code(cell)),
                });
                surfels.collect()
            };
            [from_to(&truth, &prediction), from_to(&prediction, &truth)]
        })
    }
}
