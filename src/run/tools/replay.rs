//! Replay of training samples: they are made again from the run's record.

use std::path::Path;

use crate::actor::Stage;
use crate::base::{CaseError, Fingerprint, Reason, SampleKey};
use crate::brats::CaseReader;
use crate::buffers::CaseBuffers;
use crate::cache::ExpectedSource;
use crate::pipeline::cold::{DecodeSample, NormalizeSample};
use crate::pipeline::{
    Annotations, CaseHandle, Crop, Normalize, PlannedSample, ReplayedSample, replay_sample,
    write_sample_arrays,
};
use crate::run::cohort::read_lock;
use crate::run::config::RunConfig;
use crate::run::config::data::DataConfig;
use crate::run::sample_plan::TrainedCases;
use crate::run::{Failure, config, prepare, pseudo_labels};
use crate::run_folder::{DatasetLock, EventLog, StepRecord};
use crate::volume::{CaseId, Split};

/// First sample that is made again.
#[derive(Debug, Clone, Copy)]
pub enum FirstSample {
    /// Sample that an epoch of the run trained on, by its place in the order of training, both from 0.
    OfEpoch {
        /// Epoch of the run, as its steps are counted.
        epoch: u64,
        /// Place in the epoch.
        place: u64,
    },
    /// Sample with a key, as the journal has it for every sample of a step.
    WithKey {
        /// Pass over the cases.
        epoch: u64,
        /// Place in the pass.
        index: u64,
    },
}

/// Samples of a run that are made again.
#[derive(Debug, Clone, Copy)]
pub struct ReplayRequest<'a> {
    /// The first sample.
    pub first: FirstSample,
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
/// file cannot be written. A donor that the run could not read either leaves its samples unmixed, as there.
pub fn replay_of_run(
    folder: &Path,
    request: ReplayRequest<'_>,
) -> Result<Vec<ReplayedSample>, Failure> {
    let ReplayRequest { first, count, arrays, out } = request;
    let run = config::load_run_config(folder, &[])?.run;
    let lock = read_lock(folder)?;
    let mut found = run.discover_in(&lock.folder)?.cases;
    found.extend(run.discover_synthetic(&found)?);
    let mut cohort = lock.files_in_split(&found, Split::Train);
    let mut parts = vec![Split::Train];
    let mut annotations = None;
    let mut annotated = 0;
    let synthetic = lock.synthetic_count();
    if let Some(pseudo) = &run.data.pseudo {
        let joining = lock.files_in_split(&found, Split::Unlabelled);
        annotations = Some(pseudo_labels::annotations_of_cases(pseudo, &joining));
        annotated = joining.len();
        let made = cohort.split_off(cohort.len().saturating_sub(synthetic));
        cohort.extend(joining);
        cohort.extend(made);
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
    let plan = TrainedCases { cases: cohort.into(), annotated, synthetic }.plan_samples(&run);
    let samples = plan.epoch_len();
    let (epoch, index) = match first {
        FirstSample::WithKey { epoch, index } => (epoch, index),
        FirstSample::OfEpoch { epoch, place } => key_of_place(folder, epoch, place)?,
    };
    if index >= samples {
        return Err(Failure::Usage(format!(
            "--key {epoch}/{index}: a pass over the cases of this run has {samples} samples; write 0 to {}",
            samples - 1
        )));
    }
    let mut augment = run.augment.clone();
    augment.complete_own_filters()?;
    let crop = Crop::new(run.crop.clone(), augment);
    let write = if arrays { write_sample_arrays } else { replay_sample };
    let first = epoch * samples + index;
    let mut replayed = Vec::new();
    for position in first..first + count {
        let planned = plan.sample_at(position);
        let key = planned.key;
        let recorded = RecordedCases { run: &run, lock: &lock, annotations: annotations.as_ref() };
        let donor = match planned.donor {
            None => None,
            Some(case) => {
                let of_donor = PlannedSample { case, donor: None, ..planned.clone() };
                recorded.load_donor(of_donor, position)?
            }
        };
        let case = recorded.load_case(planned, position)?;
        let sample = crop.draw_sample(key, case, donor);
        let written = write(&sample, run.data.channels, run.augment.background, run.targets(), out);
        let made = written.map_err(Failure::of_output_file)?;
        sample.case.check_pages()?;
        sample.donor.as_ref().map_or(Ok(()), CaseHandle::check_pages)?;
        replayed.push(made);
    }
    Ok(replayed)
}

/// Cases of a run by its record.
struct RecordedCases<'a> {
    run: &'a RunConfig,
    lock: &'a DatasetLock,
    annotations: Option<&'a Annotations>,
}

