//! Cases of a study before it is run: what is in the folder, or the phantoms that will be drawn.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::base::Fingerprint;
use crate::brats::CaseFiles;
use crate::experiment::config::{ExperimentConfig, Repetition};
use crate::run::phantoms::PhantomCohort;
use crate::run::{Failure, SplitFile, name_patients, read_split_file};
use crate::volume::{CaseId, PatientId, Split};

/// Cases of a study, as far as file names and sizes tell.
pub struct CaseListing {
    /// Source of the cases.
    pub source: ListingSource,
    /// Cases that were found; none of other sources.
    pub cases: Vec<CaseFiles>,
    /// True if the settings set some cases apart to report on.
    pub has_test_part: bool,
    /// Fingerprint of the settings of the data, and of the names and sizes of the files.
    pub fingerprint: Fingerprint,
}

/// Source of a study's cases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ListingSource {
    /// Cases of this folder.
    Found {
        /// The folder.
        folder: PathBuf,
    },
    /// Phantoms, which the study draws.
    Drawn,
    /// The folder is not there.
    Absent {
        /// The folder.
        folder: PathBuf,
    },
}

/// A case, as its files' names and sizes tell it.
#[derive(Serialize)]
struct ListedCase {
    patient: PatientId,
    bytes: Vec<u64>,
}

impl CaseListing {
    /// Lists the cases of a study. A folder that is not there gives no case and no error.
    ///
    /// # Errors
    /// If the settings do not fit, or the folder is there and cannot be read.
    pub fn list_cases(
        experiment: &ExperimentConfig,
        place: Repetition<'_>,
    ) -> Result<Self, Failure> {
        let shared = experiment.shared_config(place)?;
        let data = &shared.run.data;
        let phantoms = experiment.text.cohort.phantoms.as_ref();
        let split_file = read_split_file(data)?;
        let folder = data.folder.clone();
        let mut cases = Vec::new();
        let source = match phantoms {
            Some(_) => ListingSource::Drawn,
            None if !folder.exists() => ListingSource::Absent { folder },
            None => {
                cases = shared.run.discover_in(&folder)?.cases;
                name_patients(data, &mut cases)?;
                ListingSource::Found { folder }
            }
        };
        let of_file = split_file.as_ref().map(|file| file.to_locked().fingerprint);
        let fingerprint = Fingerprint::of_config(&(
            shared.data_fingerprint(),
            of_file,
            phantoms.map(listed_phantoms),
            listed_cases(&cases),
        ));
        let of_shares = data.shares.is_some_and(|shares| shares.test > 0.0);
        let in_file = |file: &SplitFile| file.case_count(Split::Test) > 0;
        let has_test_part = of_shares || split_file.as_ref().is_some_and(in_file);
        Ok(Self { source, cases, has_test_part, fingerprint })
    }

    /// Fails if the cases are to be found in a folder that is not there.
    ///
    /// # Errors
    /// If so; the error names the folder.
    pub fn check_is_there(&self) -> Result<(), Failure> {
        let ListingSource::Absent { folder } = &self.source else { return Ok(()) };
        Err(Failure::Usage(format!(
            "{}: is not there; name the dataset's folder with --set base.data.folder='\"DIR\"', or say \
             --plan",
            folder.display()
        )))
    }
}

fn listed_phantoms(phantoms: &PhantomCohort) -> (u64, u64, [usize; 3]) {
    (phantoms.cases, phantoms.seed, phantoms.shape)
}

fn listed_cases(cases: &[CaseFiles]) -> BTreeMap<&CaseId, ListedCase> {
    // A file that cannot be read is for ingest to complain of.
    let bytes = |path: &PathBuf| path.metadata().map_or(0, |file| file.len());
    let listed = |files: &CaseFiles| ListedCase {
        patient: files.patient.clone(),
        bytes: files.paths().map(bytes).collect(),
    };
    cases.iter().map(|files| (&files.id, listed(files))).collect()
}
