//! Stage `normalize`: whole volumes to a case file's contents (box, codes, statistics, index).
//!
//! No voxel is normalised here: the file keeps the scanner's integers and the two numbers per
//! modality from which the z-score is made when a patch is cut.

use crate::actor::Stage;
use crate::base::CaseError;
use crate::buffers::CaseBuffers;
use crate::cache::{CaseContents, PreprocessConfig, prepare_in_buffers};
use crate::pipeline::DecodedCase;

/// Stage that prepares cases under one preprocessing configuration.
#[derive(Debug, Clone)]
pub struct Normalize {
    preprocess: PreprocessConfig,
    case_buffers: CaseBuffers,
}

impl Normalize {
    /// Stage whose buffers come from `case_buffers`, to which whole volumes return.
    pub const fn new(preprocess: PreprocessConfig, case_buffers: CaseBuffers) -> Self {
        Self { preprocess, case_buffers }
    }

    /// Prepares the contents of a decoded case's file.
    ///
    /// # Errors
    /// If the case is empty or cannot be encoded.
    pub fn prepare_contents(&self, decoded: DecodedCase) -> Result<CaseContents, CaseError> {
        let DecodedCase { case, sources } = decoded;
        let contents = prepare_in_buffers(&self.case_buffers, &case, &self.preprocess);
        self.case_buffers.give_back_case(case);
        Ok(contents?.with_sources(sources))
    }
}

impl Stage for Normalize {
    const NAME: &'static str = "normalize";
    type In = DecodedCase;
    type Out = CaseContents;

    fn process(&mut self, decoded: DecodedCase) -> Result<CaseContents, CaseError> {
        self.prepare_contents(decoded)
    }
}
