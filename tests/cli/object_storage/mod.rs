//! Data and caches in object storage: a bucket gives what a folder gives, whatever its server does meanwhile.

mod broken_off;
mod http;
mod keys;
mod listed_data;
mod server;

use std::collections::BTreeMap;

use crate::cli::harness::{Desk, Outcome};
use crate::cli::object_storage::server::{Fault, Server};

const CASES: [&str; 3] = ["BraTS20_Training_001", "BraTS20_Training_002", "BraTS20_Training_003"];

/// A desk with a cohort in `data`, and a server with the same in `s3://lab/data`.
fn desk_and_server() -> (Desk, Server) {
    let desk = Desk::with_cohort(CASES.len());
    let server = Server::start();
    server.put_folder(&desk.path("data"), "lab/data");
    (desk, server)
}

fn run_with(desk: &Desk, line: &str, variables: &[(String, String)]) -> Outcome {
    let mut variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    // Whoever runs the tests may have settings of his own.
    variables.extend([
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("NO_PROXY", "127.0.0.1"),
    ]);
    desk.start_with(line, &variables).wait()
}

fn run(desk: &Desk, server: &Server, line: &str) -> Outcome {
    run_with(desk, line, &server.good_variables())
}

/// Counts of an ingest: new cases, unchanged ones.
fn ingest(desk: &Desk, server: &Server, line: &str) -> [u64; 2] {
    let done = run(desk, server, &format!("ingest {line} --json")).ok().json();
    ["published", "current"].map(|key| done[key].as_u64().unwrap())
}

/// Case files of a cache by folder and name.
fn case_files(desk: &Desk, cache: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in desk.names(cache).into_iter().filter(|name| name.starts_with("v2-")) {
        for name in desk.names(&format!("{cache}/{folder}")) {
            let path = desk.path(&format!("{cache}/{folder}/{name}"));
            files.insert(format!("{folder}/{name}"), std::fs::read(path).unwrap());
        }
    }
    files
}

/// Case file in parts that depend on the content of the source alone: everything but the record of where its
/// files lay and when (`SOURCE`, and `source` in `DESCRIPTION`), which `cache/README.md` names.
fn content_of(file: &[u8]) -> BTreeMap<u32, Vec<u8>> {
    const SOURCE: u32 = 5;
    const DESCRIPTION: u32 = 8;
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize;
    // The first page up to the section table, without the lengths that follow from the record.
    let mut parts = BTreeMap::from([(0, [&file[..16], &file[24..512]].concat())]);
    for section in 0..word(24) as usize {
        let at = 512 + 32 * section;
        let (kind, bytes) = (word(at), &file[long(at + 8)..][..long(at + 16)]);
        let bytes = match kind {
            SOURCE => continue,
            DESCRIPTION => {
                let text = std::str::from_utf8(bytes).unwrap();
                let mut fields: toml::Table = toml::from_str(text).unwrap();
                assert!(fields.remove("source").is_some(), "{text}");
                toml::to_string(&fields).unwrap().into_bytes()
            }
            _ => bytes.to_vec(),
        };
        parts.insert(kind, bytes);
    }
    assert!(
        parts.len() > 5,
        "a labelled case has images, labels, statistics, index and histograms"
    );
    parts
}

