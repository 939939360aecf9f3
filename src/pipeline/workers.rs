//! Threads per stage of the loader: `workers = "auto"`, or a table of counts.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smart_default::SmartDefault;

use crate::pipeline::LoaderWorkers;

/// Name of [`WorkerPlan::Auto`] in a configuration.
const AUTO: &str = "auto";

/// Number of workers per stage, fixed or automatic. Batches do not depend on it.
#[derive(Debug, Clone, PartialEq, Eq, SmartDefault)]
pub enum WorkerPlan {
    /// Workers follow the stages' clocks while the loader runs.
    Auto,
    /// Workers are given; stages left out take the default.
    #[default]
    Fixed(LoaderWorkers),
}

impl WorkerPlan {
    /// Workers of the stages at the start.
    pub fn at_start(&self) -> LoaderWorkers {
        match self {
            Self::Auto => LoaderWorkers::default(),
            Self::Fixed(workers) => workers.clone(),
        }
    }

    /// Returns true if workers are scaled while the loader runs.
    pub const fn is_auto(&self) -> bool {
        matches!(self, Self::Auto)
    }
}

impl Serialize for WorkerPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str(AUTO),
            Self::Fixed(workers) => workers.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for WorkerPlan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlanVisitor)
    }
}

impl JsonSchema for WorkerPlan {
    fn schema_name() -> Cow<'static, str> {
        "WorkerPlan".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"const": AUTO}, generator.subschema_for::<LoaderWorkers>()]})
    }
}

/// Visitor instead of a derived untagged enum, whose errors do not name the key.
struct PlanVisitor;

impl<'de> Visitor<'de> for PlanVisitor {
    type Value = WorkerPlan;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"auto\" or a table with the number of workers of each stage")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<WorkerPlan, E> {
        if word == AUTO {
            return Ok(WorkerPlan::Auto);
        }
        Err(E::invalid_value(Unexpected::Str(word), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<WorkerPlan, A::Error> {
        LoaderWorkers::deserialize(MapAccessDeserializer::new(table)).map(WorkerPlan::Fixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the loader's section holds it, with a setting behind it.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Section {
        workers: WorkerPlan,
        batch: usize,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Config {
        loader: Section,
    }

    fn read(text: &str) -> Result<WorkerPlan, String> {
        let config = toml::from_str::<Config>(text).map_err(|error| error.to_string())?;
        assert_eq!(config.loader.batch, 2);
        Ok(config.loader.workers)
    }

    #[test]
    fn a_word_and_a_table_are_both_read() {
        assert_eq!(read("[loader]\nbatch = 2\nworkers = \"auto\""), Ok(WorkerPlan::Auto));
        let fixed = Ok(WorkerPlan::Fixed(LoaderWorkers { fetch: 3, ..LoaderWorkers::default() }));
        assert_eq!(read("[loader]\nbatch = 2\n[loader.workers]\nfetch = 3"), fixed);
        assert_eq!(read("loader = { batch = 2, workers = { fetch = 3 } }"), fixed);
        assert_eq!(read("loader.batch = 2\nloader.workers.fetch = 3"), fixed);
    }

    #[test]
    fn each_plan_survives_a_round_trip() {
        let counted = LoaderWorkers { fetch: 7, ..LoaderWorkers::default() };
        for workers in [WorkerPlan::Auto, WorkerPlan::default(), WorkerPlan::Fixed(counted)] {
            let config = Config { loader: Section { workers, batch: 2 } };
            let text = toml::to_string(&config).unwrap();
            assert_eq!(toml::from_str::<Config>(&text).unwrap(), config, "{text}");
            let table = toml::Table::try_from(&config).unwrap();
            assert_eq!(table.try_into::<Config>().unwrap(), config, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        let unknown = read("[loader]\nbatch = 2\nworkers = { fetch = 1, corp = 2 }").unwrap_err();
        assert!(unknown.contains("unknown field `corp`") && unknown.contains("crop"), "{unknown}");
        for (value, named) in [("\"atuo\"", "\"atuo\""), ("4", "`4`"), ("{ crop = -1 }", "-1")] {
            let refused = read(&format!("[loader]\nbatch = 2\nworkers = {value}")).unwrap_err();
            assert!(refused.contains(named) && refused.contains("workers"), "{refused}");
        }
        let word = read("[loader]\nbatch = 2\nworkers = \"many\"").unwrap_err();
        assert!(word.contains("expected \"auto\" or a table"), "{word}");
    }

    #[test]
    fn a_plan_says_what_to_start_with() {
        let counted = LoaderWorkers { fetch: 5, ..LoaderWorkers::default() };
        let fixed = WorkerPlan::Fixed(counted.clone());
        assert_eq!((fixed.at_start(), fixed.is_auto()), (counted, false));
        let auto = WorkerPlan::Auto;
        assert_eq!((auto.at_start(), auto.is_auto()), (LoaderWorkers::default(), true));
    }
}
