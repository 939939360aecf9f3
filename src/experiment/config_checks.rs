//! Checks of an experiment's own settings; those of its runs are checked as a run's.

use crate::base::ConfigError;
use crate::experiment::config::ExperimentConfig;
use crate::experiment::config_file::ExperimentFile;
use crate::experiment::student_section::check_students;

/// The version of the file format.
const SCHEMA: u32 = 1;

/// Most repetitions of an experiment: each trains every network.
const MOST_SEEDS: u64 = 1000;

/// Most folds: each trains every network.
const MOST_FOLDS: usize = 100;

impl ExperimentConfig {
    /// Checks the settings of the experiment itself.
    pub(super) fn check_settings(&self) -> Result<(), ConfigError> {
        let ExperimentFile { schema, seeds, networks, ensemble, students, .. } = &self.text;
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
        if let Some(weight) = ensemble.weights.iter().find(|one| !(one.is_finite() && **one > 0.0))
        {
            let way_out = "write numbers above 0; only ratios matter";
            return Err(ConfigError::new("ensemble.weights", weight, "no weight", way_out));
        }
        let is_share = |share: &f64| *share > 0.0 && *share < 1.0;
        let names: Vec<&str> = networks.iter().map(|network| network.name.as_str()).collect();
        check_students(students, &names)?;
        if let Some(share) = self.text.labelled_fractions.iter().find(|share| !is_share(share)) {
            let way_out = "write shares between 0 and 1";
            return Err(ConfigError::new("labelled_fractions", share, "no share", way_out));
        }
        if let Some(share) = self.text.labelled_fractions.first().filter(|_| students.is_empty()) {
            let problem = "a curve of the first student's networks, and there is no student";
            let way_out = "write a [[student]], or leave it out";
            return Err(ConfigError::new("labelled_fractions", share, problem, way_out));
        }
        let Some(tuning) = &self.text.tuning else { return Ok(()) };
        if named(&tuning.network) == 0 {
            return stranger("tuning.network", &tuning.network, format!("they are {known}"));
        }
        tuning.check_search()
    }

    /// Checks the number of folds.
    fn check_folds(&self) -> Result<(), ConfigError> {
        match self.text.folds.filter(|folds| !(2..=MOST_FOLDS).contains(folds)) {
            Some(folds) => {
                let way_out = format!("write 2 to {MOST_FOLDS}, or leave it out");
                Err(ConfigError::new("folds", folds, "no number of folds", way_out))
            }
            None => Ok(()),
        }
    }
}
