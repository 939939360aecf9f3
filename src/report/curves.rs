//! The charts of a run: loss, Dice, HD95, learning rate, starvation and epoch time.

use crate::base::{format_duration, format_percent, format_thousands};
use crate::eval::{Measures, Summary};
use crate::report::axis::ChartAxis;
use crate::report::chart::{Chart, ChartLine, FAINT};
use crate::report::run_record::RunRecord;
use crate::run_folder::{EpochEvent, StepRecord, Timestamped, ValidationEvent};

/// Most points of a line: more could not be distinguished.
const POINTS: usize = 300;

/// Width and height of a chart, in px of its font size.
pub(super) const CHART: [f64; 2] = [460.0, 230.0];

/// The charts, in the order of the page.
pub(super) fn run_charts(record: &RunRecord) -> Vec<Chart> {
    let clock = TimeAxis::for_run(record);
    vec![
        loss_chart(record, &clock),
        dice_chart(record, &clock),
        hd95_chart(record, &clock),
        learning_rate_chart(record, &clock),
        starvation_chart(record, &clock),
        epoch_time_chart(record, &clock),
    ]
}

/// The x axis: epochs if the steps per epoch are known, else steps.
struct TimeAxis {
    steps_per_unit: f64,
    axis: ChartAxis,
    unit: &'static str,
    marks: Vec<f64>,
}

impl TimeAxis {
    fn for_run(record: &RunRecord) -> Self {
        let log = &record.event_log;
        let (steps_per_unit, unit) =
            record.steps_per_epoch().map_or((1.0, "by step"), |steps| (steps, "by epoch"));
        let last = log.last_step() as f64 / steps_per_unit;
        let axis = ChartAxis::exactly(0.0, if last > 0.0 { last } else { 1.0 });
        let axis = if last < 1.0 { axis } else { axis.of_counts() };
        let marks = log.resumed.iter().map(|at| at.event.step as f64 / steps_per_unit).collect();
        Self { steps_per_unit, axis, unit, marks }
    }

    fn step_position(&self, step: u64) -> f64 {
        step as f64 / self.steps_per_unit
    }

    /// Position after `epochs` epochs; NaN on an axis of steps.
    fn epoch_position(&self, epochs: u64) -> f64 {
        if self.unit == "by epoch" { epochs as f64 } else { f64::NAN }
    }

    fn new_chart(
        &self,
        title: &'static str,
        lines: Vec<ChartLine>,
        y: ChartAxis,
        without: &'static str,
    ) -> Chart {
        Chart {
            title: title.to_owned(),
            unit: self.unit,
            lines,
            x: self.axis.clone(),
            y,
            marks: self.marks.clone(),
            without,
        }
    }
}

/// A line of the finite values, as means over at most [`POINTS`] intervals.
pub(super) fn averaged_line(
    class: &'static str,
    name: &str,
    points: impl Iterator<Item = (f64, Option<f64>)>,
) -> ChartLine {
    let there = points.filter_map(|(x, y)| y.map(|y| [x, y]));
    let all: Vec<[f64; 2]> =
        there.filter(|point| point.iter().all(|part| part.is_finite())).collect();
    let stretch = all.len().div_ceil(POINTS).max(1);
    let mean = |part: &[[f64; 2]]| {
        let sum = |axis: usize| part.iter().map(|point| point[axis]).sum::<f64>();
        [sum(0) / part.len() as f64, sum(1) / part.len() as f64]
    };
    let points = all.chunks(stretch).map(mean).collect();
    ChartLine { class, name: name.to_owned(), points }
}

/// Adds the last value to the legend entry.
pub(super) fn with_last(line: ChartLine, decimals: usize) -> ChartLine {
    let last = line.last_value().map(|value| format!(" {value:.decimals$}"));
    ChartLine { name: line.name.clone() + &last.unwrap_or_default(), ..line }
}

