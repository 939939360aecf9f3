use std::path::{Path, PathBuf};

use super::publish::BEST;
use super::*;
use crate::base::{DRAFT_END, Fingerprint};
use crate::run_folder::manifest::{MANIFEST, STATE, VALIDATED};
use crate::train::{TrainingProgress, TrainingState};

/// Checkpoints that are kept.
const KEEP: usize = 2;

fn state(step: u64) -> TrainingState {
    TrainingState {
        model: "unet".into(),
        config: Fingerprint::of_bytes(b"config"),
        planned_epochs: 7,
        journal: Default::default(),
        progress: TrainingProgress { step, next_sample: 2 * step, ..TrainingProgress::default() },
    }
}

/// The state after a validation with that Dice.
fn validated(mut state: TrainingState, dice: f64) -> TrainingState {
    state.progress.record_validation(state.progress.step, dice);
    state
}

/// Publishes a checkpoint as a run does that knows what the latest one says, and validates it.
fn publish_bytes(run: &Path, step: u64, dice: Option<f64>, bytes: &[u8]) -> PathBuf {
    publish_keeping(run, step, dice, bytes, KEEP)
}

fn publish_keeping(run: &Path, step: u64, dice: Option<f64>, bytes: &[u8], keep: usize) -> PathBuf {
    let mut state = state(step);
    let earlier = find_latest(run).ok().filter(|(_, earlier)| earlier.progress.step < step);
    if let Some((_, earlier)) = earlier {
        state.progress.best = earlier.progress.best;
        state.progress.validated_epochs = earlier.progress.validated_epochs;
    }
    let save = |folder: &Path| Ok(fs::write(folder.join("weights.bpk"), bytes)?);
    let name = publish(run, &state, keep, save).unwrap();
    if let Some(dice) = dice {
        record_validation(run, &validated(state, dice), keep).unwrap();
    }
    run.join(CHECKPOINTS).join(name)
}

fn pointer(run: &Path, name: &str) -> Option<String> {
    fs::if_present(fs::read_to_string(run.join(CHECKPOINTS).join(name))).unwrap()
}

#[test]
fn the_latest_is_the_last_published() {
    let run = tempfile::tempdir().unwrap();
    assert!(!exists_in(run.path()).unwrap());
    let none = find_latest(run.path()).unwrap_err().to_string();
    assert!(none.contains("holds no checkpoint"), "{none}");
    publish_bytes(run.path(), 9, None, b"one");
    let last = publish_bytes(run.path(), 10, None, b"two");
    assert_eq!(find_latest(run.path()).unwrap(), (last.clone(), state(10)));
    assert_eq!(fs::read(last.join("weights.bpk")).unwrap(), b"two");
    assert!(exists_in(run.path()).unwrap());
}

