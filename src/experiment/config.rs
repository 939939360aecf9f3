//! Configuration of an experiment: its cohort, its networks, its ensemble, its student.

use std::path::{Path, PathBuf};

use toml::Table;

use crate::base::ConfigError;
use crate::experiment::config_file::{BEST, ExperimentFile, NetworkSection, StudentSection};
use crate::run::Failure;
use crate::run::config::layers::ConfigLayers;
use crate::run::config::{self, CheckedConfig};
use crate::volume::Fold;

/// The version of the file format.
const SCHEMA: u32 = 1;

/// Most repetitions of an experiment: each trains every network.
const MOST_SEEDS: u64 = 1000;

/// Most folds: each trains every network.
const MOST_FOLDS: usize = 100;

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
            experiment.student_config(network, place, &[])?;
        }
        Ok(experiment)
    }

    /// Checks the settings of the experiment itself.
    fn check_settings(&self) -> Result<(), ConfigError> {
        let ExperimentFile { schema, seeds, networks, ensemble, student, .. } = &self.text;
        if *schema != SCHEMA {
            let way_out = format!("write {SCHEMA}, which this program reads");
            return Err(ConfigError::new("schema", schema, "another format", way_out));
        }
        if !(1..=MOST_SEEDS).contains(seeds) {
            let way_out = format!("write 1 to {MOST_SEEDS}");
            return Err(ConfigError::new("seeds", seeds, "no number of repetitions", way_out));
        }
        self.check_folds()?;
        self.text.slurm.check_settings()?;
        if networks.is_empty() {
            let way_out = "write at least one [[network]]";
            return Err(ConfigError::new("network", "[]", "nothing to train", way_out));
        }
        let named = |name: &str| networks.iter().filter(|network| network.name == name).count();
        let known = self.network_names();
        let stranger = |field: &str, name: &str, way_out: String| {
            let problem = "no network of this study";
            Err(ConfigError::new(field, format!("`{name}`"), problem, way_out))
        };
        if let Some(twice) = networks.iter().find(|network| named(&network.name) > 1) {
            let value = format!("`{}`", twice.name);
            return Err(ConfigError::new("network.name", value, "there twice", "give each a name"));
        }
        if let Some(name) = ensemble.members.iter().find(|name| named(name) == 0) {
            return stranger("ensemble.members", name, format!("they are {known}"));
        }
        let members = self.ensemble_members().len();
        if ![0, members].contains(&ensemble.weights.len()) {
            let problem = format!("no list of a weight for each of {members} members");
            let value = format!("{:?}", ensemble.weights);
            return Err(ConfigError::new("ensemble.weights", value, problem, "write one for each"));
        }
        if student.network != BEST && named(&student.network) == 0 {
            let way_out = format!("they are {known}, or say best");
            return stranger("student.network", &student.network, way_out);
        }
        if let Some(weight) = ensemble.weights.iter().find(|one| !(one.is_finite() && **one > 0.0))
        {
            let way_out = "write numbers above 0; only ratios matter";
            return Err(ConfigError::new("ensemble.weights", weight, "no weight", way_out));
        }
        let is_share = |share: &f64| *share > 0.0 && *share < 1.0;
        if let Some(share) = student.share.filter(|share| !is_share(share)) {
            let way_out = "write a share between 0 and 1, or leave it out";
            return Err(ConfigError::new("student.share", share, "no share", way_out));
        }
        match self.text.labelled_fractions.iter().find(|share| !is_share(share)) {
            Some(share) => {
                let way_out = "write shares between 0 and 1";
                Err(ConfigError::new("labelled_fractions", share, "no share", way_out))
            }
            None => Ok(()),
        }
    }

    /// Checks the number of folds, and that nothing is asked for that a study of folds does not do.
    fn check_folds(&self) -> Result<(), ConfigError> {
        let ExperimentFile { folds, student, labelled_fractions, .. } = &self.text;
        let Some(folds) = *folds else { return Ok(()) };
        if !(2..=MOST_FOLDS).contains(&folds) {
            let way_out = format!("write 2 to {MOST_FOLDS}, or leave it out");
            return Err(ConfigError::new("folds", folds, "no number of folds", way_out));
        }
        let beside = "beside folds, of which a study has no student";
        let way_out = "leave one of them out";
        if serde_json::json!(student) != serde_json::json!(StudentSection::default()) {
            return Err(ConfigError::new("student", &student.network, beside, way_out));
        }
        match labelled_fractions.first() {
            Some(share) => Err(ConfigError::new("labelled_fractions", share, beside, way_out)),
            None => Ok(()),
        }
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

    fn network_names(&self) -> String {
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

    /// Configuration of the student: a network's, with the student's settings over it.
    ///
    /// # Errors
    /// If no run takes them.
    pub fn student_config(
        &self,
        network: &NetworkSection,
        place: Repetition<'_>,
        assignments: &[String],
    ) -> Result<CheckedConfig, Failure> {
        self.run_config(network, &self.text.student.settings, place, assignments)
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