fn assert_same_cases(desk: &Desk, one: &str, other: &str) {
    let [own, theirs] = [one, other].map(|cache| case_files(desk, cache));
    assert_eq!(own.len(), CASES.len());
    assert_eq!(own.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (name, file) in &own {
        assert!(content_of(file) == content_of(&theirs[name]), "{name} differs");
    }
}

/// Weights of a run's latest checkpoint.
#[cfg(feature = "train")]
fn newest_weights(desk: &Desk, run: &str) -> Vec<u8> {
    let latest = desk.text(&format!("{run}/checkpoints/latest"));
    let path = format!("{run}/checkpoints/{}/weights.bpk", latest.trim());
    std::fs::read(desk.path(&path)).unwrap()
}

/// Names of what is left in a cache's folder of temporary files.
fn left_over(desk: &Desk, cache: &str) -> Vec<String> {
    desk.names(&format!("{cache}/tmp")).into_iter().filter(|name| name != "lock").collect()
}

#[test]
fn ingest_from_a_bucket_that_fails_is_ingest_from_a_folder() {
    let (desk, server) = desk_and_server();
    desk.run("ingest --data data --cache from-disk").ok();
    server.fail(|_, key, before| match (key.ends_with(".nii.gz"), before) {
        (true, 0) => Some(Fault::Busy),
        (true, 1) => Some(Fault::CutAfter(1000)),
        (true, 2) => Some(Fault::CutAfter(0)),
        (true, 3) => Some(Fault::Slow),
        _ => None,
    });
    assert_eq!(ingest(&desk, &server, "--data s3://lab/data --cache from-bucket"), [3, 0]);
    assert!(server.requests("GET", "_t1ce.nii.gz") >= 3 * 4, "every image met every fault");
    assert_same_cases(&desk, "from-disk", "from-bucket");
    assert!(left_over(&desk, "from-bucket").is_empty());

    // Objects that are as they were listed are not read again.
    server.recover();
    assert_eq!(ingest(&desk, &server, "--data s3://lab/data --cache from-bucket"), [0, 3]);
    assert_eq!(server.requests("GET", ".nii.gz"), 0);
    // The same files in a folder are read once, and then known.
    assert_eq!(ingest(&desk, &server, "--data data --cache from-bucket"), [0, 3]);
    assert_same_cases(&desk, "from-disk", "from-bucket");
}

#[test]
fn an_object_that_changes_while_it_is_read_is_its_cases_error_and_never_half_of_each() {
    let (desk, server) = desk_and_server();
    let [case, other, _] = CASES;
    let image = format!("lab/data/{case}/{case}_t1ce.nii.gz");
    // A whole image, of another case.
    let changed = server.object(&image.replace(case, other));
    let (watched, replacement) = (image.clone(), changed.clone());
    server.fail(move |method, key, before| {
        (method == "GET" && key == watched && before == 0)
            .then(|| Fault::ChangeAfter(2000, replacement.clone()))
    });
    let line = "ingest --data s3://lab/data --cache cache --json";
    let done = run(&desk, &server, line).exits(3).json();
    assert_eq!(done["published"], 2);
    let problems = done["problems"].as_array().unwrap();
    let text = problems[0].as_str().unwrap();
    assert_eq!(problems.len(), 1);
    for part in [&format!("case {case}: s3://{image}: "), "has changed since it was listed", "; "] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(case_files(&desk, "cache").len(), 2);
    assert!(left_over(&desk, "cache").is_empty());

    // The next search lists it anew, and takes it as it is now.
    server.recover();
    assert_eq!(ingest(&desk, &server, "--data s3://lab/data --cache cache"), [1, 2]);
    let path = desk.path(&format!("data/{case}/{case}_t1ce.nii.gz"));
    std::fs::write(path, changed).unwrap();
    desk.run("ingest --data data --cache from-disk").ok();
    assert_same_cases(&desk, "from-disk", "cache");
}

#[test]
fn wrong_credentials_a_wrong_bucket_and_a_server_that_is_not_there_are_one_clear_error_each() {
    let (desk, server) = desk_and_server();
    let line = "ingest --data s3://lab/data --cache cache";
    let refused = run_with(&desk, line, &server.variables("AKIAWRONG")).exits(3);
    refused.complains_of(&["s3://lab/data: ", "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"]);
    assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
    assert!(!desk.path("cache").exists());

    let nothing = run(&desk, &server, "ingest --data s3://lab/other --cache cache").exits(3);
    nothing.complains_of(&["s3://lab/other: there is no object under it", "check the bucket"]);
    assert_eq!(nothing.stderr.lines().count(), 1, "{}", nothing.stderr);

    let push = "cache push s3://lab/cases --cache cache";
    desk.run("ingest --data data --cache cache").ok();
    let refused = run_with(&desk, push, &server.variables("AKIAWRONG"));
    refused.exits(1).complains_of(&["InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"]);
    let no_url = run(&desk, &server, "cache push lab/cases --cache cache").exits(2);
    no_url.complains_of(&["lab/cases: is no URL of object storage", "s3://bucket/prefix"]);
}

#[test]
fn a_bucket_is_inspected_like_a_folder_by_its_names_its_description_and_its_files() {
    let (desk, server) = desk_and_server();
    let seen = |line: &str| {
        let mut seen = run(&desk, &server, line).ok().json();
        for case in seen["cases"].as_array_mut().into_iter().flatten() {
            case.as_object_mut().unwrap().remove("findings");
        }
        seen
    };
    assert_eq!(seen("inspect s3://lab/data --deep --json"), seen("inspect data --deep --json"));
    let layout = seen("inspect data --json")["layout"].to_string();
    let own = format!("label_scheme = \"brats2024-ped\"\nlayout = {layout}\n");
    server.put("lab/data/dataset.toml", own.into_bytes());
    assert_eq!(seen("inspect s3://lab/data --json")["scheme"], "brats2024-ped");
    // A case's own prefix is described by the file above it.
    let case = format!("inspect s3://lab/data/{} --json", CASES[1]);
    let alone = seen(&case);
    assert_eq!(alone["scheme"], "brats2024-ped");
    assert_eq!(alone["cases"][0]["id"], CASES[1]);
    let image = format!("{0}/{0}_t2.nii.gz", CASES[0]);
    let [bucket, disk] =
        ["s3://lab/data", "data"].map(|at| seen(&format!("inspect {at}/{image} --json")));
    assert_eq!((&bucket["sum"], &bucket["affine"]), (&disk["sum"], &disk["affine"]));
    run(&desk, &server, "inspect s3://lab/data/none.nii.gz").exits(3);
}

#[test]
fn a_pushed_cache_is_pulled_whole_whatever_breaks_off_and_nothing_damaged_is_published() {
    let (desk, server) = desk_and_server();
    desk.run("ingest --data data --cache cache").ok();
    let transfer = |line: &str, codes: i32| {
        let done = run(&desk, &server, &format!("cache {line} --json")).exits(codes).json();
        let damaged = done["damaged"].as_array().unwrap().len() as u64;
        [done["copied"].as_u64().unwrap(), done["present"].as_u64().unwrap(), damaged]
    };
    // The first case goes through after a while; then the server lets nobody in any more.
    server.fail(|method, key, before| match (method, before) {
        ("PUT", _) if !key.contains(CASES[0]) => Some(Fault::Refused),
        ("PUT", 0) => Some(Fault::Busy),
        ("PUT", 1) => Some(Fault::CutAfter(0)),
        _ => None,
    });
    let refused = run(&desk, &server, "cache push s3://lab/cases --cache cache").exits(1);
    refused.complains_of(&["AccessDenied"]);
    server.recover();
    let again = transfer("push s3://lab/cases --cache cache", 0);
    assert_eq!(again[0] + again[1], 3, "{again:?}");
    assert_eq!(transfer("push s3://lab/cases --cache cache", 0), [0, 3, 0]);
    let names = server.names("lab/cases/");
    assert_eq!(names.len(), 3, "{names:?}");
    server.put("lab/cases/notes.txt", b"no case file".to_vec());

    // One object is damaged, the others come in pieces.
    let good = server.object(&names[1]);
    let mut bad = good.clone();
    bad[5000] ^= 1;
    server.put(&names[1], bad);
    server.fail(|method, _, before| {
        (method == "GET" && before < 2).then_some(Fault::CutAfter(10_000))
    });
    assert_eq!(transfer("pull s3://lab/cases --cache pulled", 3), [2, 0, 1]);
    assert_eq!(case_files(&desk, "pulled").len(), 2);
    assert!(left_over(&desk, "pulled").is_empty());

    server.put(&names[1], good);
    server.recover();
    assert_eq!(transfer("pull s3://lab/cases --cache pulled", 0), [1, 2, 0]);
    assert_eq!(server.requests("GET", CASES[0]), 0, "what is there is not read again");
    assert!(case_files(&desk, "cache") == case_files(&desk, "pulled"));
    desk.run("cache verify --cache pulled").ok();
    // A pushed copy of a pulled cache is the same objects.
    assert_eq!(transfer("push s3://lab/cases --cache pulled", 0), [0, 3, 0]);
    // The same case from another place is the same case.
    assert_eq!(ingest(&desk, &server, "--data s3://lab/data --cache other"), [3, 0]);
    assert_eq!(transfer("push s3://lab/cases --cache other", 0), [0, 3, 0]);
}

#[test]
#[cfg(feature = "train")]
fn a_run_on_a_bucket_takes_pulled_cases_and_reads_no_image() {
    use crate::cli::harness::TINY;
    let (desk, server) = desk_and_server();
    assert_eq!(ingest(&desk, &server, "--data s3://lab/data --cache first"), [3, 0]);
    run(&desk, &server, "cache push s3://lab/cases --cache first").ok();
    run(&desk, &server, "cache pull s3://lab/cases --cache cache").ok();
    server.recover();
    let train = format!("train --data s3://lab/data --run pulled {TINY}");
    run(&desk, &server, &train).ok();
    assert_eq!(server.requests("GET", ".nii.gz"), 0);
    // And learns what a run on the folder learns, to the byte.
    desk.run(&format!(
        "train --data data --run local {}",
        TINY.replace("cache=cache", "cache=own")
    ))
    .ok();
    assert!(newest_weights(&desk, "pulled") == newest_weights(&desk, "local"));
}

#[test]
#[cfg(feature = "train")]
fn a_pulled_cache_with_the_listing_of_its_data_trains_without_them() {
    use crate::cli::harness::TINY;
    let (desk, server) = desk_and_server();
    desk.run("ingest --data data --cache cache").ok();
    let pushed = run(&desk, &server, "cache push s3://lab/cases --cache cache --data data --json");
    assert_eq!(pushed.ok().json()["listings"], serde_json::json!(["listings/data.listing"]));
    desk.run(&format!("train --data data --run run {TINY}")).ok();

    let elsewhere = Desk::new();
    let pulled = run(&elsewhere, &server, "cache pull s3://lab/cases --cache cache --json");
    let listing = "cache/listings/data.listing";
    assert_eq!(pulled.ok().json()["listings"], serde_json::json!([listing]));
    elsewhere.run(&format!("train --data {listing} --run run {TINY}")).ok();
    assert!(newest_weights(&elsewhere, "run") == newest_weights(&desk, "run"));
    let found = elsewhere.run(&format!("inspect {listing} --json")).ok().json();
    assert_eq!(found["cases"].as_array().unwrap().len(), CASES.len());
    // Without its case file a case is only a name.
    let lost = elsewhere.run(&format!("ingest --data {listing} --cache empty")).exits(3);
    for words in ["is only listed here", "gliaflow cache pull"] {
        assert!(lost.stdout.contains(words), "{}", lost.stdout);
    }
}
