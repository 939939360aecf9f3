//! Checks of the disk, the cache, and the speed of reading a case.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::base::fs::{self, AtPath};
use crate::base::{CaseError, can_sync_folder, has_locks};
use crate::brats::phantom::{PhantomConfig, cohort};
use crate::brats::{CaseReader, discover_cases};
use crate::buffers::CaseBuffers;
use crate::cache::{CaseStore, PreprocessConfig, check_mapping, prepare_in_buffers};
use crate::run::tools::doctor::{Finding, FindingGrade};
use crate::volume::Dims;

/// Written and read back to time the disk.
const PROBE_BYTES: usize = 64 << 20;

/// Bytes of a case file of BraTS, about: measured on phantoms of 240x240x155.
const CASE_BYTES: f64 = 27e6;

/// The nearest folder above `path` that is there.
fn nearest_existing_folder(path: &Path) -> PathBuf {
    let all = path.ancestors().map(|folder| match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    });
    all.into_iter().find(|folder| folder.is_dir()).unwrap_or_else(|| Path::new(".")).to_owned()
}

pub(super) fn free_space(cache: &Path) -> Finding {
    let folder = nearest_existing_folder(cache);
    let Ok(seen) = rustix::fs::statvfs(&folder) else {
        return Finding::good("free space", format!("unknown for {}", folder.display()));
    };
    let free = seen.f_bavail as f64 * seen.f_frsize as f64;
    let found = format!("{:.1} GB for {}", free / 1e9, cache.display());
    Finding::good("free space", found).graded_by(
        free,
        [20.0 * CASE_BYTES, 370.0 * CASE_BYTES],
        "369 cases of BraTS 2020 take some 10 GB of cache, a checkpoint 0.2 GB: choose another disk with \
         --set data.cache=DIR, or train without a cache (--set loader.cached=false)",
    )
}

/// Times writing with a sync, as checkpoints are written. Reading back would only time memory.
pub(super) fn disk_speed(cache: &Path) -> Finding {
    let folder = nearest_existing_folder(cache);
    let path = folder.join(format!(".gliaflow-doctor-{}", std::process::id()));
    let timed = (|| {
        let started = Instant::now();
        let mut file = fs::create(&path)?;
        file.write_all(&vec![0xA5; PROBE_BYTES])?;
        file.sync_all()?;
        Ok::<_, std::io::Error>(PROBE_BYTES as f64 / started.elapsed().as_secs_f64())
    })();
    // It may not have come to be.
    let _ = fs::remove_file(&path);
    match timed {
        Ok(rate) => Finding::good("disk", format!("writes {:.0} MB/s, synced", rate / 1e6)).graded_by(
            rate / 1e6,
            [1.0, 100.0],
            "ingest writes 27 MB a case and a checkpoint stalls the trainer: put cache and runs on a \
             local SSD",
        ),
        Err(error) => {
            Finding::good("disk", format!("{}: {error}", folder.display()))
                .with_grade(FindingGrade::Bad, "choose a folder that can be written to with --set data.cache=DIR")
        }
    }
}

/// Asks the file system for what a cache and a run need besides files: shared file maps, locks, and
/// folders that can be synced.
pub(super) fn file_system(cache: &Path) -> Finding {
    let folder = nearest_existing_folder(cache);
    let path = folder.join(format!(".gliaflow-doctor-map-{}", std::process::id()));
    let probed = probe_file_system(&folder, &path);
    // It may not have come to be.
    let _ = fs::remove_file(&path);
    let finding = |found: &str| Finding::good("file system", found);
    match probed {
        Err(error) => finding(&format!("{}: {}", error.subject, error.problem))
            .with_grade(FindingGrade::Bad, error.remedy),
        Ok((true, true)) => finding("locks, synced folders and shared file maps work"),
        Ok((false, _)) => finding("has no locks: two writers are not kept apart").with_grade(
            FindingGrade::Limited,
            "let one process at a time write to a run or a cache here, or put both on a local disk; \
             Lustre has locks if it is mounted with -o flock",
        ),
        Ok((true, false)) => finding("cannot sync a folder").with_grade(
            FindingGrade::Limited,
            "after a power failure the last files written may be missing: put runs on a local disk",
        ),
    }
}

