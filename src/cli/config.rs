//! `config`: every setting with its origin, and the schema of all settings.

use std::path::PathBuf;

use clap::Subcommand;

use crate::cli::{CommandOutput, Console, VerbResult};
use crate::run::config;

/// Show what a configuration resolves to
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow config show --config configs/unet.toml --set loader.batch=4
  gliaflow config show --all")]
pub(super) struct Config {
    #[command(subcommand)]
    what: ConfigAction,
}

#[derive(Debug, Subcommand)]
enum ConfigAction {
    /// Every setting with its origin: default, file or command line
    Show {
        /// Settings that differ from the defaults
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,

        /// A setting to override, after the file's: section.key=value
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,

        /// List the settings that are not set as well, with default, range and description
        #[arg(long)]
        all: bool,
    },
    /// JSON Schema of all settings: types, units, defaults, ranges and descriptions
    Schema,
}

impl Config {
    pub(super) fn run(self, _: &Console) -> VerbResult {
        match self.what {
            ConfigAction::Show { config: file, set, all } => {
                let checked = config::load(file.as_deref(), &set)?;
                let text =
                    if all { checked.to_complete_toml()? } else { checked.to_annotated_toml()? };
                Ok(CommandOutput::new(&checked.run, text))
            }
            ConfigAction::Schema => {
                let schema = config::run_schema();
                Ok(CommandOutput::new(&schema, format!("{schema:#}")))
            }
        }
    }
}
