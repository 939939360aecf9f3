//! Section `[tuning]` of a study's file.

use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::base::ConfigError;
use crate::experiment::tuning::halving::{Rung, plan_rungs};
use crate::experiment::tuning::space::TunedSetting;

/// Most trials of a search.
const MOST_TRIALS: usize = 10_000;

/// Search over settings of one network, by its Dice on the validation cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct TuningSection {
    /// The network whose settings are searched.
    pub network: String,
    /// Number of trials that begin.
    #[default(8)]
    pub trials: usize,
    /// Epochs of the first rung.
    #[default(1)]
    pub smallest_epochs: u64,
    /// Number of trials of which the best one goes on to the next rung, and how many times longer that is.
    #[default(2)]
    pub eta: usize,
    /// Settings that are searched.
    #[serde(rename = "setting")]
    pub settings: Vec<TunedSetting>,
}

impl TuningSection {
    /// Checks the search itself; its settings are checked with the network's.
    ///
    /// # Errors
    /// Names the field, its value and the way out.
    pub fn check_search(&self) -> Result<(), ConfigError> {
        if !(2..=MOST_TRIALS).contains(&self.trials) {
            let way_out = format!("write 2 to {MOST_TRIALS}");
            return Err(ConfigError::new("tuning.trials", self.trials, "no search", way_out));
        }
        if self.eta < 2 {
            let way_out = "write 2 or more; 3 and 4 are usual";
            return Err(ConfigError::new("tuning.eta", self.eta, "no halving", way_out));
        }
        if self.smallest_epochs == 0 {
            let way_out = "write 1 or more";
            return Err(ConfigError::new("tuning.smallest_epochs", 0, "no training", way_out));
        }
        if self.settings.is_empty() {
            let way_out = "write at least one [[tuning.setting]] with a name and a range";
            return Err(ConfigError::new("tuning.setting", "[]", "nothing to search", way_out));
        }
        for (place, setting) in self.settings.iter().enumerate() {
            setting.check_range()?;
            if self.settings[..place].iter().any(|earlier| earlier.name == setting.name) {
                let value = format!("`{}`", setting.name);
                let way_out = "give each setting one range";
                return Err(ConfigError::new("tuning.setting", value, "there twice", way_out));
            }
        }
        Ok(())
    }

    /// Plans the rungs of a network that is trained for so many epochs.
    pub fn plan_rungs(&self, epochs: u64) -> Vec<Rung> {
        plan_rungs(self.trials, self.eta, self.smallest_epochs, epochs)
    }

    /// Assignments of a trial's settings, as after `--set`.
    pub fn draw_assignments(&self, seed: u64, trial: u64) -> Vec<String> {
        let draw = |setting: &TunedSetting| setting.assign_value(&setting.draw_value(seed, trial));
        self.settings.iter().map(draw).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<TuningSection, String> {
        let section: TuningSection = toml::from_str(text).map_err(|error| error.to_string())?;
        section.check_search().map(|()| section).map_err(|error| error.to_string())
    }

    const RATE: &str = "[[setting]]\nname = \"train.learning_rate\"\nlog_uniform = [1e-4, 1e-1]\n";

    #[test]
    fn a_search_draws_every_setting_of_every_trial() {
        let text =
            format!("network = \"unet\"\n{RATE}[[setting]]\nname = \"seed\"\nuniform = [1, 9]");
        let search = parsed(&text).unwrap();
        assert_eq!((search.trials, search.eta, search.smallest_epochs), (8, 2, 1));
        let drawn = search.draw_assignments(5, 3);
        assert!(drawn[0].starts_with("train.learning_rate=0.0"), "{drawn:?}");
        assert!(drawn[1].starts_with("seed=") && drawn.len() == 2, "{drawn:?}");
        assert_ne!(drawn, search.draw_assignments(5, 4));
        assert_eq!(search.plan_rungs(4).len(), 3);
    }

    #[test]
    fn what_is_no_search_is_refused_by_field() {
        let refused = |text: &str, field: &str| {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(field), "{error}");
        };
        refused("trials = 4", "tuning.setting");
        refused(&format!("trials = 1\n{RATE}"), "tuning.trials = 1");
        refused(&format!("eta = 1\n{RATE}"), "tuning.eta = 1");
        refused(&format!("smallest_epochs = 0\n{RATE}"), "tuning.smallest_epochs");
        refused(&format!("{RATE}{RATE}"), "there twice");
        refused("[[setting]]\nname = \"seed\"\nuniform = [9, 1]", "tuning.setting `seed`");
        refused("[[setting]]\nname = \"seed\"\nnormal = [9, 1]", "normal");
        refused("[[setting]]\nname = \"seed\"", "write choice, uniform or log_uniform");
    }
}
