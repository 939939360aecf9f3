//! Configuration of an experiment: its cohort, its networks, its ensemble, its students, its search.

use std::path::{Path, PathBuf};

use toml::Table;

use crate::experiment::config_file::{ExperimentFile, NetworkSection};
use crate::experiment::student_section::{BEST, StudentSection};
use crate::experiment::tuning::section::TuningSection;
use crate::run::Failure;
use crate::run::config::layers::ConfigLayers;
use crate::run::config::{self, CheckedConfig};
use crate::volume::Fold;

/// Configuration of an experiment. The settings of its runs are checked, not only parsed.
pub struct ExperimentConfig {
    /// Contents of the file.
    pub text: ExperimentFile,
    /// Path of the file; names in it are relative to its folder.
    pub file: PathBuf,
}

impl ExperimentConfig {
    /// Reads an experiment and checks everything that can be checked without data and device.
    ///
    /// # Errors
    /// On an unreadable file, an unknown field, a name that is not there, settings that no run takes.
    pub fn load(file: &Path, assignments: &[String]) -> Result<Self, Failure> {
        let mut layers = ConfigLayers::of_defaults(Table::new());
        layers.merge_file(file)?;
        for assignment in assignments {
            layers.merge_assignment(assignment)?;
        }
        let text: ExperimentFile = layers.table.try_into().map_err(|error: toml::de::Error| {
            let problem = error.to_string().trim_end().replace('\n', " ");
            Failure::Usage(format!("{}: {problem}; see configs/table1-demo.toml", file.display()))
        })?;
        let experiment = Self { text, file: file.to_path_buf() };
        let checked = experiment.check_settings();
        checked.map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
        let fold = experiment.all_folds().first().copied();
        let place = Repetition { fold, ..Repetition::default() };
        for network in &experiment.text.networks {
            experiment.stand_alone_config(network, place)?;
        }
        for student in &experiment.text.students {
            for network in experiment.possible_networks(student) {
                experiment.student_config(student, network, Repetition::default())?;
            }
        }
        if let Some(tuning) = &experiment.text.tuning {
            experiment.trial_config(tuning, place, TrialPosition::default())?;
        }
        Ok(experiment)
    }

    /// Networks that a student may be: those that it names, or all where the validation cases choose.
    pub fn possible_networks(&self, student: &StudentSection) -> Vec<&NetworkSection> {
        let names = student.network.as_slice();
        let may_be = |network: &&NetworkSection| {
            names.iter().any(|name| *name == BEST || *name == network.name)
        };
        self.text.networks.iter().filter(may_be).collect()
    }

    /// The student of that name.
    pub fn find_student(&self, name: &str) -> Option<&StudentSection> {
        self.text.students.iter().find(|student| student.name == name)
    }

    /// The folds of a cross-validation, in their order; none of another study.
    ///
    /// # Panics
    /// Never: the number was checked when the study was read.
    pub fn all_folds(&self) -> Vec<Fold> {
        let folds = self.text.folds.unwrap_or(0);
        let fold = |index| Fold::new(index, folds).expect("checked when the study was read");
        (0..folds).map(fold).collect()
    }

    pub(super) fn network_names(&self) -> String {
        let names: Vec<&str> = self.text.networks.iter().map(|one| one.name.as_str()).collect();
        names.join(", ")
    }

    /// The networks that are averaged.
    pub fn ensemble_members(&self) -> Vec<&NetworkSection> {
        let names = &self.text.ensemble.members;
        let networks = self.text.networks.iter();
        networks.filter(|one| names.is_empty() || names.contains(&one.name)).collect()
    }

    /// The networks that are averaged, each with its weight.
    pub fn weighted_members(&self) -> Vec<(&NetworkSection, f64)> {
        let weights = self.text.ensemble.weights.iter().copied().chain(std::iter::repeat(1.0));
        self.ensemble_members().into_iter().zip(weights).collect()
    }

    /// The network of that name.
    pub fn find_network(&self, name: &str) -> Option<&NetworkSection> {
        self.text.networks.iter().find(|network| network.name == name)
    }

    /// Configuration of the first network, for settings that all runs share, such as the dataset. In a
    /// study of folds it is that of the first fold.
    ///
    /// # Errors
    /// If no run takes them.
    pub fn shared_config(&self, place: Repetition<'_>) -> Result<CheckedConfig, Failure> {
        let first = self.text.networks.first().expect("a study without networks is refused");
        let fold = self.all_folds().first().copied();
        self.stand_alone_config(first, Repetition { fold, ..place })
    }

    /// Configuration of a network trained on labelled cases.
    ///
    /// # Errors
    /// If no run takes them.
    pub fn stand_alone_config(
        &self,
        network: &NetworkSection,
        place: Repetition<'_>,
    ) -> Result<CheckedConfig, Failure> {
        self.run_config(network, &Table::new(), place, &[])
    }

