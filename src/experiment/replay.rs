//! Which sample a run saw at an epoch's place, made again from the run's record.

use std::path::Path;

use crate::actor::stage::Source;
use crate::base::error::{CaseError, Reason};
use crate::brats::case::CaseReader;
use crate::cache::contents::CaseContents;
use crate::cache::source::Expected;
use crate::experiment::cohort::read_lock;
use crate::experiment::config;
use crate::experiment::data::DataConfig;
use crate::experiment::failure::Failure;
use crate::experiment::prepare;
use crate::pipeline::crop::Crop;
use crate::pipeline::decode::decode;
use crate::pipeline::handle::{CaseHandle, OwnedCase};
use crate::pipeline::normalize::Normalize;
use crate::pipeline::plan::{Plan, PlannedSample, Planner};
use crate::pipeline::replay::{Replayed, replay};
use crate::volume::case::Split;
use crate::volume::shelf::CaseShelf;

/// Makes the sample at `index` of `epoch` of the run in `folder` again and writes it into `out`.
///
/// # Errors
/// If the folder holds no run, the epoch has no such sample, its case is gone or is another one, or a
/// file cannot be written.
pub fn of_run(folder: &Path, epoch: u64, index: u64, out: &Path) -> Result<Replayed, Failure> {
    let file = folder.join("config.toml");
    if !file.is_file() {
        return Err(Failure::Usage(format!(
            "{}: holds no run; name a folder that `gliaflow train` made",
            folder.display()
        )));
    }
    let run = config::load(Some(&file), &[])?.run;
    let lock = read_lock(folder)?;
    let found = prepare::look(&lock.folder)?.cases;
    let cohort = lock.files(&found, Split::Train);
    let trained_on = lock.cases.iter().filter(|case| case.split == Split::Train).count();
    if cohort.len() != trained_on || cohort.is_empty() {
        return Err(Failure::Usage(format!(
            "{}: {} of the {trained_on} cases that the run trained on are there; bring the others \
             back: the order of samples depends on all of them",
            lock.folder.display(),
            cohort.len()
        )));
    }
    let plan = Plan::new(cohort.into(), run.seed, run.loader.patches_per_case);
    let samples = plan.epoch_len();
    if index >= samples {
        return Err(Failure::Usage(format!(
            "--index {index}: an epoch of this run has {samples} samples; write 0 to {}",
            samples - 1
        )));
    }
    let mut planner = Planner::starting_at(plan, epoch * samples + index);
    let planned = planner.next().expect("a plan without an end");
    let case = case(&planned, &run.data)?;
    let locked = lock.cases.iter().find(|locked| locked.id == *case.id());
    if locked.is_none_or(|locked| locked.fingerprint != case.fingerprint()) {
        let problem = format!("its files are not those of the run (now {})", case.fingerprint());
        let subject = format!("case {}", case.id());
        let remedy = "bring them back: other files give another sample";
        return Err(CaseError::new(Reason::Checksum, subject, problem, remedy).into());
    }
    let background = run.augment.background;
    let sample = Crop::new(run.crop, run.augment).draw(planned.key, case);
    Ok(replay(&sample, background, out)?)
}

/// The case out of the cache, or out of its files: it is the same.
fn case(planned: &PlannedSample, data: &DataConfig) -> Result<CaseHandle, Failure> {
    let files = planned.files();
    let store = prepare::open_store(&data.cache, &data.preprocess)?;
    if let Ok(Some(case)) = store.lookup(&files.id, Expected::Anything)
        && case.touch().is_ok()
    {
        return Ok(CaseHandle::Mapped(case));
    }
    let shelf = CaseShelf::default();
    let decoded = decode(&CaseReader::new(shelf.clone()), files)?;
    let normalize = Normalize::new(data.preprocess.clone(), shelf.clone());
    let contents: CaseContents = normalize.contents(decoded)?;
    Ok(CaseHandle::Owned(OwnedCase::new(contents, shelf)))
}