/// Probes locks and the syncing of folders; an error if files cannot be mapped or written.
fn probe_file_system(folder: &Path, path: &Path) -> Result<(bool, bool), CaseError> {
    let mut options = OpenOptions::new();
    let mut file = fs::open_with(path, options.read(true).write(true).create(true).truncate(true))?;
    file.write_all(&[0; 4096]).at_path(path)?;
    check_mapping(path)?;
    Ok((has_locks(&file, path)?, can_sync_folder(folder)?))
}

pub(super) fn cache_contents(cache: &Path) -> Finding {
    if !cache.is_dir() {
        return Finding::good("cache", format!("{} is not there yet", cache.display()));
    }
    let listed = CaseStore::open(cache, PreprocessConfig::default().fingerprint())
        .and_then(|store| store.read_inventory());
    let inventory = match listed {
        Ok(inventory) => inventory,
        Err(fault) => {
            return Finding::good("cache", fault.to_string()).with_grade(
                FindingGrade::Bad,
                "give the folder back to its owner, or choose another",
            );
        }
    };
    let bytes: u64 = inventory.entries.iter().map(|entry| entry.bytes).sum();
    let found = format!("{} cases, {:.2} GB", inventory.entries.len(), bytes as f64 / 1e9);
    match inventory.damaged.first() {
        None => Finding::good("cache", found),
        Some(damage) => {
            let count = inventory.damaged.len();
            Finding::good("cache", format!("{found}, {count} damaged: {damage}")).with_grade(
                FindingGrade::Limited,
                "a run builds them again; `gliaflow cache verify` names all",
            )
        }
    }
}

/// Times reading and preparing a case of a quarter of BraTS' voxels, as ingest does.
pub(super) fn decode_speed() -> Finding {
    let grid = Dims::from_nifti([160, 160, 87]);
    let timed = (|| {
        let folder = make_probe_folder().map_err(|error| error.to_string())?;
        let config = PhantomConfig { dims: grid, seed: 1 };
        let made = cohort::write_case(&folder, &config, 0).map_err(|error| error.to_string());
        let timed = made.and_then(|_| reading_milliseconds(&folder));
        // A leftover in the folder for temporary files is the system's to remove.
        let _ = fs::remove_dir_all(&folder);
        timed
    })();
    match timed {
        Ok(milliseconds) => {
            let whole = milliseconds * (240.0 * 240.0 * 155.0) / grid.voxel_count() as f64;
            let found = format!("{milliseconds:.0} ms for {grid}, about {whole:.0} ms for BraTS");
            Finding::good("decoding a case", found).graded_by(
                1e3 / whole,
                [0.5, 5.0],
                "ingest is done once; more cores shorten it (ingest.decode)",
            )
        }
        Err(problem) => Finding::good("decoding a case", problem)
            .with_grade(FindingGrade::Bad, "free the folder for temporary files (TMPDIR)"),
    }
}

fn make_probe_folder() -> std::io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("gliaflow-doctor-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Milliseconds of the faster of two readings: the first has the files brought into memory.
fn reading_milliseconds(folder: &Path) -> Result<f64, String> {
    let mut found = discover_cases(folder, None).map_err(|error| error.to_string())?;
    let files = found.cases.pop().ok_or("the phantom was not found")?;
    let case_buffers = CaseBuffers::default();
    let reader = CaseReader::new(case_buffers.clone());
    let mut fastest = f64::INFINITY;
    for _ in 0..2 {
        let started = Instant::now();
        let case = reader.read(&files).map_err(|error| error.to_string())?;
        let prepared = prepare_in_buffers(&case_buffers, &case, &PreprocessConfig::default());
        prepared.map_err(|error| error.to_string())?.give_back(&case_buffers);
        case_buffers.give_back_case(case);
        fastest = fastest.min(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(fastest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_folder_that_is_there_is_found_from_any_path() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(nearest_existing_folder(&folder.path().join("a/b/c")), folder.path());
        assert!(nearest_existing_folder(Path::new("nowhere/at/all")).is_dir());
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_bad_and_the_probe_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_ne!(disk_speed(folder.path()).grade, FindingGrade::Bad);
        assert_eq!(file_system(folder.path()).grade, FindingGrade::Good);
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 0);
        assert_eq!(disk_speed(Path::new("/proc/self")).grade, FindingGrade::Bad);
    }
}
