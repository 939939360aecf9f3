//! Replay of training samples: they are made again from the run's record.

use std::path::Path;

use crate::actor::Stage;
use crate::base::{CaseError, Fingerprint, Reason};
use crate::buffers::CaseBuffers;
use crate::cache::ExpectedSource;
use crate::pipeline::cold::{DecodeSample, NormalizeSample};
use crate::pipeline::{
    Annotations, CaseHandle, Crop, Normalize, PlannedSample, ReplayedSample, replay_sample,
    write_sample_arrays,
};
use crate::run::cohort::read_lock;
use crate::run::config::data::DataConfig;
use crate::run::{Failure, config, prepare, pseudo_labels};
use crate::volume::Split;

/// Samples of a run that are made again.
#[derive(Debug, Clone, Copy)]
pub struct ReplayRequest<'a> {
    /// Epoch of the first sample, from 0.
    pub epoch: u64,
    /// Place of the first sample in its epoch, from 0.
    pub index: u64,
    /// Number of samples, in the order of training, from epoch to epoch.
    pub count: u64,
    /// True for NumPy arrays, false for NIfTI files.
    pub arrays: bool,
    /// Folder for the files.
    pub out: &'a Path,
}

/// Makes samples of the run in `folder` again and writes them as files.
///
/// # Errors
/// If the folder holds no run, the epoch has no such sample, a case is gone or is another one, or a
/// file cannot be written.
pub fn replay_of_run(
    folder: &Path,
    request: ReplayRequest<'_>,
) -> Result<Vec<ReplayedSample>, Failure> {
    let ReplayRequest { epoch, index, count, arrays, out } = request;
    let run = config::load_run_config(folder, &[])?.run;
    let lock = read_lock(folder)?;
    let found = run.discover_in(&lock.folder)?.cases;
    let mut cohort = lock.files_in_split(&found, Split::Train);
    let mut parts = vec![Split::Train];
    let mut annotations = None;
    if let Some(pseudo) = &run.data.pseudo {
        let joining = lock.files_in_split(&found, Split::Unlabelled);
        annotations = Some((pseudo_labels::annotations_of_cases(pseudo, &joining), joining.len()));
        cohort.extend(joining);
        parts.push(Split::Unlabelled);
    }
    let gone = lock.missing_cases(&found, &parts).len();
    if gone > 0 || cohort.is_empty() {
        return Err(Failure::Usage(format!(
            "{}: {} of the {} cases that the run trained on are there; bring the others back: the \
             order of samples depends on all of them",
            lock.folder.display(),
            cohort.len(),
            cohort.len() + gone
        )));
    }
    let (annotations, annotated) = annotations.unzip();
    let plan = pseudo_labels::sample_plan(&run, cohort.into(), annotated.unwrap_or(0));
    let samples = plan.epoch_len();
    if index >= samples {
        return Err(Failure::Usage(format!(
            "--index {index}: an epoch of this run has {samples} samples; write 0 to {}",
            samples - 1
        )));
    }
    let crop = Crop::new(run.crop.clone(), run.augment.clone());
    let write = if arrays { write_sample_arrays } else { replay_sample };
    let first = epoch * samples + index;
    let mut replayed = Vec::new();
    for position in first..first + count {
        let planned = plan.sample_at(position);
        let key = planned.key;
        let id = &planned.case_files().id;
        if lock.was_replaced_after(id, position) {
            let problem =
                format!("its files were replaced after the sample at {position} was made");
            let subject = format!("case {id}");
            let remedy = "replay samples of other cases, or later ones of this case";
            return Err(CaseError::new(Reason::Checksum, subject, problem, remedy).into());
        }
        let locked = lock.cases.iter().find(|case| case.id == *id);
        let locked = locked.expect("the plan is made of the lock's cases").fingerprint;
        let case = match run.loader.cached {
            true => load_case(planned, locked, &run.data, annotations.as_ref())?,
            false => read_case_files(planned, &run.data)?,
        };
        if locked != case.fingerprint() {
            let problem =
                format!("its files are not those of the run (now {})", case.fingerprint());
            let subject = format!("case {}", case.id());
            let remedy = "bring them back: other files give another sample";
            return Err(CaseError::new(Reason::Checksum, subject, problem, remedy).into());
        }
        let sample = crop.draw_sample(key, case);
        let written = write(&sample, run.data.channels, run.augment.background, run.targets(), out);
        let made = written.map_err(Failure::of_output_file)?;
        sample.case.check_pages()?;
        replayed.push(made);
    }
    Ok(replayed)
}

/// Loads the case from the cache, or from its files; pseudo-labels are in the cache only.
fn load_case(
    planned: PlannedSample,
    locked: Fingerprint,
    data: &DataConfig,
    annotations: Option<&Annotations>,
) -> Result<CaseHandle, Failure> {
    let store = prepare::open_store(&data.cache, &data.preprocess)?;
    let id = &planned.case_files().id;
    if let Ok(Some(case)) = store.find_case(id, ExpectedSource::Fingerprint(locked))
        && case.verify_voxels().is_ok()
    {
        return match annotations {
            Some(annotations) => Ok(annotations.annotate_case(case, &store)?),
            None => Ok(CaseHandle::Mapped(case)),
        };
    }
    if annotations.is_some_and(|annotations| annotations.is_annotated(id)) {
        let problem = "its case file is gone, and with it what its teacher's labels lie on";
        let subject = format!("case {id}");
        let remedy = "`gliaflow ingest --verify` builds it again";
        return Err(CaseError::new(Reason::Missing, subject, problem, remedy).into());
    }
    read_case_files(planned, data)
}

fn read_case_files(planned: PlannedSample, data: &DataConfig) -> Result<CaseHandle, Failure> {
    let case_buffers = CaseBuffers::default();
    let normalize = Normalize::new(data.preprocess.clone(), case_buffers.clone());
    let mut cold = DecodeSample::new(case_buffers.clone())
        .fuse_with(NormalizeSample::new(normalize, case_buffers));
    Ok(cold.process(planned)?.case)
}