#[test]
fn one_cut_at_any_byte_of_any_file_is_refused_and_the_one_before_is_used() {
    let run = tempfile::tempdir().unwrap();
    let before = publish_bytes(run.path(), 1, None, b"one");
    let last = publish_bytes(run.path(), 2, None, b"two");
    for file in ["weights.bpk", STATE, MANIFEST] {
        let path = last.join(file);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let found = find_latest(run.path()).unwrap();
            assert_eq!(found, (before.clone(), state(1)), "{file} cut at {length}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(find_latest(run.path()).unwrap().1, state(1), "{file} gone");
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(find_latest(run.path()).unwrap().1, state(2));
    for folder in [&before, &last] {
        fs::write(folder.join("weights.bpk"), b"xxx").unwrap();
    }
    let all = find_latest(run.path()).unwrap_err().to_string();
    assert!(all.contains("step-0000002/weights.bpk: does not match"), "{all}");
    assert!(all.contains("none is intact; bring back a copy, or remove "), "{all}");
}

#[test]
fn the_last_ones_are_kept_and_the_best() {
    let run = tempfile::tempdir().unwrap();
    for (step, dice) in [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.3), (5, 0.1), (6, 0.2)] {
        publish_bytes(run.path(), step, Some(dice), b"bytes");
    }
    let root = run.path().join(CHECKPOINTS);
    let kept = published_names(&root).unwrap();
    assert_eq!(kept, ["step-0000006", "step-0000005", "step-0000003"]);
    assert_eq!(pointer(run.path(), "best").unwrap(), "step-0000003", "as good is not better");
    assert_eq!(pointer(run.path(), "latest").unwrap(), "step-0000006");
}

#[test]
fn the_best_is_the_one_that_the_latest_names_and_no_other_takes_its_place() {
    let run = tempfile::tempdir().unwrap();
    publish_bytes(run.path(), 1, None, b"one");
    let none = find_best(run.path()).unwrap_err().to_string();
    assert!(none.contains("no validation has named") && none.ends_with("latest checkpoint"));
    let folder = publish_bytes(run.path(), 2, Some(0.5), b"two");
    let best = (folder.clone(), validated(state(2), 0.5));
    assert_eq!(find_best(run.path()).unwrap(), best);
    publish_bytes(run.path(), 3, None, b"three");
    assert_eq!(find_best(run.path()).unwrap(), best);
    fs::remove_file(run.path().join(CHECKPOINTS).join(BEST)).unwrap();
    assert_eq!(find_best(run.path()).unwrap(), best, "the pointer is a copy");
    fs::write(folder.join("weights.bpk"), b"xxx").unwrap();
    let damaged = find_best(run.path()).unwrap_err().to_string();
    assert!(damaged.contains("step-0000002/weights.bpk: does not match"), "{damaged}");
    assert!(damaged.ends_with("use the latest checkpoint"), "{damaged}");
}

#[test]
fn a_damaged_best_that_is_the_latest_is_not_replaced_by_the_one_before() {
    let run = tempfile::tempdir().unwrap();
    publish_bytes(run.path(), 1, Some(0.1), b"one");
    let folder = publish_bytes(run.path(), 2, Some(0.5), b"two");
    fs::write(folder.join("weights.bpk"), b"xxx").unwrap();
    let damaged = find_best(run.path()).unwrap_err().to_string();
    assert!(damaged.contains("step-0000002/weights.bpk: does not match"), "{damaged}");
    // A run that goes on from the one before has that one's best.
    let (_, mut before) = find_latest(run.path()).unwrap();
    restore_pointers(run.path(), &mut before, KEEP).unwrap();
    assert_eq!(pointer(run.path(), "best").unwrap(), "step-0000001");
    assert_eq!(find_best(run.path()).unwrap().1.progress.step, 1);
}

#[test]
fn a_damaged_score_is_no_score_and_the_checkpoint_stays() {
    let run = tempfile::tempdir().unwrap();
    let folder = publish_bytes(run.path(), 2, Some(0.5), b"two");
    let path = folder.join(VALIDATED);
    let whole = fs::read(&path).unwrap();
    let found = || find_latest(run.path()).unwrap().1;
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(found(), state(2), "cut at {length}");
    }
    let other = String::from_utf8(whole.clone()).unwrap().replace("0.5", "0.6");
    fs::write(&path, other).unwrap();
    assert_eq!(found(), state(2));
    fs::write(&path, &whole).unwrap();
    assert_eq!(found(), validated(state(2), 0.5));
}

#[test]
fn pointers_that_a_killed_process_did_not_get_to_are_made_up_for_before_anything_goes() {
    let run = tempfile::tempdir().unwrap();
    for (step, dice) in [(1, 0.1), (2, 0.2), (3, 0.9)] {
        publish_bytes(run.path(), step, Some(dice), b"bytes");
    }
    let root = run.path().join(CHECKPOINTS);
    // As after a kill between the score's rename and the pointers.
    fs::write(root.join("best"), "step-0000002").unwrap();
    fs::write(root.join("latest"), "step-0000002").unwrap();
    let (_, mut state) = find_latest(run.path()).unwrap();
    restore_pointers(run.path(), &mut state, 1).unwrap();
    assert_eq!(pointer(run.path(), "best").unwrap(), "step-0000003");
    assert_eq!(pointer(run.path(), "latest").unwrap(), "step-0000003");
    assert_eq!(published_names(&root).unwrap(), ["step-0000003"]);
    publish_bytes(run.path(), 4, None, b"bytes");
    publish_bytes(run.path(), 5, None, b"bytes");
    assert_eq!(find_best(run.path()).unwrap().1.progress.step, 3);
}