    /// Configuration of a student's network: the network's, with the student's settings over it.
    ///
    /// # Errors
    /// If no run takes them.
    pub fn student_config(
        &self,
        student: &StudentSection,
        network: &NetworkSection,
        place: Repetition<'_>,
    ) -> Result<CheckedConfig, Failure> {
        self.run_config(network, &student.settings, place, &[])
    }

    /// Configuration of a trial of the search: the network's, with what the trial draws over it.
    ///
    /// # Errors
    /// If no run takes them.
    pub fn trial_config(
        &self,
        tuning: &TuningSection,
        place: Repetition<'_>,
        trial: TrialPosition,
    ) -> Result<CheckedConfig, Failure> {
        let network = self.tuned_network(tuning);
        let mut assignments = tuning.draw_assignments(self.tuning_seed(tuning)?, trial.number);
        assignments.push(format!("train.pause_after={}", trial.pause_after));
        self.run_config(network, &Table::new(), place, &assignments)
    }

    /// Seed that trials are drawn with: that of the network's runs.
    ///
    /// # Errors
    /// If no run takes the network's settings.
    pub fn tuning_seed(&self, tuning: &TuningSection) -> Result<u64, Failure> {
        let fold = self.all_folds().first().copied();
        let place = Repetition { fold, ..Repetition::default() };
        Ok(self.stand_alone_config(self.tuned_network(tuning), place)?.run.seed)
    }

    /// Epochs that a run of the search's network has.
    ///
    /// # Errors
    /// If no run takes the network's settings.
    pub fn tuned_epochs(
        &self,
        tuning: &TuningSection,
        place: Repetition<'_>,
    ) -> Result<u64, Failure> {
        Ok(self.stand_alone_config(self.tuned_network(tuning), place)?.run.train.epochs)
    }

    fn tuned_network(&self, tuning: &TuningSection) -> &NetworkSection {
        self.find_network(&tuning.network).expect("checked when the study was read")
    }

    /// Configuration of a run of `network`, with `settings` and then `assignments` over its own.
    ///
    /// # Errors
    /// If no run takes them.
    pub fn run_config(
        &self,
        network: &NetworkSection,
        settings: &Table,
        place: Repetition<'_>,
        assignments: &[String],
    ) -> Result<CheckedConfig, Failure> {
        let mut tables = self.layers_of(network)?;
        tables.push(settings.clone());
        self.resolve_config(tables, place, assignments)
    }

    /// Path of the network's own settings file, if it has one.
    pub fn settings_file(&self, network: &NetworkSection) -> Option<PathBuf> {
        let folder = self.file.parent().unwrap_or(Path::new(""));
        network.file.as_ref().map(|name| folder.join(name))
    }

    fn layers_of(&self, network: &NetworkSection) -> Result<Vec<Table>, Failure> {
        let mut tables = Vec::new();
        if let Some(path) = self.settings_file(network) {
            let mut layers = ConfigLayers::of_defaults(Table::new());
            layers.merge_file(&path)?;
            tables.push(layers.table);
        }
        // The base comes over the file: a study may be run small with the paper's own files.
        tables.extend([self.text.base.clone(), network.settings.clone()]);
        Ok(tables)
    }

    fn resolve_config(
        &self,
        tables: impl IntoIterator<Item = Table>,
        place: Repetition<'_>,
        assignments: &[String],
    ) -> Result<CheckedConfig, Failure> {
        let tables: Vec<Table> = tables.into_iter().collect();
        let split_seed = config::of_tables(tables.clone(), &self.file, &[])?.run.seed;
        let mut all = vec![
            format!("seed={}", split_seed + place.seed),
            format!("data.split_seed={split_seed}"),
        ];
        all.extend(place.fold.map(|fold| format!("data.fold=\"{fold}\"")));
        if let Some(out) = place.own_data {
            all.push(config::path_assignment("data.folder", &out.join("data")));
            all.push(config::path_assignment("data.cache", &out.join("cache")));
        }
        all.extend_from_slice(assignments);
        let checked = config::of_tables(tables, &self.file, &all)?;
        let data = &checked.run.data;
        if data.shares.is_none() && data.split.is_none() && place.fold.is_none() {
            return Err(Failure::Usage(format!(
                "{}: base.data.shares is not there; it says which cases are for validation, for \
                 test, and unlabelled: [base.data.shares] with nothing in it has the paper's; or name \
                 a file that divides them with base.data.split",
                self.file.display()
            )));
        }
        Ok(checked)
    }
}

/// Repetition that a run belongs to, and the folder of an experiment that draws its own cases.
#[derive(Debug, Clone, Copy, Default)]
pub struct Repetition<'a> {
    /// Added to the base's seed.
    pub seed: u64,
    /// The experiment's folder.
    pub own_data: Option<&'a Path>,
    /// Fold that is held out, of a cross-validation.
    pub fold: Option<Fold>,
}

/// Trial of a search, and how far it is trained.
#[derive(Debug, Clone, Copy, Default)]
pub struct TrialPosition {
    /// Number of the trial, which its settings are drawn by.
    pub number: u64,
    /// Epochs after which it pauses; 0 for never.
    pub pause_after: u64,
}
