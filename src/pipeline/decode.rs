//! Stage `decode`: a case's files to whole volumes in memory.

use std::path::Path;

use crate::actor::stage::Stage;
use crate::base::error::CaseError;
use crate::brats::case::CaseReader;
use crate::brats::dataset::CaseFiles;
use crate::cache::source::SourceFile;
use crate::pipeline::observe;
use crate::volume::case::Case;
use crate::volume::shelf::CaseShelf;

/// A case, and its files as they were before they were read.
pub struct Decoded {
    /// The case.
    pub case: Case,
    /// Its files.
    pub files: Vec<SourceFile>,
}

/// The files of a case as they are now: what tells whether a cached case is current.
///
/// # Errors
/// If one is missing or unreadable.
pub fn look(files: &CaseFiles) -> Result<Vec<SourceFile>, CaseError> {
    let paths = files.images.iter().chain(&files.labels);
    paths.map(|path| SourceFile::look(Path::new(path))).collect()
}

/// Inflates, checks and turns the files of one case.
///
/// # Errors
/// What is wrong with the first file that is.
pub fn decode(reader: &CaseReader, files: &CaseFiles) -> Result<Decoded, CaseError> {
    // Looked at before they are read: a file that changes meanwhile is then built again.
    let seen = look(files).map_err(|error| error.of_case(&files.id))?;
    let case = reader.read(files)?;
    observe::count_decoded(&case);
    Ok(Decoded { case, files: seen })
}

/// The heaviest stage of ingest.
#[derive(Debug, Clone, Default)]
pub struct Decode(CaseReader);

impl Decode {
    /// Into the buffers of `shelf`, where the stages after this one put them back.
    pub const fn new(shelf: CaseShelf) -> Self {
        Self(CaseReader::new(shelf))
    }
}

impl Stage for Decode {
    const NAME: &'static str = "decode";
    type In = CaseFiles;
    type Out = Decoded;

    fn process(&mut self, files: CaseFiles) -> Result<Decoded, CaseError> {
        decode(&self.0, &files)
    }
}
