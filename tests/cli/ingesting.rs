//! `ingest` and `cache`: files to case files, and looking after those.

use std::path::Path;

use gliaflow::internals::brats::discover_cases;
use gliaflow::internals::cache::SourceState;
use gliaflow::internals::pipeline::stat_files;

use crate::cli::harness::{Desk, bytes_below};
use crate::cli::nifti_file::{NiftiFile, edit_floats};
use crate::metrics::{series, value};

const BAD: &str = "BraTS20_Training_002";

/// The case files of a cache, relative to the desk.
fn case_files(desk: &Desk) -> Vec<String> {
    let folders = desk.names("cache").into_iter().filter(|name| name.starts_with("v2-"));
    let files = folders.flat_map(|folder| {
        let names = desk.names(&format!("cache/{folder}")).into_iter();
        names.map(move |file| format!("cache/{folder}/{file}")).collect::<Vec<_>>()
    });
    files.collect()
}

#[test]
fn a_second_ingest_reads_nothing_and_one_of_a_changed_case_reads_that() {
    let desk = Desk::with_cohort(3);
    let first = desk.run("ingest --data data --cache cache --json").ok().json();
    assert_eq!((&first["published"], &first["current"]), (&3.into(), &0.into()));
    assert_eq!(first["bytes"].as_u64().unwrap(), bytes_below(&desk.path("cache")));

    let again = desk.run("ingest --data data --cache cache --json").ok().json();
    assert_eq!((&again["published"], &again["current"]), (&0.into(), &3.into()));
    assert_eq!(again["bytes"], 0);

    let file = desk.path("data/BraTS20_Training_001/BraTS20_Training_001_t1.nii.gz");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::copy(file.with_file_name("BraTS20_Training_001_t2.nii.gz"), &file).unwrap();
    let changed = desk.run("ingest --data data --cache cache --json").ok().json();
    assert_eq!((&changed["published"], &changed["current"]), (&1.into(), &2.into()));
    assert_ne!(std::fs::read(&file).unwrap(), bytes, "the file did change");
}

