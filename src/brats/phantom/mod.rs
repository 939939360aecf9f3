//! Phantoms: BraTS-like cases made from a seed. A brain with cortex, sulci, ventricles and a nested
//! glioma, seen in four sequences, on any grid.
//!
//! A phantom is a pure function of `(seed, index, dims)`: it does not depend on how many others are
//! made, on which thread, or on the platform. It is not a simulation of MRI physics. What it keeps of
//! the real thing is what a segmentation pipeline leans on: a stripped skull (83 % of a volume is
//! exactly 0), tumour shares and contrasts, intensities without a common scale, bias fields, noise,
//! and lookalikes that defeat a threshold.

mod anatomy;
mod frame;
mod intensity;
mod lookalikes;
mod noise;
mod streams;
mod tumour;

use serde::{Deserialize, Serialize};

use crate::base::error::{CaseError, Reason};
use crate::volume::case::{CaseId, SourceGrid};
use crate::volume::grid::Dims;
use crate::volume::modality::Modality;

use anatomy::{Anatomy, Tissue};
use frame::Frame;
use intensity::{Matter, Mixture, Scanner};
use lookalikes::{Lookalike, Lookalikes};
use streams::Draws;
use tumour::{Growth, Tumour};

/// Version of the generator: raised whenever its voxels change, so that cohorts never mix two.
pub const GENERATOR: u32 = 1;

/// Sides a grid may have. Below, a tumour is a handful of voxels; above, a case is gigabytes.
const SIDES: std::ops::RangeInclusive<usize> = 24..=512;

/// What a phantom cohort is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PhantomConfig {
    /// Grid, 24 to 512 a side. The head fills the same share of any; voxels of a small grid are
    /// larger. Default: 240 x 240 x 155, that of BraTS, at 1 mm.
    pub dims: Dims,
    /// Seed of the cohort. Default: 0.
    pub seed: u64,
}

impl Default for PhantomConfig {
    fn default() -> Self {
        Self { dims: Dims::from_nifti([240, 240, 155]), seed: 0 }
    }
}

impl PhantomConfig {
    /// Checks the grid.
    ///
    /// # Errors
    /// If a side is out of range.
    pub fn check(&self) -> Result<(), CaseError> {
        if self.dims.0.iter().all(|side| SIDES.contains(side)) {
            return Ok(());
        }
        Err(CaseError::new(
            Reason::Geometry,
            "phantom shape",
            format!("is {}", self.dims),
            format!("choose {} to {} voxels a side", SIDES.start(), SIDES.end()),
        ))
    }
}

/// One made case.
#[derive(Debug, Clone, PartialEq)]
pub struct Phantom {
    /// `BraTS20_Training_001` for index 0.
    pub id: CaseId,
    /// Its grid, in the orientation and with the translation of BraTS.
    pub source: SourceGrid,
    /// Intensities in the order of [`Modality::ALL`], each `[d, h, w]`; 0 exactly outside the brain.
    pub images: [Vec<i16>; Modality::COUNT],
    /// Canonical labels `[d, h, w]`.
    pub labels: Vec<u8>,
}

/// The name of case `index`, counted from 0, in the BraTS 2020 layout.
pub fn case_id(index: u64) -> CaseId {
    CaseId::new(format!("BraTS20_Training_{:03}", index + 1))
}

/// Makes case `index` of the cohort.
pub fn generate(config: &PhantomConfig, index: u64) -> Phantom {
    let dims = config.dims;
    let frame = Frame::new(dims);
    let draws = Draws::new(config.seed, index);
    let anatomy = Anatomy::draw(draws, &frame);
    let tumour = Tumour::draw(draws, &anatomy, &frame);
    let lookalikes = Lookalikes::draw(draws, &anatomy, &frame);
    let mut scanner = Scanner::draw(draws, tumour.is_solid(), &frame);

    let mut images = [(); Modality::COUNT].map(|()| vec![0i16; dims.voxels()]);
    let mut labels = vec![0u8; dims.voxels()];
    for place in 0..dims.voxels() {
        let point = frame.point(dims.position(place));
        let depth = anatomy.depth(point);
        if depth <= 0.0 {
            continue;
        }
        let tissue = anatomy.tissue(point, depth);
        let growth = tumour.growth(point, &tissue);
        let lookalike = lookalikes.at(point, &tissue);
        let mixture = mix(&tissue, &lookalike, &growth);
        let values = scanner.read(point, &mixture, lookalike.bright_cortex);
        for (image, value) in images.iter_mut().zip(values) {
            image[place] = value;
        }
        labels[place] = growth.label;
    }
    Phantom { id: case_id(index), source: frame.source(), images, labels }
}

/// Layers what lies at a place: healthy tissue, lookalikes over it, tumour over both.
fn mix(tissue: &Tissue, lookalike: &Lookalike, growth: &Growth) -> Mixture {
    let mut mixture = Mixture::healthy(tissue.csf, tissue.grey);
    mixture.replace(Matter::Lesion, lookalike.lesion);
    mixture.replace(Matter::Vessel, lookalike.vessel);
    mixture.replace(Matter::Oedema, growth.whole);
    mixture.replace(Matter::Necrosis, growth.core);
    mixture.replace(Matter::Enhancing, growth.core * growth.rim);
    mixture
}
