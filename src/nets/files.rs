//! Module files of a checkpoint: written, and read back whole or not at all.

use std::path::Path;

use burn::module::Module;
use burn::store::ModuleRecord;

use crate::base::error::Fault;

pub(super) fn write_module<M: Module>(module: M, file: &Path) -> Result<(), Fault> {
    module.into_record().save(file).map_err(|error| Fault::Environment {
        subject: file.display().to_string(),
        problem: format!("cannot be written: {error}"),
        remedy: "check free space and permissions".into(),
    })
}

/// Reads the parameters in `file` into a module.
pub(super) fn read_module<M: Module>(module: M, file: &Path) -> Result<M, Fault> {
    let record = ModuleRecord::load(file).map_err(|error| invalid_checkpoint(file, &error))?;
    module.try_load_record(record).map_err(|error| invalid_checkpoint(file, &error))
}

fn invalid_checkpoint(file: &Path, error: &impl std::fmt::Display) -> Fault {
    Fault::Environment {
        subject: file.display().to_string(),
        problem: format!("is no checkpoint of this network: {error}"),
        remedy: "use the settings it was trained with, or an earlier checkpoint".into(),
    }
}
