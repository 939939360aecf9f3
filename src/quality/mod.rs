//! Floor 2: image quality. Pure functions over decoded volumes: which value is background, how
//! tissue is distributed, and what is wrong with a case, as findings. Reads no file and changes no
//! voxel: `cache` follows it when it prepares a case, `gliaflow inspect --deep` prints it.

mod background;
#[cfg(test)]
mod background_tests;
mod case;
mod extremes;
mod finding;
mod image;
mod policy;
mod sorted;
mod surround;

pub use background::{BackgroundRange, Certainty};
pub use case::{CaseQuality, MARKS, TumourPlaces};
pub use extremes::ClipLimits;
pub use finding::{FindingKind, QualityFinding, Severity};
pub use image::{CertainTissue, ImageQuality};
pub use policy::{Consequence, ForegroundRule, QualityPolicy};
