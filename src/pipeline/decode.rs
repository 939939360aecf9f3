//! Stage `decode`: reads a case's files into whole volumes in memory.

use crate::actor::Stage;
use crate::base::CaseError;
use crate::brats::{CaseFiles, CaseReader};
use crate::buffers::CaseBuffers;
use crate::cache::SourceFiles;
use crate::pipeline::observe;
use crate::volume::Case;

/// Decoded case, and its files as they were before they were read.
pub struct DecodedCase {
    /// The case.
    pub case: Case,
    /// Files of the case.
    pub sources: SourceFiles,
}

/// State of a case's files, by which a cached case is recognised as current.
///
/// # Errors
/// If one is missing or unreadable.
pub fn stat_files(files: &CaseFiles) -> Result<SourceFiles, CaseError> {
    let sources = SourceFiles::read_metadata(files.paths());
    let sources = sources.map_err(|error| error.of_case(&files.id))?;
    let order = files.order_bytes();
    Ok(if order.is_empty() { sources } else { sources.with_order(&order) })
}

/// Decompresses, checks and reorients the files of one case.
///
/// # Errors
/// The first file that is invalid, with the reason.
pub fn decode_case(reader: &CaseReader, files: &CaseFiles) -> Result<DecodedCase, CaseError> {
    // Taken before reading: if a file changes meanwhile, its case is built again.
    let sources = stat_files(files)?;
    let case = reader.read(files)?;
    observe::count_decoded(&case);
    Ok(DecodedCase { case, sources })
}

/// Stage that decodes cases; most of ingest's time.
#[derive(Debug, Clone, Default)]
pub struct Decode(CaseReader);

impl Decode {
    /// Stage that decodes into buffers of `case_buffers`, to which the stages behind it return them.
    pub const fn new(case_buffers: CaseBuffers) -> Self {
        Self(CaseReader::new(case_buffers))
    }
}

impl Stage for Decode {
    const NAME: &'static str = "decode";
    type In = CaseFiles;
    type Out = DecodedCase;

    fn process(&mut self, files: CaseFiles) -> Result<DecodedCase, CaseError> {
        decode_case(&self.0, &files)
    }
}
