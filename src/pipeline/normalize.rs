//! Stage `normalize`: whole volumes to a case file's contents (box, codes, statistics, index).
//!
//! No voxel is normalised here: the file keeps the scanner's integers and the two numbers per
//! modality from which the z-score is made when a patch is cut.

use crate::actor::stage::Stage;
use crate::base::error::CaseError;
use crate::cache::contents::{CaseContents, prepare};
use crate::cache::preprocess::PreprocessConfig;
use crate::pipeline::decode::Decoded;

/// Prepares cases under one preprocessing configuration.
#[derive(Debug, Clone)]
pub struct Normalize {
    preprocess: PreprocessConfig,
}

impl Normalize {
    /// Under `preprocess`.
    pub const fn new(preprocess: PreprocessConfig) -> Self {
        Self { preprocess }
    }

    /// What the case file of a decoded case holds.
    ///
    /// # Errors
    /// If the case is empty or cannot be encoded.
    pub fn contents(&self, decoded: Decoded) -> Result<CaseContents, CaseError> {
        Ok(prepare(&decoded.case, &self.preprocess)?.with_files(decoded.files))
    }
}

impl Stage for Normalize {
    const NAME: &'static str = "normalize";
    type In = Decoded;
    type Out = CaseContents;

    fn process(&mut self, decoded: Decoded) -> Result<CaseContents, CaseError> {
        self.contents(decoded)
    }
}
