//! Network of a run: its name, its settings, and the schema of every network's settings.

use std::path::PathBuf;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use smart_default::SmartDefault;
use toml::Table;

use crate::nets::list_architectures;

/// Name and settings of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
#[schemars(transform = insert_networks)]
pub struct ModelConfig {
    /// A name of the registry.
    #[default("unet".into())]
    pub name: String,
    /// Weights to start from: a safetensors file, a run's folder for those of its latest checkpoint, or a
    /// checkpoint's. What fits is loaded, at least half of the network, and what does not is named and
    /// drawn (docs/weights.md).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PathBuf")]
    pub init: Option<PathBuf>,
    /// The architecture's settings; what is left out takes its default.
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub settings: Table,
}

/// Adds each network's name and settings to the schema of [`ModelConfig`].
fn insert_networks(model: &mut Schema) {
    let variants = list_architectures().into_iter().map(|entry| {
        let mut settings = (entry.schema)();
        let description = settings["description"].take();
        let settings = json!({"properties": settings["properties"]});
        let name = json!({"const": entry.name});
        json!({"description": description, "properties": {"name": name, "settings": settings}})
    });
    model.insert("oneOf".into(), variants.collect());
}
