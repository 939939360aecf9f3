//! Module files of a checkpoint: written, and read back whole or not at all.

use std::path::Path;

use burn::module::{Module, list_param_ids};
use burn::store::ModuleRecord;

use crate::base::{Fault, can_sync_folder};

/// Writes the parameters of a module into a file that is not there yet.
pub(super) fn write_module<M: Module>(module: M, file: &Path) -> Result<(), Fault> {
    let Err(error) = module.into_record().save(file) else { return Ok(()) };
    // Burn writes under another name, renames, and then insists on syncing the folder.
    let folder = file.parent().unwrap_or(Path::new("."));
    if file.is_file() && !can_sync_folder(folder)? {
        return Ok(());
    }
    Err(Fault::Environment {
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

/// Reads the parameters in `file` into a module that is known by its parameters' ids: gradients and
/// moments of a parameter are found by them.
pub(super) fn read_identified_module<M: Module>(module: M, file: &Path) -> Result<M, Fault> {
    let expected = list_param_ids(&module);
    let read = read_module(module, file)?;
    // Burn draws an id where the file has none.
    if list_param_ids(&read) != expected {
        return Err(invalid_checkpoint(file, &"its parameters have other ids"));
    }
    Ok(read)
}

fn invalid_checkpoint(file: &Path, error: &impl std::fmt::Display) -> Fault {
    Fault::Environment {
        subject: file.display().to_string(),
        problem: format!("is no checkpoint of this network: {error}"),
        remedy: "use the settings it was trained with, or an earlier checkpoint".into(),
    }
}
