//! `cache verify | list | gc`: maintenance of the case files.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;

use crate::cache::{CaseStore, PreprocessConfig};
use crate::cli::{CommandOutput, Console, VerbResult};
use crate::run::{Failure, prepare};

/// List, verify and clean up cached case files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow cache list --cache cache
  gliaflow cache verify --cache cache
  gliaflow cache gc --cache cache --dry-run")]
pub(super) struct Cache {
    #[command(subcommand)]
    what: CacheAction,

    /// The cache's root
    #[arg(long, value_name = "DIR", default_value = "cache", global = true)]
    cache: PathBuf,
}

#[derive(Debug, Subcommand)]
enum CacheAction {
    /// Check every byte of every case file and annotation; exit code 3 if one is damaged
    Verify,
    /// Every case file and annotation: extent, size, where it came from
    List,
    /// Remove what dead writers left and what no run of this version reads
    Gc {
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
    },
}

impl Cache {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        if !self.cache.is_dir() {
            let text = format!("{}: is no folder; name a cache with --cache", self.cache.display());
            return Err(Failure::Usage(text));
        }
        let store = prepare::open_store(&self.cache, &PreprocessConfig::default())?;
        match self.what {
            CacheAction::Verify => verify_files(&store, console),
            CacheAction::List => list_entries(&store),
            CacheAction::Gc { dry_run } => remove_garbage(&store, dry_run),
        }
    }
}

fn verify_files(store: &Arc<CaseStore>, console: &Console) -> VerbResult {
    let inventory = store.read_inventory()?;
    let total = (inventory.entries.len() + inventory.annotations.len()) as u64;
    let task = console.progress_display().begin_task("verify", "files", total);
    let verdicts = store.verify_all(|done, _| task.advance_to(done as u64, ""))?;
    drop(task);
    let damaged = verdicts.iter().filter_map(|verdict| verdict.damage.as_ref());
    let mut text = format!("{} files checked\n", verdicts.len());
    for error in damaged.clone() {
        text += &format!("  damaged: {error}\n");
    }
    let bad = damaged.count();
    let result =
        serde_json::json!({ "checked": verdicts.len(), "damaged": bad, "files": verdicts });
    Ok(CommandOutput::new(&result, text).with_bad_data(bad > 0))
}

fn list_entries(store: &CaseStore) -> VerbResult {
    let inventory = store.read_inventory()?;
    let mut text = String::new();
    for entry in &inventory.entries {
        text += &format!(
            "{}  {}  {:.1} MB  {}{}  {}\n",
            entry.id,
            entry.dims,
            entry.bytes as f64 / 1e6,
            if entry.labelled { "labelled" } else { "unlabelled" },
            if entry.current { "" } else { ", of another configuration" },
            entry.fingerprint.short_hex(12)
        );
    }
    for entry in &inventory.annotations {
        text += &format!(
            "{}  {} targets  {:.1} MB  by teacher {}{}\n",
            entry.id,
            entry.targets.name(),
            entry.bytes as f64 / 1e6,
            entry.teacher,
            if entry.current { "" } else { ", of other files than the case's" }
        );
    }
    for error in &inventory.damaged {
        text += &format!("damaged: {error}\n");
    }
    let bytes: u64 = inventory.entries.iter().map(|entry| entry.bytes).sum();
    text += &format!("{} cases, {:.1} MB", inventory.entries.len(), bytes as f64 / 1e6);
    if !inventory.annotations.is_empty() {
        let bytes: u64 = inventory.annotations.iter().map(|entry| entry.bytes).sum();
        let count = inventory.annotations.len();
        text += &format!("; {count} annotations, {:.1} MB", bytes as f64 / 1e6);
    }
    Ok(CommandOutput::new(&inventory, text).with_bad_data(!inventory.damaged.is_empty()))
}

fn remove_garbage(store: &CaseStore, dry_run: bool) -> VerbResult {
    let removed = store.collect_garbage(dry_run)?;
    let mut text = String::new();
    for path in &removed.removed {
        text += &format!("{}\n", path.display());
    }
    let verb = if dry_run { "would be removed" } else { "removed" };
    let megabytes = removed.bytes as f64 / 1e6;
    text += &format!("{} entries {verb}, {megabytes:.1} MB", removed.removed.len());
    Ok(CommandOutput::new(&removed, text))
}
