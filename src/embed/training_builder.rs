//! Builder of a [`Training`].

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use crate::actor::StopLatch;
use crate::augment::{OwnFilter, PatchFilter};
use crate::base::ConfigError;
use crate::embed::Training;
use crate::embed::training::TrainingStart;
use crate::run::Failure;
use crate::run::config;
use crate::run::train::RunDestination;
use crate::run_folder::{EpochEvent, Event, RunSummary, StepRecord, ValidationEvent};
use crate::train::{RegionLoss, register_loss};

/// Callback for the events of a run.
type EventCallback = Box<dyn FnMut(&Event) + Send>;

/// Builder of a [`Training`].
///
/// ```no_run
/// # fn main() -> Result<(), gliaflow::prelude::Failure> {
/// use gliaflow::prelude::*;
///
/// let summary = Training::builder("data/BraTS2020")
///     .config_file("configs/unet.toml")
///     .set("train.learning_rate", 1e-4)
///     .set("data.fold", "0/5")
///     .on_validation(|scored| println!("epoch {}: Dice {:.4}", scored.epoch, scored.mean_dice))
///     .run()?;
/// // Later, or in another process: more epochs of the same run.
/// Training::builder("").resume(&summary.run).set("train.epochs", 400).run()?;
/// # Ok(())
/// # }
/// ```
pub struct TrainingBuilder {
    folder: PathBuf,
    config: Option<PathBuf>,
    run: Option<PathBuf>,
    resumed: Option<PathBuf>,
    assignments: Vec<String>,
    own_filters: Vec<OwnFilter>,
    refused: Option<String>,
    callbacks: Vec<EventCallback>,
}

impl TrainingBuilder {
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            config: None,
            run: None,
            resumed: None,
            assignments: Vec::new(),
            own_filters: Vec::new(),
            refused: None,
            callbacks: Vec::new(),
        }
    }

    /// Reads settings from a configuration file; those that are set here count more.
    #[must_use]
    pub fn config_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.config = Some(file.into());
        self
    }

    /// Sets a setting by the name that it has in a configuration file (`docs/settings.md`), such as
    /// `train.learning_rate`.
    #[must_use]
    pub fn set(mut self, setting: &str, value: impl Serialize) -> Self {
        match toml::Value::try_from(value) {
            Ok(value) => self.assignments.push(format!("{setting}={value}")),
            Err(error) => self.refused = Some(format!("{setting}: {error}; write another value")),
        }
        self
    }

    /// Network by name: one of [`list_architectures`](crate::nets::list_architectures).
    #[must_use]
    pub fn network(self, name: &str) -> Self {
        self.set("model.name", name)
    }

    /// Settings of the network, by their names in `model.settings`; those left out have their default.
    #[must_use]
    pub fn network_settings(self, settings: impl Serialize) -> Self {
        self.set("model.settings", settings)
    }

    /// Trains with a loss of the caller's, and registers it ([`RegionLoss`]).
    #[must_use]
    pub fn loss<L: RegionLoss>(mut self, loss: L) -> Self {
        self.refuse(register_loss::<L>());
        self.set("loss.name", L::NAME).set("loss.settings", loss)
    }

    /// Adds a filter of the caller's to the augmentation, behind the others, and registers it
    /// ([`PatchFilter`]).
    #[must_use]
    pub fn patch_filter<F: PatchFilter>(mut self, filter: F) -> Self {
        match OwnFilter::of_filter(&filter) {
            Ok(own) => self.own_filters.push(own),
            Err(error) => self.refuse(Err(error)),
        }
        let own = self.own_filters.clone();
        self.set("augment.own", own)
    }

    fn refuse(&mut self, outcome: Result<(), ConfigError>) {
        if let Err(error) = outcome {
            self.refused.get_or_insert_with(|| error.to_string());
        }
    }

    /// Number of epochs.
    #[must_use]
    pub fn epochs(self, epochs: u64) -> Self {
        self.set("train.epochs", epochs)
    }

    /// Extent of a patch in voxels, `[d, h, w]`.
    #[must_use]
    pub fn patch(self, extent: [usize; 3]) -> Self {
        self.set("crop.patch", extent)
    }

    /// Samples in a batch.
    #[must_use]
    pub fn batch(self, samples: usize) -> Self {
        self.set("loader.batch", samples)
    }

    /// Folder of the case files; `cache` without it.
    #[must_use]
    pub fn cache(self, folder: impl Into<PathBuf>) -> Self {
        self.set("data.cache", folder.into())
    }

    /// Folder of the run; the next free `runs/NETWORK-NNN` without it.
    #[must_use]
    pub fn run_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.run = Some(folder.into());
        self
    }

    /// Goes on with the run in `folder`, with its own settings and cases; settings that decide the
    /// result may not differ.
    #[must_use]
    pub fn resume(mut self, folder: impl Into<PathBuf>) -> Self {
        self.resumed = Some(folder.into());
        self
    }

    /// Calls `callback` after each optimiser step, on the thread that trains.
    #[must_use]
    pub fn on_step(self, mut callback: impl FnMut(&StepRecord) + Send + 'static) -> Self {
        self.on_event(move |event| {
            if let Event::Step(step) = event {
                callback(step);
            }
        })
    }

    /// Calls `callback` after each epoch.
    #[must_use]
    pub fn on_epoch(self, mut callback: impl FnMut(&EpochEvent) + Send + 'static) -> Self {
        self.on_event(move |event| {
            if let Event::Epoch(epoch) = event {
                callback(epoch);
            }
        })
    }

    /// Calls `callback` after each validation.
    #[must_use]
    pub fn on_validation(
        self,
        mut callback: impl FnMut(&ValidationEvent) + Send + 'static,
    ) -> Self {
        self.on_event(move |event| {
            if let Event::Validation(validation) = event {
                callback(validation);
            }
        })
    }

    /// Calls `callback` for every event of the run's journal.
    #[must_use]
    pub fn on_event(mut self, callback: impl FnMut(&Event) + Send + 'static) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// If a setting is unknown or out of its range, or the configuration file cannot be read.
    pub fn build(self) -> Result<Training, Failure> {
        if let Some(refused) = self.refused {
            return Err(Failure::Usage(refused));
        }
        let start = match self.resumed {
            Some(folder) => TrainingStart::Resumed { folder, assignments: self.assignments },
            None => {
                let mut assignments = vec![config::path_assignment("data.folder", &self.folder)];
                assignments.extend(self.assignments);
                let config = config::load(self.config.as_deref(), &assignments)?;
                let destination = RunDestination::new(self.run, &config);
                TrainingStart::New { config: Box::new(config), destination }
            }
        };
        let callbacks = Mutex::new(self.callbacks);
        let observer = Arc::new(move |event: &Event| {
            callbacks.lock().iter_mut().for_each(|callback| callback(event));
        });
        Ok(Training { start, observer, stop: StopLatch::new() })
    }

    /// Builds and runs.
    ///
    /// # Errors
    /// Those of [`TrainingBuilder::build`] and [`Training::run`].
    pub fn run(self) -> Result<RunSummary, Failure> {
        self.build()?.run()
    }
}