#[test]
fn a_best_that_is_lost_gives_way_to_the_best_of_those_that_are_there() {
    let run = tempfile::tempdir().unwrap();
    for (step, dice) in [(1, Some(0.1)), (2, Some(0.3)), (3, Some(0.2)), (4, None)] {
        publish_keeping(run.path(), step, dice, b"bytes", 4);
    }
    let damage = |step: u64| {
        let folder = run.path().join(CHECKPOINTS).join(folder_name(step));
        fs::write(folder.join("weights.bpk"), b"xxx").unwrap();
    };
    let restored = || {
        let (_, mut state) = find_latest(run.path()).unwrap();
        restore_pointers(run.path(), &mut state, 4).unwrap();
        (state.progress.best.map(|best| best.step), pointer(run.path(), BEST))
    };
    assert_eq!(restored(), (Some(2), Some("step-0000002".into())));
    damage(2);
    assert_eq!(restored(), (Some(1), Some("step-0000001".into())), "the third never was the best");
    damage(1);
    assert_eq!(restored(), (None, None));
}

#[test]
fn one_is_found_by_its_step_or_those_that_are_there_are_named() {
    let run = tempfile::tempdir().unwrap();
    publish_bytes(run.path(), 4, None, b"one");
    let folder = publish_bytes(run.path(), 8, None, b"two");
    assert_eq!(find_step(run.path(), 8).unwrap(), (folder.clone(), state(8)));
    let none = find_step(run.path(), 5).unwrap_err().to_string();
    assert!(none.contains("no checkpoint after step 5, but after 4, 8"), "{none}");
    fs::write(folder.join("weights.bpk"), b"xxx").unwrap();
    let damaged = find_step(run.path(), 8).unwrap_err().to_string();
    assert!(damaged.contains("step-0000008/weights.bpk: does not match"), "{damaged}");
}

#[test]
fn those_beyond_a_run_that_went_on_from_an_older_one_go() {
    let run = tempfile::tempdir().unwrap();
    for step in [1, 5, 6, 7] {
        publish_bytes(run.path(), step, (step == 7).then_some(0.5), b"bytes");
    }
    let root = run.path().join(CHECKPOINTS);
    publish_bytes(run.path(), 2, None, b"bytes");
    assert_eq!(published_names(&root).unwrap(), ["step-0000002"]);
    assert!(!root.join(BEST).exists(), "it named one of them");
}

#[test]
fn a_failed_save_leaves_the_one_before_and_goes_with_the_next() {
    let run = tempfile::tempdir().unwrap();
    publish_bytes(run.path(), 1, None, b"one");
    let failed = publish(run.path(), &state(2), KEEP, |folder| {
        Err(Fault::from_io(folder, &std::io::Error::other("disk full")))
    });
    assert!(failed.is_err());
    assert_eq!(find_latest(run.path()).unwrap().1, state(1));
    let root = run.path().join(CHECKPOINTS);
    assert!(root.join(".step-0000002").is_dir(), "as a killed process would leave it");
    publish_bytes(run.path(), 3, None, b"three");
    assert!(!root.join(".step-0000002").exists());
}

#[test]
fn drafts_of_a_killed_process_go_wherever_they_lie_below_the_checkpoints() {
    let run = tempfile::tempdir().unwrap();
    let folder = publish_bytes(run.path(), 3, Some(0.5), b"one");
    let kept = list_entries(&folder).unwrap().len();
    let draft = format!("validation.json.7-1{DRAFT_END}");
    for place in [&folder, &run.path().join(CHECKPOINTS)] {
        fs::write(place.join(format!(".{draft}")), b"half").unwrap();
    }
    remove_unfinished(run.path()).unwrap();
    assert_eq!(list_entries(&folder).unwrap().len(), kept);
    let beside = list_entries(&run.path().join(CHECKPOINTS)).unwrap();
    assert!(beside.iter().all(|name| !name.starts_with('.')), "{beside:?}");
}
