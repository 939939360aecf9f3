//! What a learner leaves in a checkpoint's folder, and how it is read back: whole, or not at all.

use std::fs;
use std::path::Path;

use burn::module::Module;
use burn::optim::{ModuleOptimizer, OptimizerRecord};
use burn::store::ModuleRecord;

use crate::base::error::Fault;

/// Writes the parameters of a module.
pub(super) fn write<M: Module>(module: M, file: &Path) -> Result<(), Fault> {
    module.into_record().save(file).map_err(|error| unwritable(file, &error))
}

/// A module with the parameters in `file`.
pub(super) fn read<M: Module>(module: M, file: &Path) -> Result<M, Fault> {
    let record = ModuleRecord::load(file).map_err(|error| unreadable(file, &error))?;
    module.try_load_record(record).map_err(|error| unreadable(file, &error))
}

/// Writes an optimiser's state.
pub(super) fn write_optimiser(optimiser: &ModuleOptimizer, file: &Path) -> Result<(), Fault> {
    optimiser.save(file).map_err(|error| unwritable(file, &error))
}

/// A fresh optimiser with the state in `file`.
pub(super) fn read_optimiser(
    fresh: ModuleOptimizer,
    file: &Path,
) -> Result<ModuleOptimizer, Fault> {
    let record = OptimizerRecord::load(file).map_err(|error| unreadable(file, &error))?;
    let recorded = record.len();
    let optimiser = fresh.load_record(record);
    // Burn leaves out a state that it cannot rebuild, and would start it from zero.
    let rebuilt = optimiser.to_record().len();
    if rebuilt != recorded {
        let problem = format!("{rebuilt} of {recorded} tensors fit the optimiser");
        return Err(unreadable(file, &problem));
    }
    Ok(optimiser)
}

/// Writes a number of batches.
pub(super) fn write_batches(batches: u64, file: &Path) -> Result<(), Fault> {
    fs::write(file, format!("{batches}\n")).map_err(|error| unwritable(file, &error))
}

/// The number of batches in `file`.
pub(super) fn read_batches(file: &Path) -> Result<u64, Fault> {
    let bytes = fs::read(file).map_err(|error| unreadable(file, &error))?;
    serde_json::from_slice(&bytes).map_err(|error| unreadable(file, &error))
}

fn unwritable(file: &Path, error: &impl std::fmt::Display) -> Fault {
    Fault::Environment {
        subject: file.display().to_string(),
        problem: format!("cannot be written: {error}"),
        remedy: "check free space and permissions".into(),
    }
}

fn unreadable(file: &Path, error: &impl std::fmt::Display) -> Fault {
    Fault::Environment {
        subject: file.display().to_string(),
        problem: format!("is no checkpoint of this network: {error}"),
        remedy: "use the settings it was trained with, or an earlier checkpoint".into(),
    }
}
