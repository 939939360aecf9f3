//! What holds for every verb: help, exit codes, and which stream is for whom.

use crate::cli::harness::Desk;

const DATA_VERBS: [&str; 8] =
    ["phantom", "inspect", "ingest", "cache", "score", "dashboards", "top", "sequence"];
#[cfg(feature = "train")]
const NETWORK_VERBS: &[&str] = &[
    "demo",
    "train",
    "evaluate",
    "predict",
    "export",
    "config",
    "bench-step",
    "bench-convolution",
    "check-device",
];
#[cfg(not(feature = "train"))]
const NETWORK_VERBS: &[&str] = &[];

#[test]
fn every_verb_has_help_with_an_example_of_itself() {
    let desk = Desk::new();
    let overview = desk.run("--help").ok().stdout;
    for verb in DATA_VERBS.iter().chain(NETWORK_VERBS) {
        assert!(overview.contains(&format!("\n  {verb} ")), "{verb} is not in:\n{overview}");
        let help = desk.run(&format!("{verb} --help")).ok().stdout;
        let (_, examples) = help.split_once("Example").unwrap_or_else(|| panic!("{help}"));
        assert!(examples.contains(&format!("gliaflow {verb}")), "{help}");
    }
    for code in ["0 done", "1 the run", "2 usage", "3 bad data", "4 the device", "75 ", "130 "] {
        assert!(overview.contains(code), "{code}");
    }
}

#[test]
fn the_version_is_the_crates() {
    let version = Desk::new().run("--version").ok();
    assert_eq!(version.stdout, format!("gliaflow {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_line_that_cannot_be_understood_exits_with_2_and_shows_where_help_is() {
    let desk = Desk::new();
    for line in ["", "trian", "inspect", "inspect . --deeep", "cache", "phantom --cases 0 --out x"]
    {
        let outcome = desk.run(line).exits(2);
        assert!(outcome.stdout.is_empty(), "{line}: {}", outcome.stdout);
        assert!(outcome.stderr.contains("help"), "{line}: {}", outcome.stderr);
    }
}

#[test]
fn with_json_stdout_holds_one_document_and_everything_else_is_on_stderr() {
    let desk = Desk::with_cohort(2);
    let lines = ["inspect data", "ingest --data data", "cache verify", "cache list", "cache gc"];
    for line in lines {
        let outcome = desk.run(&format!("{line} --json --log debug")).ok();
        assert!(outcome.json().is_object(), "{line}");
    }
    let logged =
        desk.run("ingest --data data --cache other --json --metrics-addr 127.0.0.1:0").ok();
    assert!(logged.json().is_object());
    assert!(logged.stderr.contains("ingest: 2/2 cases"), "{}", logged.stderr);
    assert!(logged.stderr.contains("metrics: http://127.0.0.1:"), "{}", logged.stderr);
}

#[test]
fn with_json_a_failure_is_a_document_too() {
    let outcome = Desk::new().run("inspect nowhere.nii.gz --json").exits(3);
    let document = outcome.json();
    assert_eq!(document["exit_code"], 3);
    outcome.complains_of(&[document["error"].as_str().unwrap()]);
}

#[test]
fn without_json_results_are_text_on_stdout() {
    let desk = Desk::with_cohort(2);
    let found = desk.run("inspect data").ok();
    assert!(found.stdout.contains("2 cases (2 labelled), layout brats2020"), "{}", found.stdout);
    assert!(found.stderr.is_empty(), "{}", found.stderr);
}

#[test]
fn an_endpoint_that_is_off_says_nothing_and_a_port_in_use_gives_way_to_the_next() {
    let desk = Desk::new();
    let off = desk.run("phantom --out data --cases 1 --shape 24 --metrics-addr off").ok();
    assert!(!off.stderr.contains("metrics:"), "{}", off.stderr);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let line = format!("phantom --out data --cases 1 --shape 24 --metrics-addr 127.0.0.1:{port}");
    let mut process = desk.start(&line);
    let address = process.address();
    let stderr = process.wait().ok().stderr;
    assert_ne!(address.port(), port);
    assert!(stderr.contains(&format!("port {port} is in use")), "{stderr}");
    assert!(stderr.contains("--metrics-addr"), "{stderr}");
}
