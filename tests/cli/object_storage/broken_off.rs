//! Reads and copies that end in the midst: what was read of them is never published.

use crate::cli::object_storage::server::{Fault, Server};
use crate::cli::object_storage::{
    CASES, assert_same_cases, case_files, desk_and_server, ingest, left_over, run, run_with,
};

#[test]
fn images_that_break_off_for_good_leave_their_cases_out_and_the_next_ingest_takes_them() {
    let (desk, server) = desk_and_server();
    let [refused, busy, whole] = CASES;
    server.fail(move |method, key, before| match (method, before) {
        ("GET", 0) if key.ends_with(&format!("{refused}_t1.nii.gz")) => Some(Fault::CutAfter(1000)),
        ("GET", _) if key.ends_with(&format!("{refused}_t1.nii.gz")) => Some(Fault::Refused),
        ("GET", 0) if key.ends_with(&format!("{busy}_seg.nii.gz")) => Some(Fault::CutAfter(100)),
        ("GET", _) if key.ends_with(&format!("{busy}_seg.nii.gz")) => Some(Fault::Busy),
        _ => None,
    });
    let done =
        run(&desk, &server, "ingest --data s3://lab/data --cache cache --json").exits(3).json();
    let mut problems: Vec<&str> =
        done["problems"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    problems.sort_unstable();
    assert_eq!((&done["published"], problems.len()), (&1.into(), 2), "{done}");
    for (problem, case, said) in
        [(problems[0], refused, "AccessDenied"), (problems[1], busy, "SlowDown")]
    {
        assert!(problem.starts_with(&format!("case {case}: s3://lab/data/{case}/")), "{problem}");
        assert!(problem.contains(said), "{problem}");
    }
    let published: Vec<String> = case_files(&desk, "cache").into_keys().collect();
    assert!(published.len() == 1 && published[0].contains(whole), "{published:?}");
    assert!(left_over(&desk, "cache").is_empty());

    server.recover();
    assert_eq!(ingest(&desk, &server, "--data s3://lab/data --cache cache"), [2, 1]);
    desk.run("ingest --data data --cache from-disk").ok();
    assert_same_cases(&desk, "from-disk", "cache");
}

#[test]
fn a_listing_that_breaks_off_is_taken_anew_and_one_that_breaks_off_for_good_is_no_dataset() {
    let (desk, server) = desk_and_server();
    server.fail(|method, _, before| {
        (method == "LIST" && before % 2 == 1).then_some(Fault::CutAfter(300))
    });
    let line = "ingest --data s3://lab/data --cache none";
    let broken = run(&desk, &server, line).exits(3);
    broken.complains_of(&["s3://lab/data: the server does not deliver", "start again"]);
    assert!(!desk.path("none").exists());

    server
        .fail(|method, _, before| (method == "LIST" && before < 2).then_some(Fault::CutAfter(300)));
    assert_eq!(ingest(&desk, &server, "--data s3://lab/data --cache cache"), [3, 0]);
    desk.run("ingest --data data --cache from-disk").ok();
    assert_same_cases(&desk, "from-disk", "cache");
}

/// Puts the cases of a desk under `s3://lab/cases`; returns the names of their objects.
fn push_cases(desk: &crate::cli::harness::Desk, server: &Server) -> Vec<String> {
    desk.run("ingest --data data --cache cache").ok();
    run(desk, server, "cache push s3://lab/cases --cache cache").ok();
    server.names("lab/cases/")
}

/// Holds a cache that was pulled in part against the whole: its files are those of `cache`, as many as `wanted`.
fn assert_part_of_cache(desk: &crate::cli::harness::Desk, pulled: &str, wanted: usize) {
    let [whole, part] = ["cache", pulled].map(|cache| case_files(desk, cache));
    assert_eq!(part.len(), wanted);
    assert!(part.iter().all(|(name, file)| whole[name] == *file));
}

#[test]
fn a_pull_whose_object_breaks_off_for_good_publishes_only_whole_files_and_goes_on_later() {
    let (desk, server) = desk_and_server();
    let names = push_cases(&desk, &server);
    let broken = names[0].clone();
    server.fail(move |method, key, before| match (method, before) {
        ("GET", 0) if key == broken => Some(Fault::CutAfter(10_000)),
        ("GET", _) if key == broken => Some(Fault::Refused),
        _ => None,
    });
    let pull = "cache pull s3://lab/cases --cache pulled";
    run(&desk, &server, pull).exits(1).complains_of(&["AccessDenied", "AWS_ACCESS_KEY_ID"]);
    assert!(left_over(&desk, "pulled").is_empty());
    assert!(case_files(&desk, "pulled").keys().all(|name| !name.contains(CASES[0])));

    server.recover();
    run(&desk, &server, pull).ok();
    assert_part_of_cache(&desk, "pulled", 3);
}

#[test]
fn a_pull_that_is_killed_in_the_midst_of_an_object_has_published_none_of_it_and_goes_on() {
    let (desk, server) = desk_and_server();
    let names = push_cases(&desk, &server);
    let stalled = names[2].clone();
    server.fail(move |method, key, _| {
        (method == "GET" && key == stalled).then_some(Fault::Stall(10_000))
    });
    let variables = server.good_variables();
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut pull = desk.start_with("cache pull s3://lab/cases --cache pulled", &variables);
    pull.wait_for("two whole files, and the beginning of a third", || {
        let is_there = desk.path("pulled").is_dir() && case_files(&desk, "pulled").len() == 2;
        let lengths = || {
            let names = left_over(&desk, "pulled").into_iter();
            names.map(|name| {
                desk.path(&format!("pulled/tmp/{name}")).metadata().map_or(0, |file| file.len())
            })
        };
        (is_there && lengths().any(|length| length > 0)).then_some(())
    });
    pull.signal("KILL");
    pull.wait().was_killed();
    assert_part_of_cache(&desk, "pulled", 2);

    server.recover();
    let again = run(&desk, &server, "cache pull s3://lab/cases --cache pulled --json").ok().json();
    assert_eq!([&again["copied"], &again["present"]], [1, 2]);
    assert_part_of_cache(&desk, "pulled", 3);
    desk.run("cache gc --cache pulled").ok();
    assert!(left_over(&desk, "pulled").is_empty());
    desk.run("cache verify --cache pulled").ok();
}

#[test]
fn keys_that_are_let_in_no_more_end_an_ingest_case_by_case_and_publish_nothing() {
    let (desk, server) = desk_and_server();
    // The listing is let through, as with a token that ends between the two.
    server.fail(|method, _, _| (method == "GET").then_some(Fault::Refused));
    let done = run_with(
        &desk,
        "ingest --data s3://lab/data --cache cache --json",
        &server.good_variables(),
    );
    let done = done.exits(3).json();
    assert_eq!(done["published"], 0);
    assert_eq!(done["problems"].as_array().unwrap().len(), CASES.len());
    assert!(!desk.path("cache").exists() || case_files(&desk, "cache").is_empty());
}
