//! Data that are only listed where their cases were pulled to.

use crate::cli::harness::Desk;
use crate::cli::object_storage::{case_files, desk_and_server, ingest, run};

#[test]
fn a_pulled_cache_with_its_listing_needs_no_data_whoever_pushed_its_cases_first() {
    let (desk, server) = desk_and_server();
    // The cases lie there already, and were built from the bucket.
    assert_eq!(ingest(&desk, &server, "--data s3://lab/data --cache first"), [3, 0]);
    run(&desk, &server, "cache push s3://lab/cases --cache first").ok();
    desk.run("ingest --data data --cache cache").ok();
    let push = "cache push s3://lab/cases --cache cache --data data --json";
    let pushed = run(&desk, &server, push).ok().json();
    assert_eq!([&pushed["copied"], &pushed["present"]], [0, 3]);
    assert_eq!(pushed["listings"], serde_json::json!(["listings/data.listing"]));

    let elsewhere = Desk::new();
    let pull = "cache pull s3://lab/cases --cache cache --json";
    assert_eq!(run(&elsewhere, &server, pull).ok().json()["copied"], 3);
    assert!(case_files(&elsewhere, "cache") == case_files(&desk, "first"));
    drop(desk);
    let line = "ingest --data cache/listings/data.listing --cache cache --json";
    let found = elsewhere.run(line).ok().json();
    assert_eq!([&found["published"], &found["current"]], [0, 3], "{found}");
    // What is known is written down once.
    let places = elsewhere.text("cache/places.jsonl");
    run(&elsewhere, &server, pull).ok();
    assert_eq!((places.lines().count(), elsewhere.text("cache/places.jsonl")), (3, places));
}
