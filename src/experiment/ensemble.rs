//! Which runs predict together: one, or several whose probabilities are averaged.
//!
//! [`Ensemble`] names them, as command lines and plans do. [`Ensemble::resolve`] looks at their
//! folders: from then on it is known which weights, which settings, and what the whole is worth as a
//! fingerprint. [`Resolved::predictor`] is what predicts.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::error::Fault;
use crate::base::fingerprint::Fingerprint;
use crate::eval::predictor::{Load, Mean, Part, Predictor, Windows};
use crate::eval::sliding::SlidingConfig;
use crate::experiment::config::{self, CheckedConfig, RunConfig};
use crate::experiment::device;
use crate::experiment::failure::Failure;
use crate::nets::learner::predicting_file;
use crate::nets::mirrored::Mirrored;
use crate::train::checkpoint;
use crate::volume::grid::Dims;

/// Which of a run's checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checkpoint {
    /// The last one.
    #[default]
    Latest,
    /// The one with the best validation.
    Best,
}

impl Checkpoint {
    /// Its folder in a run, and the steps that it was trained for.
    ///
    /// # Errors
    /// If there is none, or it is damaged.
    pub fn of(self, run: &Path) -> Result<(PathBuf, u64), Fault> {
        let found = match self {
            Self::Latest => checkpoint::latest(run),
            Self::Best => checkpoint::best(run),
        };
        found.map(|(folder, state)| (folder, state.standing.step))
    }
}

impl FromStr for Checkpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "latest" => Ok(Self::Latest),
            "best" => Ok(Self::Best),
            _ => Err(format!("`{text}` is no checkpoint; write latest or best")),
        }
    }
}

/// A run of an ensemble.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its folder.
    pub run: PathBuf,
    /// What its probabilities count, above 0; only ratios matter.
    pub weight: f64,
}

/// The runs that predict together, in the order in which they are added up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ensemble {
    /// At least one.
    pub members: Vec<Member>,
    /// Which weights of each.
    #[serde(default)]
    pub which: Checkpoint,
    /// Whether each window is seen in all eight mirrorings.
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
        let member = |run: &P| Member { run: run.as_ref().to_path_buf(), weight: 1.0 };
        let members = runs.iter().map(member).collect();
        Self { members, which: Checkpoint::Latest, mirrored: false }
    }

    /// Finds the checkpoints and settings of all members. `assignments` override each one's
    /// configuration.
    ///
    /// # Errors
    /// If a folder holds no run or no such checkpoint, a weight is not above 0, or the members see
    /// cases that were not prepared alike.
    pub fn resolve(&self, assignments: &[String]) -> Result<Resolved, Failure> {
        let mut members: Vec<ResolvedMember> = Vec::with_capacity(self.members.len());
        for Member { run, weight } in &self.members {
            if !(weight.is_finite() && *weight > 0.0) {
                return Err(Failure::Usage(format!(
                    "{}: weight {weight} is not above 0; leave the run out, or give it a weight",
                    run.display()
                )));
            }
            let config = config::of_run(run, assignments)?;
            let (folder, step) = self.which.of(run)?;
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
        let prepared = first.preprocess();
        if let Some(other) = members.iter().find(|member| member.preprocess() != prepared) {
            return Err(Failure::Usage(format!(
                "{}: its cases were prepared otherwise ({}) than those of {} ({}); average runs of \
                 the same data.preprocess",
                other.run.display(),
                other.preprocess().short(16),
                first.run.display(),
                prepared.short(16)
            )));
        }
        Ok(Resolved { members, mirrored: self.mirrored })
    }
}

/// A run of which it is known what it predicts with.
#[derive(Clone)]
pub struct ResolvedMember {
    /// Its folder.
    pub run: PathBuf,
    /// What its probabilities count.
    pub weight: f64,
    /// Steps that its weights were trained for.
    pub step: u64,
    /// Its checkpoint.
    folder: PathBuf,
    /// What it was trained with.
    pub config: Arc<CheckedConfig>,
}

impl ResolvedMember {
    fn preprocess(&self) -> Fingerprint {
        self.config.run.data.preprocess.fingerprint()
    }

    fn weights(&self) -> Result<Fingerprint, Fault> {
        let file = self.folder.join(predicting_file(&self.folder));
        let bytes = fs::read(&file).map_err(|error| Fault::io(&file, &error))?;
        Ok(Fingerprint::of_bytes(&bytes))
    }
}

/// An ensemble of which it is known what it predicts with.
#[derive(Clone)]
pub struct Resolved {
    /// At least one, in the order in which they are added up.
    pub members: Vec<ResolvedMember>,
    /// Whether each window is seen in all eight mirrorings.
    pub mirrored: bool,
}

impl Resolved {
    /// The settings of the first run: its cases, its cache, its device.
    pub fn settings(&self) -> &RunConfig {
        &self.members[0].config.run
    }

    /// For tables: the network, or those that are averaged.
    pub fn name(&self) -> String {
        let names: Vec<&str> =
            self.members.iter().map(|member| member.config.blueprint.name()).collect();
        let mirrored = if self.mirrored { ", mirrored" } else { "" };
        match names.as_slice() {
            [only] => format!("{only}{mirrored}"),
            several => format!("mean of {}{mirrored}", several.join(", ")),
        }
    }

    /// Of everything that decides the probabilities, up to rounding: weights, architectures, windows,
    /// what each member counts, mirroring, and how cases are prepared. Where the runs lie does not.
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
                weights: member.weights()?,
                architecture: blueprint.name(),
                settings: blueprint.settings(),
                window: run.crop.patch,
                // Windows predicted at once are predicted one by one.
                sliding: SlidingConfig { batch: 1, ..run.evaluation.clone() },
                share: member.weight / total,
            });
        }
        Ok(Fingerprint::of_config(&(self.members[0].preprocess(), members, self.mirrored)))
    }

    /// What predicts, on the device of the first run's settings. One member's weights are in memory
    /// at a time.
    ///
    /// # Errors
    /// If the device is not there.
    pub fn predictor(&self) -> Result<Box<dyn Predictor>, Failure> {
        let chosen = device::choose(self.settings().device)?;
        let mirrored = self.mirrored;
        let parts = self.members.iter().map(|member| {
            let (config, folder) = (Arc::clone(&member.config), member.folder.clone());
            let device = chosen.device.clone();
            let windows =
                Windows { extent: config.run.crop.patch, sliding: config.run.evaluation.clone() };
            let load: Load = Box::new(move || {
                let network = config.blueprint.network(&folder, &device)?;
                Ok(if mirrored { Box::new(Mirrored::new(network)) } else { network })
            });
            Part { weight: member.weight, windows, load }
        });
        Ok(Box::new(Mean::of(parts.collect())))
    }
}
