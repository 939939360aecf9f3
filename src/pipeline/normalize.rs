//! Stage `normalize`: whole volumes to a case file's contents (box, codes, statistics, index).
//!
//! No voxel is normalised here: the file keeps the scanner's integers and the two numbers per
//! modality from which the z-score is made when a patch is cut.

use crate::actor::stage::Stage;
use crate::base::error::CaseError;
use crate::buffers::case::CaseShelf;
use crate::cache::contents::{CaseContents, prepare_on};
use crate::cache::preprocess::PreprocessConfig;
use crate::pipeline::decode::Decoded;

/// Stage that prepares cases under one preprocessing configuration.
#[derive(Debug, Clone)]
pub struct Normalize {
    preprocess: PreprocessConfig,
    shelf: CaseShelf,
}

impl Normalize {
    /// Stage whose buffers come from `shelf`, to which whole volumes return.
    pub const fn new(preprocess: PreprocessConfig, shelf: CaseShelf) -> Self {
        Self { preprocess, shelf }
    }

    /// Prepares the contents of a decoded case's file.
    ///
    /// # Errors
    /// If the case is empty or cannot be encoded.
    pub fn contents(&self, decoded: Decoded) -> Result<CaseContents, CaseError> {
        let Decoded { case, files } = decoded;
        let contents = prepare_on(&self.shelf, &case, &self.preprocess);
        self.shelf.give_case(case);
        Ok(contents?.with_files(files))
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
