//! Ensembles: one run that predicts, or several whose probabilities are averaged.
//!
//! [`Ensemble`] names the runs. [`Ensemble::resolve`] reads their folders, which gives weights,
//! settings and a fingerprint. [`ResolvedEnsemble::build_predictor`] makes the predictor.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::{CaseError, Fault, Fingerprint, fs};
use crate::brats::{DESCRIPTION_FILE, Dataset, SchemeRequest, discover_described_cases};
use crate::eval::{
    LoadNetwork, MeanPredictor, Predictor, SlidingConfig, WeightedNetwork, WindowConfig,
};
use crate::nets::Mirrored;
use crate::nets::learner::predicting_file;
use crate::run::config::{self, CheckedConfig, RunConfig};
use crate::run::device::ChosenDevice;
use crate::run::{Failure, Session, device};
use crate::train::checkpoint;
use crate::volume::{Dims, LabelScheme};

/// Checkpoint of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointChoice {
    /// The last one.
    #[default]
    Latest,
    /// The one with the best validation.
    Best,
    /// The one after so many steps.
    Step(u64),
}

impl CheckpointChoice {
    /// Returns its folder in a run, and the steps that it was trained for.
    ///
    /// # Errors
    /// If there is none, or it is damaged.
    pub fn find_in_run(self, run: &Path) -> Result<(PathBuf, u64), Fault> {
        let found = match self {
            Self::Latest => checkpoint::find_latest(run),
            Self::Best => checkpoint::find_best(run),
            Self::Step(step) => checkpoint::find_step(run, step),
        };
        found.map(|(folder, state)| (folder, state.progress.step))
    }
}

impl FromStr for CheckpointChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "latest" => Ok(Self::Latest),
            "best" => Ok(Self::Best),
            step => step.parse().map(Self::Step).map_err(|_| {
                format!("`{text}` is no checkpoint; write latest, best or a number of steps")
            }),
        }
    }
}

/// A run of an ensemble.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Run folder.
    pub run: PathBuf,
    /// Weight of its probabilities, above 0; only ratios matter.
    pub weight: f64,
}

/// Runs that predict together, in the order of summation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ensemble {
    /// Members, at least one.
    pub members: Vec<Member>,
    /// Checkpoint of each member.
    #[serde(default)]
    pub which: CheckpointChoice,
    /// True if each window is predicted in all eight mirrorings.
    #[serde(default)]
    pub mirrored: bool,
}

impl Ensemble {
    /// The latest weights of one run.
    pub fn of_run(run: &Path) -> Self {
        Self::of_runs(&[run])
    }

    /// The latest weights of several runs, which count the same.
    pub fn of_runs<P: AsRef<Path>>(runs: &[P]) -> Self {
        let folders = runs.iter().map(|run| run.as_ref().to_path_buf());
        let members = folders.map(|run| Member { run, weight: 1.0 }).collect();
        Self { members, which: CheckpointChoice::Latest, mirrored: false }
    }

    /// Finds checkpoints and settings of all members. `assignments` override each configuration.
    ///
    /// # Errors
    /// If a folder holds no run or no such checkpoint, a weight is not above 0, or the members see
    /// cases that were not prepared alike.
    pub fn resolve(&self, assignments: &[String]) -> Result<ResolvedEnsemble, Failure> {
        let mut members: Vec<ResolvedMember> = Vec::with_capacity(self.members.len());
        for Member { run, weight } in &self.members {
            if !(weight.is_finite() && *weight > 0.0) {
                return Err(Failure::Usage(format!(
                    "{}: weight {weight} is not above 0; leave the run out, or give it a weight",
                    run.display()
                )));
            }
            let config = config::load_run_config(run, assignments)?;
            let (folder, step) = self.which.find_in_run(run)?;
            members.push(ResolvedMember {
                run: run.clone(),
                weight: *weight,
                step,
                folder,
                config: Arc::new(config),
            });
        }
        let Some(first) = members.first() else {
            return Err(Failure::Usage("there is no run to predict with; name one".into()));
        };
        let prepared = first.preprocess_fingerprint();
        if let Some(other) =
            members.iter().find(|member| member.preprocess_fingerprint() != prepared)
        {
            return Err(Failure::Usage(format!(
                "{}: its cases were prepared otherwise ({}) than those of {} ({}); average runs of \
                 the same data.preprocess",
                other.run.display(),
                other.preprocess_fingerprint().short_hex(16),
                first.run.display(),
                prepared.short_hex(16)
            )));
        }
        let channels = first.config.run.data.channels;
        let others = |member: &&ResolvedMember| member.config.run.data.channels != channels;
        if let Some(other) = members.iter().find(others) {
            return Err(Failure::Usage(format!(
                "{}: its modalities and regions ({}) are not those of {} ({}); average runs of the \
                 same data.modalities and data.regions",
                other.run.display(),
                other.config.run.data.channels,
                first.run.display(),
                channels
            )));
        }
        Ok(ResolvedEnsemble { members, mirrored: self.mirrored })
    }
}

