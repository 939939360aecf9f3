//! Tests of the drawing: recorded snapshots on an in-memory terminal.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::draw::{draw_frame, plain_text};
use super::history::TrainingHistory;
use super::rates::SnapshotWindow;
use super::snapshot::EndpointSnapshot;
use super::test_recordings::{self, METRICS};
use super::view::RunView;

/// View of the recorded run with this bottleneck.
fn recorded_view(bottleneck: &str) -> RunView {
    let mut history = TrainingHistory::default();
    for step in 1..5000u32 {
        history.add_loss(u64::from(step), 1.5 / f64::from(step).sqrt());
    }
    history.add_dice(["ET", "TC", "WT"].map(|region| (region.to_owned(), 0.1)).to_vec());
    let [first, second] = test_recordings::recorded_topologies(bottleneck);
    let at = |seconds, metrics, topologies| EndpointSnapshot {
        topologies,
        ..test_recordings::test_snapshot(seconds, metrics)
    };
    let mut window = SnapshotWindow::new(at(0.0, METRICS[0], first));
    window.add_snapshot(at(5.0, METRICS[1], second));
    history.add_scrape(&window.newest().scrape);
    RunView::of_window(&window, &history, "127.0.0.1:9184")
}

fn test_terminal(width: u16, height: u16) -> Terminal<TestBackend> {
    Terminal::new(TestBackend::new(width, height)).unwrap()
}

/// The rows of a terminal.
fn terminal_rows(terminal: &Terminal<TestBackend>) -> Vec<String> {
    let buffer = terminal.backend().buffer();
    let width = usize::from(buffer.area.width);
    let symbols: Vec<&str> = buffer.content.iter().map(|cell| cell.symbol()).collect();
    symbols.chunks(width).map(|row| row.concat().trim_end().to_owned()).collect()
}

fn shown_rows(view: &RunView, width: u16, height: u16) -> Vec<String> {
    let mut terminal = test_terminal(width, height);
    terminal.draw(|frame| draw_frame(frame, view)).unwrap();
    terminal_rows(&terminal)
}

/// The one row that starts with `start`.
#[track_caller]
fn row_starting_with<'a>(rows: &'a [String], start: &str) -> &'a str {
    let found: Vec<&String> = rows.iter().filter(|row| row.starts_with(start)).collect();
    let [row] = found[..] else { panic!("{start}: {found:?} of\n{}", rows.join("\n")) };
    row
}

#[test]
fn a_frame_shows_the_run_its_learning_its_line_and_its_card() {
    let rows = shown_rows(&recorded_view("trainer"), 110, 40);
    for (start, parts) in [
        ("run  [training]", &["unet on cpu (flex), version 0.1.0", "127.0.0.1:9184"][..]),
        ("epoch 94 of 100000", &["step 5642", "15 d 10 h left", "samples/s", "trainer starved"]),
        ("loss     0.4709", &["█", "▁"]),
        ("Dice ET  0.6482", &["▁█"]),
        ("Dice WT  0.8246", &["▁█"]),
        ("stages, last 5 s:", &["█ busy", "▒ waits for input", "░ waits for room"]),
        ("augment x2", &["▒▒▒▒", "100 %", "0 of 10 queued"]),
        ("plan    x1", &["░░░░"]),
        ("trainer x1", &["████", "2 of 2 queued"]),
        ("gpu 0", &["94 % busy", "36.0 GiB of 79.6 GiB", "413 W", "58 °C"]),
        ("q leaves", &["the run goes on"]),
    ] {
        let row = row_starting_with(&rows, start);
        parts.iter().for_each(|part| assert!(row.contains(part), "{part}: {row}"));
    }
    assert!(rows.iter().all(|row| !row.contains("decode")), "ingest has ended: {rows:#?}");
}

