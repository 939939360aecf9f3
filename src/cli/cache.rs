//! `cache verify | list | gc | push | pull`: maintenance of the case files, and copies in object storage.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use serde::Serialize;

use crate::base::Progress;
use crate::cache::{CacheError, CaseStore, PreprocessConfig, TransferReport};
use crate::cli::{CommandOutput, Console, VerbResult};
use crate::run::{Failure, prepare};
use crate::storage::ObjectFolder;

/// List, verify and clean up cached case files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow cache list --cache cache
  gliaflow cache verify --cache cache
  gliaflow cache gc --cache cache --dry-run
  gliaflow cache push s3://bucket/cases --cache cache
  gliaflow cache pull s3://bucket/cases --cache cache

Credentials for object storage are those of the usual variables and files (docs/object-storage.md).")]
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
    /// Copy every case file that is not there yet to object storage; exit code 3 if one is damaged
    Push {
        /// Prefix, such as s3://bucket/cases
        #[arg(value_name = "URL")]
        to: PathBuf,

        /// Folder that cases were ingested from, whose listing goes along: then a run on another machine
        /// needs the pulled cache alone
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Copy every case file that the cache lacks from object storage; exit code 3 if one is damaged
    Pull {
        /// Prefix that a cache was pushed to
        #[arg(value_name = "URL")]
        from: PathBuf,
    },
}

impl Cache {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        let may_be_new = matches!(self.what, CacheAction::Pull { .. });
        if !may_be_new && !self.cache.is_dir() {
            let text = format!("{}: is no folder; name a cache with --cache", self.cache.display());
            return Err(Failure::Usage(text));
        }
        let store = prepare::open_store(&self.cache, &PreprocessConfig::default())?;
        match self.what {
            CacheAction::Verify => verify_files(&store, console),
            CacheAction::List => list_entries(&store),
            CacheAction::Gc { dry_run } => remove_garbage(&store, dry_run),
            CacheAction::Push { to, data } => push_cases(&store, &to, data.as_deref(), console),
            CacheAction::Pull { from } => pull_cases(&store, &from, console),
        }
    }
}

fn push_cases(store: &CaseStore, to: &Path, data: Option<&Path>, console: &Console) -> VerbResult {
    let target = open_object_folder(to)?;
    let progress = console.progress_display();
    let report = store.push_cases(&target, count_files(progress.as_ref(), "push"));
    let report = report.map_err(transfer_failure)?;
    let mut text = transfer_text(&report, "pushed to", &target);
    let listed = data.map(|data| store.push_listing(&target, data)).transpose();
    let listed = listed.map_err(transfer_failure)?;
    if let Some(name) = &listed {
        text += &format!("  listing: {target}/{name}\n");
    }
    Ok(transfer_output(&report, listed.as_slice(), text))
}

fn pull_cases(store: &CaseStore, from: &Path, console: &Console) -> VerbResult {
    let source = open_object_folder(from)?;
    let progress = console.progress_display();
    let report = store.pull_cases(&source, count_files(progress.as_ref(), "pull"));
    let report = report.map_err(transfer_failure)?;
    let mut text = transfer_text(&report, "pulled from", &source);
    let listings = store.pull_listings(&source).map_err(transfer_failure)?;
    for listing in &listings {
        text += &format!("  listing: {0}; train on it with --data {0}\n", listing.display());
    }
    Ok(transfer_output(&report, &listings, text))
}

/// Shows the files of a transfer, done and in all, as the task `name`.
fn count_files(progress: &dyn Progress, name: &'static str) -> impl FnMut(usize, usize) + Send {
    let mut task = None;
    move |done, total| {
        let task = task.get_or_insert_with(|| progress.begin_task(name, "files", 0..total as u64));
        task.advance_to(done as u64, "");
    }
}

fn open_object_folder(url: &Path) -> Result<ObjectFolder, Failure> {
    ObjectFolder::new(url).map_err(|error| Failure::Usage(error.to_string()))
}

/// Failure of a copy: a server that refuses is no fault of the cases.
fn transfer_failure(error: CacheError) -> Failure {
    match error {
        CacheError::Case(error) => Failure::of_output_file(error),
        CacheError::Fault(fault) => Failure::Run(fault),
    }
}

fn transfer_text(report: &TransferReport, verb: &str, place: &ObjectFolder) -> String {
    let TransferReport { copied, bytes, present, damaged } = report;
    let megabytes = *bytes as f64 / 1e6;
    let mut text =
        format!("{copied} case files {verb} {place}, {megabytes:.1} MB; {present} were there\n");
    for error in damaged {
        text += &format!("  damaged: {error}\n");
    }
    text
}

fn transfer_output<T: Serialize>(
    report: &TransferReport,
    listings: &[T],
    text: String,
) -> CommandOutput {
    let TransferReport { copied, bytes, present, damaged } = report;
    let result = serde_json::json!({
        "copied": copied, "bytes": bytes, "present": present, "damaged": damaged, "listings": listings,
    });
    CommandOutput::new(&result, text).with_bad_data(!damaged.is_empty())
}

fn verify_files(store: &Arc<CaseStore>, console: &Console) -> VerbResult {
    let inventory = store.read_inventory()?;
    let total = (inventory.entries.len() + inventory.annotations.len()) as u64;
    let task = console.progress_display().begin_task("verify", "files", 0..total);
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
