//! Preprocessing settings. With the source they decide the bytes of a case file; their fingerprint
//! names the folder, so that two preprocessings never share a file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::base::{ConfigError, Fingerprint};
use crate::cache::format;
use crate::quality::{ForegroundRule, QualityPolicy};
use crate::resampling::Resampling;
use crate::volume::Dims;

/// Raised when encoding, crop or statistics change what they compute.
const RECIPE_REVISION: u32 = 2;

/// Orientation of stored volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Orientation {
    /// Left, posterior, superior: the orientation of BraTS.
    #[default]
    #[serde(rename = "LPS")]
    Lps,
}

/// Preprocessing settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct PreprocessConfig {
    /// Orientation of the stored grid.
    pub orientation: Orientation,
    /// Voxels kept per region in the foreground index; 4096 place a patch as evenly as all of
    /// them would, in 16 kB.
    #[schemars(range(max = 4_294_967_295_u32), extend("x-unit" = "voxels"))]
    #[default(4096)]
    pub foreground_cap: u32,
    /// Rule that tells tissue from background: the setting `data.foreground`.
    #[serde(skip)]
    pub foreground: ForegroundRule,
    /// Policy on findings: the setting `data.quality`.
    #[serde(skip)]
    pub quality: QualityPolicy,
    /// Voxel size that cases are resampled to, if they are: the settings `data.spacing` and
    /// `data.interpolation`.
    #[serde(skip)]
    pub resampling: Option<Resampling>,
}

impl PreprocessConfig {
    /// Checks that the rule of foreground can be followed.
    ///
    /// # Errors
    /// If it is a text that ends no mask file's name.
    pub fn check_foreground(&self) -> Result<(), ConfigError> {
        let ForegroundRule::Mask(name) = &self.foreground else { return Ok(()) };
        // A separator tells an ending from a rule that is misspelt.
        if name.starts_with(['_', '-', '.']) && !name.contains(['/', '\\']) {
            return Ok(());
        }
        let problem = "neither nonzero nor threshold, nor the ending of mask files";
        let way_out = "write one of the two, or an ending such as _mask for CASE_mask.nii.gz";
        Err(ConfigError::new("foreground", name, problem, way_out))
    }

    /// Extent and voxel edges in mm (x, y, z) in which a case is stored whose canonical grid has these.
    pub fn stored_grid(&self, dims: Dims, spacing_mm: [f64; 3]) -> (Dims, [f64; 3]) {
        let map = self.resampling.and_then(|wanted| wanted.map_grid(dims, spacing_mm));
        map.map_or((dims, spacing_mm), |map| (map.target_dims(), map.target_spacing_mm()))
    }

    /// Fingerprint of all that decides the bytes: format version, revision and settings.
    pub fn fingerprint(&self) -> Fingerprint {
        #[derive(Serialize)]
        struct PreprocessKey<'a> {
            format: u32,
            revision: u32,
            config: &'a PreprocessConfig,
            foreground: &'a ForegroundRule,
            quality: QualityPolicy,
            // Left out where it is not set: cases that keep their voxels stay in the folder they are in.
            #[serde(skip_serializing_if = "Option::is_none")]
            resampling: Option<Resampling>,
        }
        Fingerprint::of_config(&PreprocessKey {
            format: format::VERSION,
            revision: RECIPE_REVISION,
            config: self,
            foreground: &self.foreground,
            quality: self.quality,
            resampling: self.resampling,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resampling::Interpolation;

    #[test]
    fn the_default_fingerprint_stays_what_it_is() {
        // A change here orphans every cache in the field: only together with the format or recipe.
        let text = PreprocessConfig::default().fingerprint().short_hex(16);
        assert_eq!(text, "6688b33962a7005b");
    }

    #[test]
    fn another_setting_is_another_folder() {
        let other = PreprocessConfig { foreground_cap: 64, ..PreprocessConfig::default() };
        assert_ne!(other.fingerprint(), PreprocessConfig::default().fingerprint());
        let other = PreprocessConfig { quality: QualityPolicy::Warn, ..Default::default() };
        assert_ne!(other.fingerprint(), PreprocessConfig::default().fingerprint());
        let other =
            PreprocessConfig { foreground: ForegroundRule::Threshold, ..Default::default() };
        assert_ne!(other.fingerprint(), PreprocessConfig::default().fingerprint());
        let resampled = |edge: f64, interpolation, max_voxels| {
            let resampling = Resampling { spacing_mm: [1.0, 1.0, edge], interpolation, max_voxels };
            PreprocessConfig { resampling: Some(resampling), ..Default::default() }.fingerprint()
        };
        let linear = resampled(1.0, Interpolation::Linear, 1);
        assert_ne!(linear, PreprocessConfig::default().fingerprint());
        assert_ne!(linear, resampled(1.0, Interpolation::Cubic, 1));
        assert_ne!(linear, resampled(2.0, Interpolation::Linear, 1));
        assert_eq!(linear, resampled(1.0, Interpolation::Linear, 2), "a limit decides no voxel");
    }
}
