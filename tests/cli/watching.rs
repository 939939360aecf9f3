//! `top`: a process watched by another one, as over a shell.

use crate::cli::harness::Desk;
use crate::metrics::{series, value};

const SERVED: &str = "--metrics-addr 127.0.0.1:0";
const ENDLESS: &str = "--data data --cache cache --patch 16 --memory-mib 64 --batches 100000000";

#[test]
fn a_loader_under_way_is_shown_with_its_stages_and_what_holds_it_back() {
    let desk = Desk::with_cohort(3);
    let mut drain = desk.start(&format!("drain {ENDLESS} --step-ms 20 {SERVED}"));
    drain.scrape_until("a second in which the loader waited", |scrape| {
        let waited = series(scrape, "loader_stage_blocked_seconds_total");
        waited.into_iter().any(|line| line.contains("collate") && value(line) > 1.0)
    });
    let address = drain.address();
    let text = desk.run(&format!("top {address} --once --interval 0.3")).ok().stdout;
    assert!(text.starts_with("drain  [running]"), "{text}");
    assert!(text.contains("held back by trainer: the loader waits for the trainer"), "{text}");
    for stage in ["plan", "fetch", "crop", "augment", "collate", "trainer"] {
        let row = text.lines().find(|line| line.starts_with(&format!("{stage} ")));
        assert!(row.is_some_and(|row| row.contains(" x") && row.contains('%')), "{stage}: {text}");
    }
    assert!(text.contains("of 2 queued") && text.contains("samples/s"), "{text}");
    assert!(!text.contains('\u{1b}'), "a pipe gets no codes: {text}");

    let seen = desk.run(&format!("top http://{address}/metrics --interval 0.3 --json")).ok().json();
    assert_eq!(seen["verdicts"][0][0], "trainer");
    assert!(seen["progress"]["items_per_second"].as_f64().unwrap() > 0.0, "{seen}");
    let row = &seen["stages"].as_array().unwrap()[5];
    let shares = row["shares"].as_array().unwrap();
    let busy = shares[0].as_f64().unwrap();
    assert!(row["name"] == "trainer" && busy > 0.5, "{row}");
    let all: f64 = shares.iter().map(|share| share.as_f64().unwrap()).sum();
    assert!((all - 1.0).abs() < 1e-6, "{row}");
    drain.signal("INT");
    drain.wait();
}

#[test]
fn what_cannot_be_watched_is_refused_with_the_way_out() {
    let desk = Desk::new();
    desk.run("top runs/nothing --once").exits(2).complains_of(&["runs/nothing", "no address"]);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = desk.run(&format!("top {closed} --once")).exits(1);
    refused.complains_of(&[&format!("http://{closed}"), "refused", "--metrics-addr"]);
    desk.run(&format!("top {closed}")).exits(2).complains_of(&["no terminal", "--once"]);
    desk.run(&format!("top {closed} --once --interval 0")).exits(2).complains_of(&["--interval"]);
    std::fs::create_dir(desk.path("empty")).unwrap();
    desk.run("top empty --once").exits(2).complains_of(&["empty", "endpoint.json"]);
}

#[cfg(feature = "train")]
#[test]
fn a_run_is_found_by_its_folder_while_it_goes_on_and_its_end_is_told_when_it_is_over() {
    use crate::cli::harness::TINY;

    let desk = Desk::with_cohort(5);
    let endless = "--set train.epochs=1000000 --set train.validation.every_epochs=0";
    let line = format!("train {TINY} {endless} --data data --run run {SERVED}");
    let mut train = desk.start(&line);
    train.scrape_until("ten steps", |scrape| scrape.contains("train_eta_seconds{"));
    let live = desk.run("top run --once --interval 0.3").ok().stdout;
    assert!(live.starts_with("run  [training]  unet on cpu"), "{live}");
    assert!(live.contains("of 1000000") && live.contains("of 2000000"), "{live}");
    assert!(live.contains("loss ") && live.contains("augment "), "{live}");
    train.signal("INT");
    train.wait().exits(75);
    let over = desk.run("top run --once").ok().stdout;
    assert!(over.starts_with("run  [stopped]  from events.jsonl"), "{over}");
    assert!(over.contains("of 2000000") && over.contains("loss "), "{over}");
}
