//! Phantom cases for programs that embed the crate, to try them without data.

use std::path::Path;

use crate::brats::phantom::PhantomConfig;
use crate::run::phantoms::write_phantoms;
use crate::run::{Failure, LifecycleRuntime, Session};
use crate::volume::{CaseId, Dims};

/// Writes `cases` phantoms of `shape` voxels, `[d, h, w]`, into `folder`, in the layout of BraTS 2020;
/// those that are there already stay.
///
/// ```
/// # fn main() -> Result<(), gliaflow::prelude::Failure> {
/// # let folder = tempfile::tempdir().expect("a folder");
/// let cases = gliaflow::prelude::write_phantom_cases(folder.path(), 2, [24, 24, 24])?;
/// assert_eq!(cases.len(), 2);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the shape is out of range, the folder holds other phantoms, or a file cannot be written.
pub fn write_phantom_cases(
    folder: impl AsRef<Path>,
    cases: u64,
    shape: [usize; 3],
) -> Result<Vec<CaseId>, Failure> {
    let runtime = LifecycleRuntime::start()?;
    let session = Session::new_unattended(runtime.tokio_handle().clone());
    let config = PhantomConfig { dims: Dims(shape), seed: 1 };
    write_phantoms(folder.as_ref(), &config, cases, &session)
}
