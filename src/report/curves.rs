//! The charts of a run: loss, Dice, HD95, learning rate, starvation and epoch time, also as one
//! picture, `progress.png`, as nnU-Net has it.

use std::fmt::Write;
use std::sync::Arc;

use resvg::{tiny_skia, usvg};

use crate::base::error::Fault;
use crate::eval::cohort::Summary;
use crate::eval::score::Measures;
use crate::report::axis::Axis;
use crate::report::chart::{Chart, FAINT, Line};
use crate::report::event_log::{At, Epoch, Step, Validation};
use crate::report::picture::Picture;
use crate::report::run_record::Record;
use crate::report::text;
use crate::volume::region::Region;

/// Most points of a line: more could not be distinguished.
const POINTS: usize = 300;

/// Width and height of a chart, in px of its font size.
pub(super) const CHART: [f64; 2] = [460.0, 230.0];
/// Space around and between the charts of the picture.
const MARGIN: f64 = 18.0;
/// Height of the picture's heading.
const HEADING: f64 = 34.0;
const COLUMNS: usize = 2;
/// Pixels per px of the SVG.
const SCALE: f32 = 1.5;

/// Colours and font of the picture; the page has its own.
const STYLE: &str = "text{font-family:Roboto;font-size:12px;fill:#1b1d21}\
    .heading{font-size:17px}.title{font-size:14px}.unit,.tick,.without{fill:#5c6370}\
    .grid{stroke:#d9dbe0;stroke-width:1}.mark{stroke:#8a909c;stroke-width:1;stroke-dasharray:3 3}\
    .line{fill:none;stroke-width:1.8;stroke-linejoin:round}.dot{stroke:none}\
    .total,.plain{stroke:#1b1d21}.dot.total,.dot.plain{fill:#1b1d21}\
    .faint{stroke:#b9bdc6;stroke-width:1}\
    .et{stroke:#d55e00}.dot.et{fill:#d55e00}.tc{stroke:#0072b2}.dot.tc{fill:#0072b2}\
    .wt{stroke:#009e73}.dot.wt{fill:#009e73}.other{stroke:#aa4499}.dot.other{fill:#aa4499}";

/// Roboto, reduced to the letters of the charts: the machine may have no fonts.
const FONT: &[u8] = include_bytes!("fonts/Roboto-subset.ttf");

/// The charts, in the order of the page.
pub(super) fn charts(record: &Record) -> Vec<Chart> {
    let clock = Clock::of(record);
    vec![
        loss(record, &clock),
        dice(record, &clock),
        hd95(record, &clock),
        learning_rate(record, &clock),
        starved(record, &clock),
        epoch_time(record, &clock),
    ]
}

/// The x axis: epochs if the steps per epoch are known, else steps.
struct Clock {
    steps_per_unit: f64,
    axis: Axis,
    unit: &'static str,
    marks: Vec<f64>,
}

impl Clock {
    fn of(record: &Record) -> Self {
        let log = &record.story;
        let (steps_per_unit, unit) =
            record.steps_per_epoch().map_or((1.0, "by step"), |steps| (steps, "by epoch"));
        let last = log.last_step() as f64 / steps_per_unit;
        let axis = Axis::exactly(0.0, if last > 0.0 { last } else { 1.0 });
        let axis = if last < 1.0 { axis } else { axis.of_counts() };
        let marks = log.resumed.iter().map(|at| at.told.step as f64 / steps_per_unit).collect();
        Self { steps_per_unit, axis, unit, marks }
    }

    fn at(&self, step: u64) -> f64 {
        step as f64 / self.steps_per_unit
    }

    /// Position after `epochs` epochs; NaN on an axis of steps.
    fn after(&self, epochs: u64) -> f64 {
        if self.unit == "by epoch" { epochs as f64 } else { f64::NAN }
    }