#[test]
fn with_a_slow_trainer_the_frame_names_it_and_with_a_slow_stage_the_stage() {
    for (guilty, innocent) in [("trainer", "augment"), ("augment", "trainer")] {
        let rows = shown_rows(&recorded_view(guilty), 110, 40);
        let verdict = format!("held back by {guilty}:");
        assert!(row_starting_with(&rows, "held back by").starts_with(&verdict), "{rows:#?}");
        // Its bar is full of work, and the other's is not.
        let bar = |name: &str| row_starting_with(&rows, &format!("{name} x")).matches('█').count();
        assert!(bar(guilty) > 40 && bar(innocent) < 20, "{rows:#?}");
    }
    let waiting = shown_rows(&recorded_view("augment"), 110, 40).join("\n");
    assert!(waiting.contains("loader.workers.augment = 2"), "{waiting}");
}

#[test]
fn marks_have_the_colour_of_their_clock() {
    let mut terminal = test_terminal(110, 40);
    terminal.draw(|frame| draw_frame(frame, &recorded_view("trainer"))).unwrap();
    let buffer = terminal.backend().buffer();
    for cells in buffer.content.chunks(110) {
        let row: String = cells.iter().map(|cell| cell.symbol()).collect();
        // Only the trainer's waiting is an alarm.
        let waits = if row.starts_with("trainer") { Color::Yellow } else { Color::Gray };
        for (mark, color) in [("█", Color::Green), ("▒", waits), ("░", Color::DarkGray)] {
            let all = cells.iter().filter(|cell| cell.symbol() == mark);
            // A sparkline has the full mark as well; above the bars a legend names each.
            let odd = all.filter(|cell| cell.fg != color && cell.fg != Color::Cyan).count();
            assert_eq!(odd, 0, "{mark} in {row}");
        }
    }
    for (mark, color) in [("█", Color::Green), ("▒", Color::Gray), ("░", Color::DarkGray)] {
        assert!(buffer.content.iter().any(|cell| cell.symbol() == mark && cell.fg == color));
    }
}

#[test]
fn a_small_terminal_shows_what_matters_most_and_none_is_too_small() {
    let view = recorded_view("augment");
    for width in 1..130 {
        for height in 1..40 {
            let rows = shown_rows(&view, width, height);
            assert!(width < 15 || rows[0].starts_with("run  [training]"), "{width}x{height}");
        }
    }
    let rows = shown_rows(&view, 80, 12);
    row_starting_with(&rows, "held back by augment");
    row_starting_with(&rows, "augment");
    row_starting_with(&rows, "trainer");
    assert!(rows.iter().all(|row| !row.starts_with("gpu") && !row.starts_with("q ")), "{rows:#?}");
    let narrow = shown_rows(&view, 40, 30);
    assert!(row_starting_with(&narrow, "augment").contains("██"), "{narrow:#?}");
}

#[test]
fn the_frame_follows_the_terminal_when_it_is_resized() {
    let view = recorded_view("trainer");
    let mut terminal = test_terminal(60, 12);
    terminal.draw(|frame| draw_frame(frame, &view)).unwrap();
    terminal.backend_mut().resize(120, 40);
    terminal.draw(|frame| draw_frame(frame, &view)).unwrap();
    let grown = terminal_rows(&terminal);
    assert_eq!(grown, shown_rows(&view, 120, 40));
    row_starting_with(&grown, "gpu 0");
}

#[test]
fn as_plain_text_it_is_the_same_without_help_and_without_codes() {
    let view = recorded_view("augment");
    let text = plain_text(&view, 110);
    assert!(!text.contains('\u{1b}') && !text.contains("q leaves"), "{text}");
    let on_terminal = shown_rows(&view, 110, 60);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..], on_terminal[..lines.len()], "{text}");
}

#[test]
fn a_run_of_which_little_is_known_shows_that_little() {
    let view = RunView::of_window(
        &SnapshotWindow::new(test_recordings::test_snapshot(
            0.0,
            "loader_batches_total{run=\"new\"} 0\n",
        )),
        &TrainingHistory::default(),
        "127.0.0.1:9184",
    );
    assert_eq!(plain_text(&view, 80), "new  [running]  127.0.0.1:9184");
    let silent = RunView { notice: Some("no answer for 9 s".into()), ..view };
    assert_eq!(shown_rows(&silent, 80, 2)[1], "no answer for 9 s");
}
