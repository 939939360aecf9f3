//! Keys as other tools make them: with signs that a URL escapes, with marks of folders, and some that no path has.

use crate::cli::object_storage::{CASES, assert_same_cases, desk_and_server, ingest, run};

#[test]
fn keys_with_signs_that_urls_escape_and_marks_of_folders_are_a_folder_as_any() {
    let (desk, server) = desk_and_server();
    let prefix = "lab/MICCAI+2020&co/ü%20#1";
    server.put_folder(&desk.path("data"), prefix);
    for mark in ["", "/empty", &format!("/{}", CASES[0])] {
        server.put(&format!("{prefix}{mark}/"), Vec::new());
    }
    let line = format!("--data s3://{prefix} --cache from-bucket");
    assert_eq!(ingest(&desk, &server, &line), [3, 0]);
    desk.run("ingest --data data --cache from-disk").ok();
    assert_same_cases(&desk, "from-disk", "from-bucket");
}

#[test]
fn a_key_that_no_path_can_be_is_named_with_its_way_out() {
    let (desk, server) = desk_and_server();
    server.put("lab/data/a//b.txt", b"text".to_vec());
    let refused = run(&desk, &server, "ingest --data s3://lab/data --cache cache").exits(3);
    refused.complains_of(&["s3://lab/data: ", "data/a//b.txt", "rename that object"]);
}
