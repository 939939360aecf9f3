//! Floor 2: image quality. Pure functions over decoded volumes: which value is background, how
//! tissue is distributed, and what is wrong with a case, as findings. Reads no file and changes no
//! voxel: `cache` follows it when it prepares a case, `gliaflow inspect --deep` prints it.

pub mod background;
#[cfg(test)]
mod background_tests;
pub mod case;
pub mod extremes;
pub mod finding;
pub mod image;
pub mod policy;
mod sorted;
mod surround;
