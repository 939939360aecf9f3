//! Settings of a run's loss: the paper's, or another by its name.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use smart_default::SmartDefault;
use toml::Table;

use crate::base::ConfigError;
use crate::train::region_loss::{LossEntry, TrainingLoss};
use crate::train::{DiceBceLoss, RegionLoss, list_losses};

/// Loss of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(default, deny_unknown_fields)]
#[schemars(transform = insert_losses)]
pub struct LossConfig {
    /// Name of the loss: `dice_bce`, whose settings stand beside it, or one that the embedding program
    /// registers.
    // Left out where it is the paper's: fingerprints of runs before there were others stay theirs.
    #[serde(skip_serializing_if = "is_shipped")]
    #[schemars(extend("default" = "dice_bce"))]
    #[default(DiceBceLoss::NAME.into())]
    pub name: String,
    /// Settings of `dice_bce`.
    #[serde(flatten)]
    pub dice_bce: DiceBceLoss,
    /// Settings of another loss; what is left out takes its default.
    #[serde(skip_serializing_if = "Table::is_empty")]
    #[schemars(with = "serde_json::Map<String, Value>", extend("default" = {}))]
    pub settings: Table,
}

fn is_shipped(name: &str) -> bool {
    name == DiceBceLoss::NAME
}

/// Adds the settings of losses of embedding programs to the schema of [`LossConfig`].
fn insert_losses(section: &mut Schema) {
    let others = list_losses().into_iter().filter(|entry| !is_shipped(entry.name));
    let variants: Vec<Value> = others
        .map(|entry| {
            let mut settings = (entry.schema)();
            let description = settings["description"].take();
            let settings = json!({"properties": settings["properties"]});
            let name = json!({"const": entry.name});
            json!({"description": description, "properties": {"name": name, "settings": settings}})
        })
        .collect();
    if !variants.is_empty() {
        section.insert("oneOf".into(), variants.into());
    }
}

impl LossConfig {
    /// True if it is the paper's loss.
    pub fn is_shipped(&self) -> bool {
        is_shipped(&self.name)
    }

    /// Builds the loss.
    ///
    /// # Errors
    /// If there is none of that name, or it refuses its settings.
    pub fn build_loss(&self) -> Result<Box<dyn TrainingLoss>, ConfigError> {
        let entry = LossEntry::find_by_name(&self.name)?;
        let settings = serde_json::to_value(&self.settings).expect("settings are plain data");
        if !is_shipped(&self.name) {
            let of_loss = |error: ConfigError| error.in_section("loss.settings");
            return match self.dice_bce == DiceBceLoss::default() {
                true => entry.parse_settings(&settings).map_err(of_loss),
                false => {
                    let problem = "another loss than the one whose settings stand beside it";
                    let way_out = "write its own under loss.settings, and take those out";
                    Err(ConfigError::new("loss.name", &self.name, problem, way_out))
                }
            };
        }
        if !self.settings.is_empty() {
            let problem =
                "for other losses than dice_bce, whose settings stand in the section itself";
            let way_out = "set loss.name, or write them there";
            return Err(ConfigError::new("loss.settings", settings, problem, way_out));
        }
        entry.parse_settings(&serde_json::to_value(&self.dice_bce).expect("plain data"))
    }

    /// Fills in the settings of another loss that have their default, so that a run's record has them all.
    ///
    /// # Errors
    /// As [`build_loss`](Self::build_loss).
    pub fn complete_settings(&mut self) -> Result<(), ConfigError> {
        let loss = self.build_loss()?;
        if !is_shipped(&self.name) {
            let settings = loss.settings();
            self.settings = Table::try_from(&settings).map_err(|error| {
                let way_out = "leave settings without a value out of what is serialised";
                ConfigError::new("loss.settings", settings, error.to_string(), way_out)
            })?;
        }
        Ok(())
    }
}