/// Least and largest value of all lines, 0 included if `zero`.
pub(super) fn value_range(lines: &[ChartLine], zero: bool) -> [f64; 2] {
    let values = || lines.iter().flat_map(|line| &line.points).map(|point| point[1]);
    let low = values().fold(f64::MAX, f64::min);
    let high = values().fold(f64::MIN, f64::max);
    match (low > high, zero) {
        (true, _) => [0.0, 1.0],
        (false, true) => [low.min(0.0), high],
        (false, false) => [low, high],
    }
}

fn loss_chart(record: &RunRecord, clock: &TimeAxis) -> Chart {
    let log = &record.event_log;
    let steps = |value: fn(&StepRecord) -> f64| {
        log.steps.iter().map(move |at| (clock.step_position(at.event.step), Some(value(&at.event))))
    };
    let total = if log.epochs.is_empty() {
        averaged_line("total", "total", steps(|step| step.loss))
    } else {
        averaged_line(
            "total",
            "total",
            log.epochs.iter().map(|at: &Timestamped<EpochEvent>| {
                (clock.epoch_position(at.event.epoch + 1), at.event.loss)
            }),
        )
    };
    let mut lines = vec![
        averaged_line(FAINT, "", steps(|step| step.loss)),
        with_last(averaged_line("tc", "Dice", steps(|step| step.dice_loss)), 3),
        with_last(averaged_line("et", "BCE", steps(|step| step.bce)), 3),
        with_last(total, 3),
    ];
    if log.steps.iter().any(|at| !at.event.aux_losses.is_empty()) {
        let penalty = |step: &StepRecord| step.aux_losses.values().sum();
        lines.insert(3, with_last(averaged_line("other", "own terms", steps(penalty)), 3));
    }
    let validated =
        log.validations.iter().map(|at| (clock.step_position(at.event.step), at.event.loss));
    let validated = with_last(averaged_line("wt", "validation", validated), 3);
    if !validated.points.is_empty() {
        lines.push(validated);
    }
    let [low, high] = value_range(&lines, true);
    clock.new_chart(
        "Training loss",
        lines,
        ChartAxis::around(low, high),
        "no step has been taken yet",
    )
}

/// Lines of the validations, one per region; of the final scores if the run had no validation.
fn lines_by_region(
    record: &RunRecord,
    clock: &TimeAxis,
    validated: fn(&ValidationEvent, &str) -> Option<f64>,
    scored: fn(&Measures<Summary>) -> f64,
    decimals: usize,
) -> Vec<ChartLine> {
    let validations = &record.event_log.validations;
    let last = clock.step_position(record.event_log.last_step());
    let region_line = |region: &String| {
        let [class, _] = record.classes_of(region);
        let along = validations
            .iter()
            .map(|at| (clock.epoch_position(at.event.epoch), validated(&at.event, region)));
        let scores = record.scores.as_ref();
        let summary = scores.and_then(|scores| scores.network.summary_by_region().get(region));
        let only = validations.is_empty().then(|| (last, summary.map(scored)));
        with_last(averaged_line(class, region, along.chain(only)), decimals)
    };
    record.regions.iter().map(region_line).collect()
}

/// Lines of training's soft Dice, one per region: the mean of each epoch, or of each step where the
/// steps of an epoch are not known.
fn soft_dice_lines(record: &RunRecord, clock: &TimeAxis) -> Vec<ChartLine> {
    let epoch =
        |at: &Timestamped<StepRecord>| clock.step_position(at.event.step.saturating_sub(1)).floor();
    let region_line = |region: &String| {
        let epochs = record.event_log.steps.chunk_by(|one, next| epoch(one) == epoch(next));
        let points = epochs.map(|steps| {
            let dice = steps.iter().filter_map(|at| at.event.soft_dice.get(region).copied());
            let dice: Vec<f64> = dice.filter(|value| value.is_finite()).collect();
            let end = steps.last().map_or(f64::NAN, |at| clock.step_position(at.event.step));
            (end, Some(dice.iter().sum::<f64>() / dice.len() as f64))
        });
        averaged_line(record.classes_of(region)[1], "", points)
    };
    record.regions.iter().map(region_line).collect()
}