#[test]
fn a_case_that_the_memory_does_not_hold_is_refused_by_name_before_it_is_inflated() {
    let desk = Desk::new();
    desk.run("phantom --out data --cases 2 --seed 3 --shape 48").ok();
    let line = "ingest --data data --cache cache --memory-mib 1 --json";
    let refused = desk.run(line).exits(3).json();
    assert_eq!(refused["published"], 0);
    let problems = refused["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2);
    for problem in problems {
        let text = problem.as_str().unwrap();
        assert!(text.contains("voxels, the limit is 58254; "), "{text}");
        assert!(text.contains("case BraTS20_Training_00"), "{text}");
    }
    desk.run("ingest --data data --cache cache --memory-mib 2").ok();
    let one = "data/BraTS20_Training_001/BraTS20_Training_001_t1.nii.gz";
    desk.run(&format!("inspect {one} --max-voxels 1000")).exits(3);
    desk.run(&format!("inspect {one}")).ok();
}

#[test]
fn the_same_files_under_another_meaning_of_their_labels_are_built_again() {
    let desk = Desk::with_cohort(2);
    let ingest = |labels: &str| {
        let line = format!("ingest --data data --cache cache --json {labels}");
        let done = desk.run(&line).ok().json();
        ["published", "current"].map(|key| done[key].as_u64().unwrap())
    };
    assert_eq!(ingest(""), [2, 0]);
    assert_eq!(ingest(""), [0, 2]);
    // 4 is enhancing tumour to the one and oedema to the other.
    assert_eq!(ingest("--labels brats2024-ped"), [2, 0]);
    assert_eq!(ingest("--labels brats2024-ped"), [0, 2]);
    assert_eq!(ingest(""), [2, 0]);
    // Cases with a region more, the resection cavity, lie beside the others.
    assert_eq!(ingest("--labels brats2024"), [2, 0]);
    assert_eq!(ingest("--labels brats2024"), [0, 2]);
    assert_eq!(ingest(""), [0, 2]);
}

#[test]
fn a_damaged_case_is_listed_and_quarantined_while_the_others_are_cached() {
    let desk = Desk::with_cohort(3);
    let file = format!("data/{BAD}/{BAD}_t1ce.nii.gz");
    desk.flip(&file, 6);
    let done = desk.run("ingest --data data --cache cache --json").exits(3).json();
    assert_eq!(done["published"], 2);
    let problem = done["problems"][0].as_str().unwrap();
    assert!(problem.contains(&format!("case {BAD}")) && problem.contains(&file), "{problem}");

    let quarantined = desk.json_lines("cache/quarantine.jsonl");
    assert_eq!(quarantined.len(), 1);
    assert_eq!(
        (&quarantined[0]["case"], &quarantined[0]["reason"]),
        (&BAD.into(), &"checksum".into())
    );
    assert_eq!(quarantined[0]["error"], problem);
    let names: Vec<String> = case_files(&desk)
        .iter()
        .map(|file| Path::new(file).file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, ["BraTS20_Training_001", "BraTS20_Training_003"]);
}

#[test]
fn a_case_without_a_modality_is_a_problem_of_ingest_too() {
    let desk = Desk::with_cohort(2);
    std::fs::remove_file(desk.path(&format!("data/{BAD}/{BAD}_t1.nii.gz"))).unwrap();
    let done = desk.run("ingest --data data --cache cache --json").exits(3).json();
    assert_eq!(done["published"], 1);
    assert!(done["problems"][0].as_str().unwrap().contains(&format!("{BAD}_t1.nii.gz is not in")));
}

#[test]
fn ingest_needs_workers() {
    let desk = Desk::with_cohort(1);
    let outcome = desk.run("ingest --data data --cache cache --workers 0").exits(2);
    outcome.complains_of(&["--workers 0", "at least 1"]);
}

#[test]
fn the_endpoint_shows_every_stage_of_ingest_and_how_large_the_cache_is() {
    let desk = Desk::with_cohort(2);
    let line = "ingest --data data --cache cache --metrics-addr 127.0.0.1:0 --metrics-linger 100";
    let mut process = desk.start(line);
    let scrape = process.scrape_until("the cache's size", |scrape| {
        !series(scrape, "loader_cache_bytes").is_empty()
    });
    for stage in ["files", "decode", "normalize", "publish", "tally"] {
        let label = format!("stage=\"{stage}\"");
        let busy = series(&scrape, "loader_stage_busy_seconds_total");
        assert!(busy.iter().any(|line| line.contains(&label)), "{stage} is not in {busy:?}");
    }
    assert_eq!(series(&scrape, "loader_stage_busy_seconds_total").len(), 5);
    let of = |name: &str| value(series(&scrape, name)[0]);
    assert_eq!(of("loader_cache_bytes"), bytes_below(&desk.path("cache")) as f64);
    let files: u64 = ["001", "002"]
        .map(|n| bytes_below(&desk.path(&format!("data/BraTS20_Training_{n}"))))
        .iter()
        .sum();
    assert_eq!(of("loader_read_bytes_total"), files as f64);
    assert!(series(&scrape, "train_run_state").is_empty(), "nothing is trained");
}

#[test]
fn the_cache_is_listed_case_by_case() {
    let desk = Desk::with_cohort(2);
    desk.run("ingest --data data --cache cache").ok();
    let listed = desk.run("cache list --cache cache --json").ok().json();
    let entries = listed["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    for (entry, file) in entries.iter().zip(case_files(&desk)) {
        assert_eq!(entry["path"], *file);
        assert_eq!(entry["bytes"].as_u64().unwrap(), desk.path(&file).metadata().unwrap().len());
        assert_eq!((&entry["labelled"], &entry["current"]), (&true.into(), &true.into()));
    }
}

#[test]
fn verify_finds_a_flipped_byte() {
    let desk = Desk::with_cohort(2);
    desk.run("ingest --data data --cache cache").ok();
    let clean = desk.run("cache verify --cache cache --json").ok().json();
    assert_eq!((&clean["checked"], &clean["damaged"]), (&2.into(), &0.into()));

    let victim = &case_files(&desk)[1];
    desk.flip(victim, desk.path(victim).metadata().unwrap().len() as usize / 2);
    let found = desk.run("cache verify --cache cache --json").exits(3).json();
    assert_eq!((&found["checked"], &found["damaged"]), (&2.into(), &1.into()));
    assert_eq!(found["files"][0]["damage"], serde_json::Value::Null);
    assert_eq!(
        (&found["files"][1]["path"], &found["files"][1]["damage"]["reason"]),
        (&victim.as_str().into(), &"checksum".into())
    );
    let text = desk.run("cache verify --cache cache").exits(3).stdout;
    assert!(text.contains(victim), "{text}");
}

/// Changes a file and gives it its time back: the gzip header's time, which no content depends on.
fn change_in_secret(desk: &Desk, name: &str) {
    let path = desk.path(name);
    let time = path.metadata().unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4] = !bytes[4];
    std::fs::write(&path, bytes).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
}

/// The state of the first case's files.
fn state_of_first(desk: &Desk) -> SourceState {
    let case = &discover_cases(&desk.path("data"), None).unwrap().cases[0];
    stat_files(case).unwrap().state
}

