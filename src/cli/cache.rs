//! `cache verify | list | gc`: maintenance of the case files.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;

use crate::cache::preprocess::PreprocessConfig;
use crate::cache::store::CaseStore;
use crate::cli::console::Console;
use crate::cli::report::Report;
use crate::run::failure::Failure;
use crate::run::prepare;

/// List, verify and clean up cached case files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow cache list --cache cache
  gliaflow cache verify --cache cache
  gliaflow cache gc --cache cache --dry-run")]
pub(super) struct Cache {
    #[command(subcommand)]
    what: What,

    /// The cache's root
    #[arg(long, value_name = "DIR", default_value = "cache", global = true)]
    cache: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
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
    pub(super) fn run(self, console: &Console) -> Result<Report, Failure> {
        if !self.cache.is_dir() {
            let text = format!("{}: is no folder; name a cache with --cache", self.cache.display());
            return Err(Failure::Usage(text));
        }
        let store = prepare::open_store(&self.cache, &PreprocessConfig::default())?;
        match self.what {
            What::Verify => verify(&store, console),
            What::List => list(&store),
            What::Gc { dry_run } => gc(&store, dry_run),
        }
    }
}

fn verify(store: &Arc<CaseStore>, console: &Console) -> Result<Report, Failure> {
    let inventory = store.list()?;
    let total = (inventory.entries.len() + inventory.annotations.len()) as u64;
    let task = console.progress().begin("verify", "files", total);
    let verdicts = store.verify_all(|done, _| task.advance_to(done as u64, ""))?;
    drop(task);
    let damaged = verdicts.iter().filter_map(|verdict| verdict.damage.as_ref());
    let mut text = format!("{} files checked\n", verdicts.len());
    for error in damaged.clone() {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "  damaged: {error}");
    }
    let bad = damaged.count();
    let result =
        serde_json::json!({ "checked": verdicts.len(), "damaged": bad, "files": verdicts });
    Ok(Report::new(&result, text).with_bad_data(bad > 0))
}

fn list(store: &CaseStore) -> Result<Report, Failure> {
    let inventory = store.list()?;
    let mut text = String::new();
    for entry in &inventory.entries {
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "{}  {}  {:.1} MB  {}{}  {}",
            entry.id,
            entry.dims,
            entry.bytes as f64 / 1e6,
            if entry.labelled { "labelled" } else { "unlabelled" },
            if entry.current { "" } else { ", of another configuration" },
            entry.fingerprint.short(12)
        );
    }
    for entry in &inventory.annotations {
        let _ = writeln!(
            text,
            "{}  {} targets  {:.1} MB  by teacher {}{}",
            entry.id,
            entry.targets.name(),
            entry.bytes as f64 / 1e6,
            entry.teacher,
            if entry.current { "" } else { ", of other files than the case's" }
        );
    }
    for error in &inventory.damaged {
        let _ = writeln!(text, "damaged: {error}");
    }
    let bytes: u64 = inventory.entries.iter().map(|entry| entry.bytes).sum();
    let _ = write!(text, "{} cases, {:.1} MB", inventory.entries.len(), bytes as f64 / 1e6);
    if !inventory.annotations.is_empty() {
        let bytes: u64 = inventory.annotations.iter().map(|entry| entry.bytes).sum();
        let count = inventory.annotations.len();
        let _ = write!(text, "; {count} annotations, {:.1} MB", bytes as f64 / 1e6);
    }
    Ok(Report::new(&inventory, text).with_bad_data(!inventory.damaged.is_empty()))
}

fn gc(store: &CaseStore, dry_run: bool) -> Result<Report, Failure> {
    let removed = store.gc(dry_run)?;
    let mut text = String::new();
    for path in &removed.removed {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{}", path.display());
    }
    let verb = if dry_run { "would be removed" } else { "removed" };
    let megabytes = removed.bytes as f64 / 1e6;
    let _ = write!(text, "{} entries {verb}, {megabytes:.1} MB", removed.removed.len());
    Ok(Report::new(&removed, text))
}
