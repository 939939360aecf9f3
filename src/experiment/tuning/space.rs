//! Settings that are searched, and the values that a trial draws.

use serde::{Deserialize, Serialize};
use toml::Value;

use crate::base::{ConfigError, Domain, Fingerprint, KeyedRng, SampleKey};

/// Setting that is searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SettingText")]
pub struct TunedSetting {
    /// Name as in a run's file, such as `train.learning_rate`.
    pub name: String,
    /// Values that it may have.
    #[serde(flatten)]
    pub range: ValueRange,
}

/// Setting as a file has it: a name, and one of three ranges.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingText {
    name: String,
    choice: Option<Vec<Value>>,
    uniform: Option<[Value; 2]>,
    log_uniform: Option<[f64; 2]>,
}

impl TryFrom<SettingText> for TunedSetting {
    type Error = String;

    fn try_from(text: SettingText) -> Result<Self, String> {
        let SettingText { name, choice, uniform, log_uniform } = text;
        let range = match (choice, uniform, log_uniform) {
            (Some(values), None, None) => ValueRange::Choice(values),
            (None, Some(ends), None) => ValueRange::Uniform(ends),
            (None, None, Some(ends)) => ValueRange::LogUniform(ends),
            _ => {
                return Err(format!(
                    "tuning.setting `{name}` has not one range; write choice, uniform or log_uniform"
                ));
            }
        };
        Ok(Self { name, range })
    }
}

/// Values that a setting may have.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueRange {
    /// Any of these, each as likely.
    Choice(Vec<Value>),
    /// A number between two, each as likely; a whole number, both ends included, where the ends are whole.
    Uniform([Value; 2]),
    /// A positive number between two, whose logarithm is uniform.
    LogUniform([f64; 2]),
}

impl TunedSetting {
    /// Checks the range.
    ///
    /// # Errors
    /// If it has no value, or its ends are not in order.
    pub fn check_range(&self) -> Result<(), ConfigError> {
        let refuse = |problem: &str, way_out: &str| {
            let value = toml::to_string(self).unwrap_or_default().trim_end().replace('\n', ", ");
            let field = format!("tuning.setting `{}`", self.name);
            Err(ConfigError::new(field, value, problem, way_out))
        };
        match &self.range {
            ValueRange::Choice(values) if values.is_empty() => {
                refuse("no choice", "write the values that it may have")
            }
            ValueRange::Uniform(ends) => match number_ends(ends) {
                Some([low, high]) if low < high => Ok(()),
                _ => refuse("no range", "write two numbers, the smaller one first"),
            },
            ValueRange::LogUniform([low, high]) => {
                match *low > 0.0 && low < high && high.is_finite() {
                    true => Ok(()),
                    false => refuse("no range", "write two numbers above 0, the smaller one first"),
                }
            }
            ValueRange::Choice(_) => Ok(()),
        }
    }

    /// Draws its value in a trial. Other settings of the search do not change it.
    ///
    /// # Panics
    /// If the range was not checked.
    pub fn draw_value(&self, seed: u64, trial: u64) -> Value {
        let key = SampleKey { seed, epoch: 0, index: trial };
        let named = Fingerprint::of_bytes(self.name.as_bytes());
        let stream = u64::from_le_bytes(named.0[..8].try_into().expect("16 bytes"));
        let mut rng = KeyedRng::new(key, Domain::Tuning).with_stream(stream);
        match &self.range {
            ValueRange::Choice(values) => {
                values[rng.uniform_below(values.len() as u64) as usize].clone()
            }
            ValueRange::Uniform([Value::Integer(low), Value::Integer(high)]) => {
                let values = high.abs_diff(*low).saturating_add(1);
                Value::Integer(low.wrapping_add(rng.uniform_below(values) as i64))
            }
            ValueRange::Uniform(ends) => {
                let [low, high] = number_ends(ends).expect("checked when the study was read");
                Value::Float(rng.uniform(low, high))
            }
            ValueRange::LogUniform([low, high]) => {
                let drawn = rng.uniform(low.ln(), high.ln()).exp();
                // Rounding of the exponential may step over an end.
                Value::Float(drawn.clamp(*low, *high))
            }
        }
    }

    /// Assignment of a value, as after `--set`.
    pub fn assign_value(&self, value: &Value) -> String {
        format!("{}={value}", self.name)
    }
}

/// Ends of a range as numbers, if they are finite ones.
fn number_ends(ends: &[Value; 2]) -> Option<[f64; 2]> {
    let number = |value: &Value| match value {
        Value::Integer(whole) => Some(*whole as f64),
        Value::Float(number) => Some(*number).filter(|number| number.is_finite()),
        _ => None,
    };
    let [low, high] = ends;
    Some([number(low)?, number(high)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(text: &str) -> TunedSetting {
        toml::from_str(&format!("name = \"train.learning_rate\"\n{text}")).unwrap()
    }

    fn drawn(text: &str) -> Vec<f64> {
        let setting = setting(text);
        setting.check_range().unwrap();
        let value = |trial| match setting.draw_value(7, trial) {
            Value::Integer(whole) => whole as f64,
            value => value.as_float().unwrap(),
        };
        (0..2000).map(value).collect()
    }

    fn share_below(values: &[f64], border: f64) -> f64 {
        values.iter().filter(|value| **value < border).count() as f64 / values.len() as f64
    }

    #[test]
    fn draws_fill_their_range_as_it_says() {
        let uniform = drawn("uniform = [0.0, 4.0]");
        assert!((share_below(&uniform, 1.0) - 0.25).abs() < 0.03);
        assert!(uniform.iter().all(|value| (0.0..4.0).contains(value)));
        let decades = drawn("log_uniform = [1e-4, 1.0]");
        assert!((share_below(&decades, 1e-3) - 0.25).abs() < 0.03);
        assert!((share_below(&decades, 1e-2) - 0.5).abs() < 0.03);
        let whole = drawn("uniform = [2, 5]");
        for value in 2..=5 {
            let share =
                whole.iter().filter(|drawn| **drawn == f64::from(value)).count() as f64 / 2000.0;
            assert!((share - 0.25).abs() < 0.03, "{value}: {share}");
        }
        let one = setting("choice = [\"adam\", \"sgd\"]");
        let adam = (0..2000).filter(|trial| one.draw_value(7, *trial).as_str() == Some("adam"));
        assert!((adam.count() as f64 / 2000.0 - 0.5).abs() < 0.03);
    }

    #[test]
    fn a_value_is_a_function_of_seed_trial_and_name() {
        let one = setting("uniform = [0.0, 1.0]");
        assert_eq!(one.draw_value(1, 2), one.draw_value(1, 2));
        let other = TunedSetting { name: "augment.noise.probability".into(), ..one.clone() };
        for changed in [one.draw_value(2, 2), one.draw_value(1, 3), other.draw_value(1, 2)] {
            assert_ne!(one.draw_value(1, 2), changed);
        }
        let rate = one.assign_value(&Value::Float(0.25));
        assert_eq!(rate, "train.learning_rate=0.25");
    }

    #[test]
    fn a_range_without_values_is_refused_by_name() {
        for text in [
            "choice = []",
            "uniform = [1.0, 1.0]",
            "uniform = [3, 2]",
            "uniform = [\"a\", 2]",
            "uniform = [0.0, inf]",
            "log_uniform = [0.0, 1.0]",
            "log_uniform = [2.0, 1.0]",
            "log_uniform = [nan, 1.0]",
        ] {
            let error = setting(text).check_range().unwrap_err().to_string();
            assert!(error.contains("train.learning_rate"), "{text}: {error}");
        }
    }
}