    fn chart(
        &self,
        title: &'static str,
        lines: Vec<Line>,
        y: Axis,
        without: &'static str,
    ) -> Chart {
        Chart {
            title,
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
fn line(class: &'static str, name: &str, points: impl Iterator<Item = (f64, Option<f64>)>) -> Line {
    let there = points.filter_map(|(x, y)| y.map(|y| [x, y]));
    let all: Vec<[f64; 2]> =
        there.filter(|point| point.iter().all(|part| part.is_finite())).collect();
    let stretch = all.len().div_ceil(POINTS).max(1);
    let mean = |part: &[[f64; 2]]| {
        let sum = |axis: usize| part.iter().map(|point| point[axis]).sum::<f64>();
        [sum(0) / part.len() as f64, sum(1) / part.len() as f64]
    };
    let points = all.chunks(stretch).map(mean).collect();
    Line { class, name: name.to_owned(), points }
}

/// Adds the last value to the legend entry.
fn with_last(line: Line, decimals: usize) -> Line {
    let last = line.last().map(|value| format!(" {value:.decimals$}"));
    Line { name: line.name.clone() + &last.unwrap_or_default(), ..line }
}

/// Least and largest value of all lines, 0 included if `zero`.
fn range(lines: &[Line], zero: bool) -> [f64; 2] {
    let values = || lines.iter().flat_map(|line| &line.points).map(|point| point[1]);
    let low = values().fold(f64::MAX, f64::min);
    let high = values().fold(f64::MIN, f64::max);
    match (low > high, zero) {
        (true, _) => [0.0, 1.0],
        (false, true) => [low.min(0.0), high],
        (false, false) => [low, high],
    }
}

fn loss(record: &Record, clock: &Clock) -> Chart {
    let log = &record.story;
    let steps = |value: fn(&Step) -> Option<f64>| {
        log.steps.iter().map(move |at| (clock.at(at.told.step), value(&at.told)))
    };
    let total = if log.epochs.is_empty() {
        line("total", "total", steps(|step| step.loss))
    } else {
        let epoch = |at: &At<Epoch>| (clock.after(at.told.epoch + 1), at.told.loss);
        line("total", "total", log.epochs.iter().map(epoch))
    };
    let mut lines = vec![
        line(FAINT, "", steps(|step| step.loss)),
        with_last(line("tc", "Dice", steps(|step| step.dice_loss)), 3),
        with_last(line("et", "BCE", steps(|step| step.bce)), 3),
        with_last(total, 3),
    ];
    if log.steps.iter().any(|at| !at.told.penalties.is_empty()) {
        let penalty = |step: &Step| {
            let parts: Option<Vec<f64>> = step.penalties.values().copied().collect();
            parts.map(|parts| parts.iter().sum())
        };
        lines.insert(3, with_last(line("other", "own terms", steps(penalty)), 3));
    }
    let [low, high] = range(&lines, true);
    clock.chart("Training loss", lines, Axis::around(low, high), "no step has been taken yet")
}

/// Lines of the validations, one per region; of the final scores if the run had no validation.
fn by_region(
    record: &Record,
    clock: &Clock,
    validated: fn(&Validation, &str) -> Option<f64>,
    scored: fn(&Measures<Summary>) -> f64,
    decimals: usize,
) -> Vec<Line> {
    let validations = &record.story.validations;
    let last = clock.at(record.story.last_step());
    let region_line = |region: Region| {
        let class = ["et", "tc", "wt"][region.index()];
        let along = validations
            .iter()
            .map(|at| (clock.after(at.told.epoch), validated(&at.told, region.name())));
        let scores = record.scores.as_ref();
        let only = validations
            .is_empty()
            .then(|| (last, scores.map(|scores| scored(scores.cohort.summary(region)))));
        with_last(line(class, region.name(), along.chain(only)), decimals)
    };
    Region::ALL.map(region_line).into()
}

fn dice(record: &Record, clock: &Clock) -> Chart {
    let validated = |event: &Validation, region: &str| event.dice.get(region).copied();
    let mut lines = by_region(record, clock, validated, |scored| scored.dice.mean, 3);
    let validations = &record.story.validations;
    let mean = validations.iter().map(|at| (clock.after(at.told.epoch), Some(at.told.mean_dice)));
    if validations.len() > 1 {
        lines.push(with_last(line("total", "mean", mean), 3));
    }
    let without = "nothing has been validated yet";
    clock.chart("Validation Dice", lines, Axis::around(0.0, 1.0), without)
}

fn hd95(record: &Record, clock: &Clock) -> Chart {
    let validated = |event: &Validation, region: &str| event.hd95_mm.get(region).copied();
    let lines = by_region(record, clock, validated, |scored| scored.hd95_mm.mean, 1);
    let [low, high] = range(&lines, true);
    let without = "nothing has been validated yet";
    clock.chart("Validation HD95, mm", lines, Axis::around(low, high), without)
}

fn learning_rate(record: &Record, clock: &Clock) -> Chart {
    let rates = record.story.steps.iter();
    let rates = rates.map(|at| (clock.at(at.told.step), Some(at.told.learning_rate)));
    let mut rate = line("plain", "", rates);
    rate.name = rate.last().map(|last| format!("now {last:.2e}")).unwrap_or_default();
    let [low, high] = range(std::slice::from_ref(&rate), true);
    let without = "no step has been taken yet";
    clock.chart("Learning rate", vec![rate], Axis::around(low, high), without)
}

fn starved(record: &Record, clock: &Clock) -> Chart {
    let epochs = record.story.epochs.iter().map(|at| {
        let share = 100.0 * at.told.starved_seconds / at.told.seconds.max(f64::MIN_POSITIVE);
        (clock.after(at.told.epoch + 1), Some(share))
    });
    let mut share = line("plain", "", epochs);
    share.name = share.last().map(|last| format!("last {last:.1} %")).unwrap_or_default();
    let [_, high] = range(std::slice::from_ref(&share), true);
    // A loader that keeps up must not look like one that does not, for want of a scale.
    let y = Axis::around(0.0, high.max(5.0));
    clock.chart("Trainer waiting for data, %", vec![share], y, "no epoch has ended yet")
}

fn epoch_time(record: &Record, clock: &Clock) -> Chart {
    let epochs = record.story.epochs.iter();
    let epochs = epochs.map(|at| (clock.after(at.told.epoch + 1), Some(at.told.seconds)));
    let mut seconds = line("plain", "", epochs);
    let last = seconds.last().map(|last| format!("last {}", text::duration(last)));
    seconds.name = last.unwrap_or_default();
    let [_, high] = range(std::slice::from_ref(&seconds), true);
    let y = Axis::around(0.0, high);
    clock.chart("Time of an epoch, s", vec![seconds], y, "no epoch has ended yet")
}

/// All charts as one picture, with the run's name.
///
/// # Errors
/// If the drawing library refuses its input.
pub(super) fn png(record: &Record) -> Result<Vec<u8>, Fault> {
    let charts = charts(record);
    let rows = charts.len().div_ceil(COLUMNS);
    let [width, height] = CHART;
    let all = [
        COLUMNS as f64 * (width + MARGIN) + MARGIN,
        rows as f64 * (height + MARGIN) + HEADING + MARGIN,
    ];
    let heading = escaped(&format!("{}  {}", record.name, where_it_stands(record)));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\"><style>{STYLE}</style>\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\
         <text class=\"heading\" x=\"{}\" y=\"28\">{heading}</text>",
        all[0],
        all[1],
        MARGIN + 46.0
    );
    for (number, chart) in charts.iter().enumerate() {
        let left = MARGIN + (number % COLUMNS) as f64 * (width + MARGIN);
        let top = HEADING + MARGIN + (number / COLUMNS) as f64 * (height + MARGIN);
        let _ = write!(svg, "{}", chart.svg([left, top], CHART));
    }
    svg += "</svg>";
    rasterise(&svg).map_err(|problem| Fault::Environment {
        subject: super::PROGRESS.into(),
        problem,
        remedy: "report.html has the same curves".into(),
    })
}

/// Steps done, of those planned.
pub(super) fn where_it_stands(record: &Record) -> String {
    let done = text::thousands(record.story.last_step());
    match &record.story.started {
        Some(at) => format!("{done} of {} steps", text::thousands(at.told.steps)),
        None => format!("{done} steps"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn rasterise(svg: &str) -> Result<Vec<u8>, String> {
    let mut options = usvg::Options { font_family: "Roboto".into(), ..usvg::Options::default() };
    Arc::make_mut(&mut options.fontdb).load_font_data(FONT.to_vec());
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| error.to_string())?;
    let size = tree.size().to_int_size().scale_by(SCALE).ok_or("it has no size")?;
    let mut pixels =
        tiny_skia::Pixmap::new(size.width(), size.height()).ok_or("it is too large")?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    // The ground is opaque, so colours are what they are without their alpha.
    let rgb = pixels.pixels().iter().flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]);
    let picture = Picture {
        width: pixels.width() as usize,
        height: pixels.height() as usize,
        rgb: rgb.collect(),
    };
    picture.png().map_err(|error| error.to_string())
}