#[test]
fn a_change_under_the_same_size_and_time_is_seen_and_verify_sees_what_the_file_system_hides() {
    let desk = Desk::with_cohort(2);
    desk.run("ingest --data data --cache cache").ok();
    let file = "data/BraTS20_Training_001/BraTS20_Training_001_t1.nii.gz";
    change_in_secret(&desk, file);
    let seen = desk.run("ingest --data data --cache cache --json").ok().json();
    assert_eq!((&seen["published"], &seen["current"]), (&1.into(), &1.into()));
    assert_eq!(case_files(&desk).len(), 2, "it took its old place");

    // A file system that keeps no time of change: what is known of the new state is the old content.
    let listed = desk.run("cache list --cache cache --json").ok().json();
    change_in_secret(&desk, file);
    let mut line = serde_json::to_value(state_of_first(&desk)).unwrap();
    line["case"] = "BraTS20_Training_001".into();
    line["content"] = listed["entries"][0]["fingerprint"].clone();
    std::fs::write(desk.path("cache/places.jsonl"), format!("{line}\n")).unwrap();
    let unseen = desk.run("ingest --data data --cache cache --json").ok().json();
    assert_eq!(unseen["current"], 2, "nothing says that the files changed");
    let seen = desk.run("ingest --data data --cache cache --verify --json").ok().json();
    assert_eq!((&seen["published"], &seen["current"]), (&1.into(), &1.into()));
    let outdated = seen["outdated"][0].as_str().unwrap();
    assert!(outdated.contains("BraTS20_Training_001: its files have other contents"), "{outdated}");
    let again = desk.run("ingest --data data --cache cache --verify --json").ok().json();
    assert_eq!((&again["published"], &again["current"]), (&0.into(), &2.into()));
}

#[test]
fn verify_builds_damaged_case_files_again_as_their_error_says_and_drops_those_of_broken_files() {
    let desk = Desk::with_cohort(2);
    desk.run("ingest --data data --cache cache").ok();
    let victim = case_files(&desk)[0].clone();
    desk.flip(&victim, desk.path(&victim).metadata().unwrap().len() as usize / 2);
    let damaged = desk.run("cache verify --cache cache").exits(3).stdout;
    assert!(damaged.contains("`gliaflow ingest --verify --data "), "{damaged}");
    desk.run("ingest --data data --cache cache --verify").ok();
    desk.run("cache verify --cache cache").ok();

    let file = format!("data/{BAD}/{BAD}_t2.nii.gz");
    let time = desk.path(&file).metadata().unwrap().modified().unwrap();
    desk.flip(&file, 6);
    let opened = std::fs::File::options().write(true).open(desk.path(&file)).unwrap();
    opened.set_modified(time).unwrap();
    desk.run("ingest --data data --cache cache").exits(3);
    desk.run("ingest --data data --cache cache --verify").exits(3);
    assert_eq!(case_files(&desk).len(), 1, "nobody reads what the broken files held before");
}