impl RecordedCases<'_> {
    /// Loads the case of the sample at `position`, if its files are still those that the sample was made of.
    fn load_case(&self, planned: PlannedSample, position: u64) -> Result<CaseHandle, Failure> {
        let id = planned.case_files().id.clone();
        let locked = self.find_locked(&id, position)?;
        let case = match self.run.loader.cached {
            true => find_case(planned, locked, &self.run.data, self.annotations)?,
            false => read_case_files(planned, &self.run.data)?,
        };
        if locked != case.fingerprint() {
            let problem =
                format!("its files are not those of the run (now {})", case.fingerprint());
            let remedy = "bring them back: other files give another sample";
            return Err(refuse_case(&id, problem, remedy));
        }
        Ok(case)
    }

    /// Loads the donor of the sample at `position`; `None` if its files are those of the run and cannot be read: the
    /// loader left the sample unmixed then.
    fn load_donor(
        &self,
        planned: PlannedSample,
        position: u64,
    ) -> Result<Option<CaseHandle>, Failure> {
        let files = planned.case_files().clone();
        let locked = self.find_locked(&files.id, position)?;
        let error = match self.load_case(planned, position) {
            Err(Failure::Data(error)) => error,
            loaded => return loaded.map(Some),
        };
        match CaseReader::default().read_headers(&files) {
            Ok(seen) if seen.fingerprint == locked => {
                tracing::warn!("the sample at {position} is unmixed, as in the run: {error}");
                Ok(None)
            }
            _ => Err(error.into()),
        }
    }

    /// Fingerprint that the files of a case had when the sample at `position` was made.
    fn find_locked(&self, id: &CaseId, position: u64) -> Result<Fingerprint, Failure> {
        if self.lock.was_replaced_after(id, position) {
            let problem =
                format!("its files were replaced after the sample at {position} was made");
            let remedy = "replay samples of other cases, or later ones of this case";
            return Err(refuse_case(id, problem, remedy));
        }
        let locked = self.lock.cases.iter().find(|case| case.id == *id);
        Ok(locked.expect("the plan is made of the lock's cases").fingerprint)
    }
}

fn refuse_case(id: &CaseId, problem: String, remedy: &str) -> Failure {
    CaseError::new(Reason::Checksum, format!("case {id}"), problem, remedy).into()
}

/// Key of the sample at a place of an epoch of the run in `folder`, from its journal.
fn key_of_place(folder: &Path, epoch: u64, place: u64) -> Result<(u64, u64), Failure> {
    let log = EventLog::read_from(folder)?;
    let steps = || [&log.steps, &log.non_finite].into_iter().flatten().map(|at| &at.event);
    let Some(last) = steps().map(|step| step.epoch).max() else {
        return Err(Failure::Usage(format!(
            "{}: has taken no step yet, so there is nothing to replay",
            folder.display()
        )));
    };
    let mut taken: Vec<&StepRecord> = steps().filter(|step| step.epoch == epoch).collect();
    taken.sort_by_key(|step| step.step);
    let keys: Vec<SampleKey> = taken.iter().flat_map(|step| step.samples.iter().copied()).collect();
    if epoch > last {
        return Err(Failure::Usage(format!(
            "--epoch {epoch}: {} has not got there; write 0 to {last}",
            folder.display()
        )));
    }
    match keys.get(place as usize) {
        Some(key) => Ok((key.epoch, key.index)),
        None => Err(Failure::Usage(format!(
            "--index {place}: epoch {epoch} of the run trained on {} samples; write 0 to {}",
            keys.len(),
            keys.len().saturating_sub(1)
        ))),
    }
}

/// Finds the case in the cache, or reads its files; pseudo-labels are in the cache only.
fn find_case(
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