/// Member with its checkpoint and its configuration.
#[derive(Clone)]
pub struct ResolvedMember {
    /// Run folder.
    pub run: PathBuf,
    /// Weight of its probabilities.
    pub weight: f64,
    /// Steps that its weights were trained for.
    pub step: u64,
    /// Folder of the checkpoint.
    folder: PathBuf,
    /// Configuration of the run.
    pub config: Arc<CheckedConfig>,
}

impl ResolvedMember {
    fn preprocess_fingerprint(&self) -> Fingerprint {
        self.config.run.data.preprocess.fingerprint()
    }

    fn weights_fingerprint(&self) -> Result<Fingerprint, Fault> {
        let file = self.folder.join(predicting_file(&self.folder));
        let bytes = fs::read(&file)?;
        Ok(Fingerprint::of_bytes(&bytes))
    }
}

/// Ensemble whose members have been found.
#[derive(Clone)]
pub struct ResolvedEnsemble {
    /// Members, at least one, in the order of summation.
    pub members: Vec<ResolvedMember>,
    /// True if each window is predicted in all eight mirrorings.
    pub mirrored: bool,
}

impl ResolvedEnsemble {
    /// Finds the cases of a folder that need not be the runs', with the meaning of their labels:
    /// `asked`, or that of the first run where file names allow it.
    ///
    /// # Errors
    /// As [`discover_described_cases`].
    pub fn discover_cases(
        &self,
        folder: &Path,
        asked: Option<LabelScheme>,
    ) -> Result<Dataset, CaseError> {
        let data = &self.first_run_config().data;
        let labels = SchemeRequest::of_user_or_run(asked, data.labels);
        // Another folder may be described otherwise, as the file beside it says.
        let is_described = folder.join(DESCRIPTION_FILE).is_file();
        let described = data.description.as_deref().filter(|_| !is_described);
        let found = discover_described_cases(folder, described, labels)?;
        let own = data.labels.unwrap_or_default();
        let found = found.with_tissues_of(own, data.channels.regions)?;
        Ok(found.with_channels(data.channels, data.missing).with_masks(&data.foreground))
    }

    /// The settings of the first run: its cases, its cache, its device.
    pub fn first_run_config(&self) -> &RunConfig {
        &self.members[0].config.run
    }

    /// Name in tables: the network, or those that are averaged.
    pub fn display_name(&self) -> String {
        let names: Vec<&str> =
            self.members.iter().map(|member| member.config.blueprint.name()).collect();
        let mirrored = if self.mirrored { ", mirrored" } else { "" };
        match names.as_slice() {
            [only] => format!("{only}{mirrored}"),
            several => format!("mean of {}{mirrored}", several.join(", ")),
        }
    }

    /// Fingerprint of everything that decides the probabilities, up to rounding: weights,
    /// architectures, windows, shares, mirroring and preprocessing, but not the folders.
    ///
    /// # Errors
    /// If weights cannot be read.
    pub fn fingerprint(&self) -> Result<Fingerprint, Fault> {
        #[derive(Serialize)]
        struct Deciding {
            weights: Fingerprint,
            architecture: &'static str,
            settings: Value,
            window: Dims,
            sliding: SlidingConfig,
            share: f64,
        }
        let total: f64 = self.members.iter().map(|member| member.weight).sum();
        let mut members = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let CheckedConfig { run, blueprint, .. } = member.config.as_ref();
            members.push(Deciding {
                weights: member.weights_fingerprint()?,
                architecture: blueprint.name(),
                settings: blueprint.settings(),
                window: run.crop.patch,
                // Windows predicted at once are predicted one by one.
                sliding: SlidingConfig { batch: 1, ..run.evaluation.clone() },
                share: member.weight / total,
            });
        }
        Ok(Fingerprint::of_config(&(
            self.members[0].preprocess_fingerprint(),
            members,
            self.mirrored,
        )))
    }

    /// Builds the predictor, on the first run's device. One member's weights are in memory at a
    /// time.
    ///
    /// # Errors
    /// If the device is not there.
    pub fn build_predictor(&self) -> Result<Box<dyn Predictor>, Failure> {
        Ok(self.build_on(&device::choose_for_run(self.first_run_config())?))
    }

    /// Builds the predictor, and says in the session if it is on the CPU for want of a GPU.
    ///
    /// # Errors
    /// As [`Self::build_predictor`].
    pub fn build_predictor_in(&self, session: &Session) -> Result<Box<dyn Predictor>, Failure> {
        let chosen = device::choose_for_run(self.first_run_config())?;
        session.tell_fallback(&chosen);
        Ok(self.build_on(&chosen))
    }

    fn build_on(&self, chosen: &ChosenDevice) -> Box<dyn Predictor> {
        let mirrored = self.mirrored;
        let parts = self.members.iter().map(|member| {
            let config = Arc::clone(&member.config);
            let folder = member.folder.clone();
            let device = chosen.device.clone();
            let windows = WindowConfig {
                channels: config.blueprint.run_channels(),
                extent: config.run.crop.patch,
                sliding: config.run.evaluation.clone(),
            };
            let load: LoadNetwork = Box::new(move || {
                let network = config.blueprint.load_network(&folder, &device)?;
                Ok(if mirrored { Box::new(Mirrored::new(network)) } else { network })
            });
            WeightedNetwork { weight: member.weight, windows, load }
        });
        Box::new(MeanPredictor::of_networks(parts.collect()))
    }
}