/// Commands between quotation marks in a text, with the program's name.
fn commands_in(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn verify_names_a_command_that_builds_exactly_the_damaged_file_again() {
    for settings in ["", "--foreground threshold --quality warn", "--labels brats2024"] {
        let desk = Desk::with_cohort(2);
        let ingest = format!("ingest --data data --cache cache {settings}");
        desk.run(&ingest).ok();
        let victim = case_files(&desk)[1].clone();
        let whole = std::fs::read(desk.path(&victim)).unwrap();
        let command = |from_end: usize| {
            desk.flip(&victim, from_end);
            let commands = commands_in(&desk.run("cache verify --cache cache").exits(3).stdout);
            assert_eq!(commands.len(), 1, "{commands:?}");
            commands[0].clone()
        };
        // Damaged voxels leave a header that says how the case was made.
        let again = command(whole.len() / 2);
        desk.run(again.strip_prefix("gliaflow ").unwrap()).ok();
        assert!(std::fs::read(desk.path(&victim)).unwrap() == whole, "{settings}");
        assert_eq!(case_files(&desk).len(), 2, "{settings}");

        assert_eq!(command(whole.len() - 40), format!("rm {victim}"));
        std::fs::remove_file(desk.path(&victim)).unwrap();
        desk.run(&ingest).ok();
        desk.run("cache verify --cache cache").ok();
    }
}

#[test]
fn datasets_with_the_same_names_keep_their_case_files_in_one_cache() {
    let desk = Desk::with_cohort(2);
    desk.run("phantom --out other --cases 2 --seed 4 --shape 24x28x26").ok();
    let ingest = |data: &str| {
        let done = desk.run(&format!("ingest --data {data} --cache cache --json")).ok().json();
        (done["published"].as_u64().unwrap(), done["current"].as_u64().unwrap())
    };
    assert_eq!((ingest("data"), ingest("other")), ((2, 0), (2, 0)));
    let files = case_files(&desk);
    assert_eq!(files.len(), 4, "{files:?}");
    assert_eq!((ingest("data"), ingest("other")), ((0, 2), (0, 2)), "neither is built again");
    let listed = desk.run("cache list --cache cache --json").ok().json();
    assert_eq!(listed["entries"].as_array().unwrap().len(), 4);
    assert_eq!(desk.run("cache verify --cache cache --json").ok().json()["checked"], 4);
    let removed = desk.run("cache gc --cache cache --json").ok().json();
    assert_eq!(removed["removed"], serde_json::json!([]));

    // A changed file of one case is still that case, and takes its old place.
    let file = desk.path("other/BraTS20_Training_001/BraTS20_Training_001_t1.nii.gz");
    std::fs::copy(file.with_file_name("BraTS20_Training_001_t2.nii.gz"), &file).unwrap();
    assert_eq!((ingest("other"), ingest("data")), ((1, 1), (0, 2)));
    assert_eq!(case_files(&desk), files);
}

#[test]
fn an_affine_a_little_beside_the_first_images_is_taken_with_one_warning_and_more_is_refused() {
    let desk = Desk::with_cohort(1);
    let case = "data/BraTS20_Training_001/BraTS20_Training_001";
    // `srow_x[3]`, the first coordinate of the origin.
    let shift = |ending: &str, by: f32| {
        edit_floats(&desk.path(&format!("{case}_{ending}.nii.gz")), [292], |value| value + by);
    };
    let spacing = NiftiFile::open(&desk.path(&format!("{case}_t2.nii.gz"))).spacing();
    let edge = spacing.into_iter().fold(f32::INFINITY, |least, edge| least.min(edge as f32));
    shift("t2", 0.04 * edge);
    shift("flair", 0.04 * edge);
    let warned = desk.run("ingest --data data --cache cache").ok();
    let words = "taken as the same grid";
    let warnings: Vec<&str> = warned.stderr.lines().filter(|line| line.contains(words)).collect();
    assert_eq!(warnings.len(), 1, "{}", warned.stderr);
    assert!(warnings[0].contains("_t2.nii.gz: its affine is up to 4.0e-2 voxels"), "{warnings:?}");
    shift("t2", 0.5 * edge);
    let refused = desk.run("ingest --data data --cache cache --json").exits(3).json();
    let problem = refused["problems"][0].as_str().unwrap();
    assert!(
        problem.contains("mm from") && problem.contains("copy the other's affine"),
        "{problem}"
    );
    assert!(problem.contains("`fslcpgeom "), "{problem}");
}

#[test]
fn a_file_compressed_twice_is_named_with_a_way_out_that_works() {
    let desk = Desk::with_cohort(1);
    let file = desk.path("data/BraTS20_Training_001/BraTS20_Training_001_t1.nii.gz");
    let twice = std::process::Command::new("gzip").arg("-c").arg(&file).output().unwrap().stdout;
    std::fs::write(&file, twice).unwrap();
    let done = desk.run("ingest --data data --cache cache --json").exits(3).json();
    let problem = done["problems"][0].as_str().unwrap();
    assert!(problem.contains("is compressed twice") && problem.contains("gunzip -c"), "{problem}");
    let command = format!("gunzip -c {0} > {0}.once && mv {0}.once {0}", file.display());
    assert!(std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success());
    desk.run("ingest --data data --cache cache").ok();
}

#[test]
fn gc_removes_what_nobody_reads_and_a_dry_run_only_says_so() {
    let desk = Desk::with_cohort(1);
    desk.run("ingest --data data --cache cache").ok();
    desk.run("ingest --data data --cache cache --foreground threshold").ok();
    let old = "cache/v1-0123456789abcdef";
    std::fs::create_dir(desk.path(old)).unwrap();
    std::fs::write(desk.path(old).join("x.case"), [0; 100]).unwrap();
    std::fs::write(desk.path("cache/notes.txt"), "mine").unwrap();
    let kept = case_files(&desk).into_iter().filter(|file| !file.starts_with(old));
    let kept: Vec<String> = kept.collect();

    let would = desk.run("cache gc --cache cache --dry-run --json").ok().json();
    assert_eq!((&would["dry_run"], &would["bytes"]), (&true.into(), &100.into()));
    assert_eq!(would["removed"], serde_json::json!([old]));
    assert!(desk.path(old).join("x.case").is_file());

    let removed = desk.run("cache gc --cache cache --json").ok().json();
    assert_eq!(removed["removed"], serde_json::json!([old]));
    assert!(!desk.path(old).exists());
    assert_eq!(kept.len(), 2, "those of other settings as well");
    assert_eq!(case_files(&desk), kept);
    assert_eq!(desk.text("cache/notes.txt"), "mine");
}

#[test]
fn a_cache_that_is_none_is_usage() {
    let desk = Desk::new();
    for verb in ["list", "verify", "gc"] {
        let outcome = desk.run(&format!("cache {verb} --cache nowhere")).exits(2);
        outcome.complains_of(&["nowhere", "--cache"]);
    }
    assert!(!desk.path("nowhere").exists());
}