fn dice_chart(record: &RunRecord, clock: &TimeAxis) -> Chart {
    let validated = |event: &ValidationEvent, region: &str| event.dice.get(region).copied();
    let mut lines = lines_by_region(record, clock, validated, |scored| scored.dice.mean, 3);
    let validations = &record.event_log.validations;
    let mean = validations
        .iter()
        .map(|at| (clock.epoch_position(at.event.epoch), Some(at.event.mean_dice)));
    if validations.len() > 1 {
        lines.push(with_last(averaged_line("total", "mean", mean), 3));
    }
    let trained = soft_dice_lines(record, clock);
    let title = match trained.iter().all(|line| line.points.is_empty()) {
        true => "Validation Dice",
        false => "Dice: validation, and soft in training (dashed)",
    };
    lines.extend(trained);
    let without = "nothing has been validated yet";
    clock.new_chart(title, lines, ChartAxis::around(0.0, 1.0), without)
}

fn hd95_chart(record: &RunRecord, clock: &TimeAxis) -> Chart {
    let validated = |event: &ValidationEvent, region: &str| event.hd95_mm.get(region).copied();
    let lines = lines_by_region(record, clock, validated, |scored| scored.hd95_mm.mean, 1);
    let [low, high] = value_range(&lines, true);
    let without = "nothing has been validated yet";
    clock.new_chart("Validation HD95, mm", lines, ChartAxis::around(low, high), without)
}

/// A chart of one line from 0 to at least `least`; its legend is the text of its last value.
fn one_line_chart(
    clock: &TimeAxis,
    title: &'static str,
    points: impl Iterator<Item = (f64, Option<f64>)>,
    last: fn(f64) -> String,
    (least, without): (f64, &'static str),
) -> Chart {
    let mut line = averaged_line("plain", "", points);
    line.name = line.last_value().map(last).unwrap_or_default();
    let [_, high] = value_range(std::slice::from_ref(&line), true);
    clock.new_chart(title, vec![line], ChartAxis::around(0.0, high.max(least)), without)
}

fn learning_rate_chart(record: &RunRecord, clock: &TimeAxis) -> Chart {
    let rates = record.event_log.steps.iter();
    let rates = rates.map(|at| (clock.step_position(at.event.step), Some(at.event.learning_rate)));
    let last = |rate| format!("now {rate:.2e}");
    one_line_chart(clock, "Learning rate", rates, last, (0.0, "no step has been taken yet"))
}

fn starvation_chart(record: &RunRecord, clock: &TimeAxis) -> Chart {
    let epochs = record.event_log.epochs.iter().map(|at| {
        let share = 100.0 * at.event.starved_seconds / at.event.seconds.max(f64::MIN_POSITIVE);
        (clock.epoch_position(at.event.epoch + 1), Some(share))
    });
    let last = |share: f64| format!("last {}", format_percent(share / 100.0));
    // A loader that keeps up must not look like one that does not, for want of a scale.
    let least = 5.0;
    let title = "Trainer waiting for data, %";
    one_line_chart(clock, title, epochs, last, (least, "no epoch has ended yet"))
}

fn epoch_time_chart(record: &RunRecord, clock: &TimeAxis) -> Chart {
    let epochs = record.event_log.epochs.iter();
    let epochs =
        epochs.map(|at| (clock.epoch_position(at.event.epoch + 1), Some(at.event.seconds)));
    let last = |seconds| format!("last {}", format_duration(seconds));
    one_line_chart(clock, "Time of an epoch, s", epochs, last, (0.0, "no epoch has ended yet"))
}

/// Steps done, of those planned.
pub(super) fn progress_text(record: &RunRecord) -> String {
    let done = format_thousands(record.event_log.last_step());
    match record.event_log.planned_steps() {
        Some(steps) => format!("{done} of {} steps", format_thousands(steps)),
        None => format!("{done} steps"),
    }
}

pub(super) fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
