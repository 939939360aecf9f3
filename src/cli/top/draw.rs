//! Layout of a frame as rows of text: in colour and cut to size on a terminal, plain in a pipe.

use ratatui::Frame;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};

use crate::base::{format_bytes, format_duration, format_percent};
use crate::cli::top::format::{draw_sparkline, split_bar, wrap_pieces, wrap_words};
use crate::cli::top::view::{GpuRow, RunProgress, RunView, StageRow};

/// Clocks of a stage. The marks differ too: not every terminal has colours.
const CLOCKS: [(&str, &str, Color); 3] = [
    ("busy", "█", Color::Green),
    ("waits for input", "▒", Color::Gray),
    ("waits for room", "░", Color::DarkGray),
];
/// Most marks of a sparkline or a bar: longer ones are not read better.
const LONGEST: usize = 60;
const SHORTEST: usize = 8;

/// Sections of a frame, the most important first: the last is dropped first if there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FrameSection {
    Title,
    Notice,
    Verdict,
    Stages,
    Progress,
    Loss,
    Dice,
    Gpus,
    Help,
    Gap,
}

/// Draws a view on a terminal of any size.
pub(super) fn draw_frame(frame: &mut Frame<'_>, view: &RunView) {
    let area = frame.area();
    let help = "q leaves this view; the run goes on";
    let shown = fit_to_height(
        frame_sections(view, usize::from(area.width), help),
        usize::from(area.height),
    );
    frame.render_widget(Text::from(shown), area);
}

/// Renders a view without colours, `width` letters wide where words allow.
pub(super) fn plain_text(view: &RunView, width: usize) -> String {
    let lines = frame_sections(view, width, "").into_iter().flat_map(|(_, lines)| lines);
    let texts = lines.map(|line| line.to_string().trim_end().to_owned());
    texts.collect::<Vec<_>>().join("\n")
}

/// The sections from top to bottom.
fn frame_sections(
    view: &RunView,
    width: usize,
    help: &str,
) -> Vec<(FrameSection, Vec<Line<'static>>)> {
    let soft = Style::new().add_modifier(Modifier::DIM);
    let styled = |texts: Vec<String>, style: Style| -> Vec<Line<'static>> {
        texts.into_iter().map(|text| Line::styled(text, style)).collect()
    };
    let notice = view.notice.as_deref().map_or_else(Vec::new, |notice| {
        notice.lines().flat_map(|line| wrap_words(line, width)).collect()
    });
    let gap = || (FrameSection::Gap, vec![Line::default()]);
    let all = [
        (FrameSection::Title, title_lines(view, width)),
        (
            FrameSection::Notice,
            styled(notice, Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)),
        ),
        (FrameSection::Verdict, verdict_lines(view, width)),
        gap(),
        (
            FrameSection::Progress,
            styled(wrap_pieces(&progress_pieces(&view.progress), "   ", width), Style::new()),
        ),
        (FrameSection::Loss, loss_lines(view, width)),
        (FrameSection::Dice, dice_lines(view, width)),
        gap(),
        (FrameSection::Stages, stage_lines(view, width)),
        gap(),
        (FrameSection::Gpus, styled(view.gpus.iter().map(gpu_line).collect(), Style::new())),
        (FrameSection::Help, styled(wrap_words(help, width), soft)),
    ];
    let mut parts: Vec<(FrameSection, Vec<Line<'static>>)> = Vec::new();
    for (part, lines) in all.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        // What is between two gaps may not be there.
        let doubled = part == FrameSection::Gap
            && parts.last().is_some_and(|(last, _)| *last == FrameSection::Gap);
        if !doubled {
            parts.push((part, lines));
        }
    }
    parts.pop_if(|(last, _)| *last == FrameSection::Gap);
    parts
}

/// Drops whole sections until the rest fits, and then rows at the bottom.
fn fit_to_height(
    mut parts: Vec<(FrameSection, Vec<Line<'static>>)>,
    height: usize,
) -> Vec<Line<'static>> {
    while parts.iter().map(|(_, lines)| lines.len()).sum::<usize>() > height && parts.len() > 1 {
        let least = parts.iter().map(|(part, _)| *part).max();
        let Some(last) = parts.iter().rposition(|(part, _)| Some(*part) == least) else { break };
        // Stages that have no room for all of them are better than none.
        if parts[last].0 == FrameSection::Stages {
            break;
        }
        parts.remove(last);
    }
    let mut lines: Vec<Line<'static>> = parts.into_iter().flat_map(|(_, lines)| lines).collect();
    lines.truncate(height);
    lines
}

fn title_lines(view: &RunView, width: usize) -> Vec<Line<'static>> {
    let mut pieces = vec![view.run.clone(), format!("[{}]", view.state)];
    pieces.extend(view.what.clone());
    pieces.push(view.source.clone());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines = wrap_pieces(&pieces, "  ", width).into_iter();
    let first = lines.next().map(|text| Line::styled(text, bold));
    first.into_iter().chain(lines.map(Line::from)).collect()
}

fn verdict_lines(view: &RunView, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (bottleneck, sentence) in &view.verdicts {
        let style = match bottleneck.as_str() {
            "none" | "trainer" => Style::new().fg(Color::Green),
            _stage => Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD),
        };
        let text = match bottleneck.as_str() {
            "none" => sentence.clone(),
            name => format!("held back by {name}: {sentence}"),
        };
        lines.extend(wrap_words(&text, width).into_iter().map(|text| Line::styled(text, style)));
    }
    lines
}

fn progress_pieces(progress: &RunProgress) -> Vec<String> {
    let of = |what: &str, done: Option<u64>, planned: Option<u64>| match (done, planned) {
        (Some(done), Some(planned)) => format!("{what} {done} of {planned}"),
        (Some(done), None) => format!("{what} {done}"),
        (None, _) => String::new(),
    };
    let told = |value: Option<f64>, tell: fn(f64) -> String| value.map_or_else(String::new, tell);
    vec![
        of("epoch", progress.epoch, progress.epochs_planned),
        of("step", progress.step, progress.steps_planned),
        told(progress.seconds_left, |left| format!("{} left", format_duration(left))),
        progress
            .items_per_second
            .map_or_else(String::new, |rate| format!("{rate:.2} {}/s", progress.items)),
        told(progress.starved_ratio, |share| format!("trainer starved {}", format_percent(share))),
        told(progress.learning_rate, |rate| format!("learning rate {rate:.2e}")),
        told(progress.gradient_norm, |norm| format!("gradient norm {norm:.3}")),
        of("skipped", progress.skipped_samples.filter(|samples| *samples > 0), None),
        told(progress.memory_bytes, |size| format!("memory {}", format_bytes(size))),
    ]
}

/// Name and last value of a series, and a sparkline of all its values.
fn sparkline_line(name: &str, values: &[f64], width: usize) -> Option<Line<'static>> {
    let last = values.last()?;
    let text = format!("{name:<8} {last:<8.4} ");
    let room = width.saturating_sub(text.chars().count()).min(LONGEST);
    let marks = Span::styled(draw_sparkline(values, room), Style::new().fg(Color::Cyan));
    Some(Line::from(vec![Span::raw(text), marks]))
}

fn loss_lines(view: &RunView, width: usize) -> Vec<Line<'static>> {
    sparkline_line("loss", &view.losses, width).into_iter().collect()
}

fn dice_lines(view: &RunView, width: usize) -> Vec<Line<'static>> {
    let line = |(region, scores): &(String, Vec<f64>)| {
        sparkline_line(&format!("Dice {region}"), scores, width)
    };
    view.dice.iter().filter_map(line).collect()
}

fn stage_lines(view: &RunView, width: usize) -> Vec<Line<'static>> {
    if view.stages.is_empty() {
        return Vec::new();
    }
    let span = match view.span_seconds {
        0.0 => "since they began:".to_owned(),
        seconds => format!("last {seconds:.0} s:"),
    };
    let mut head = vec![Span::raw(format!("stages, {span}"))];
    for (name, mark, color) in CLOCKS {
        head.push(Span::raw("  "));
        head.push(Span::styled(mark, Style::new().fg(color)));
        head.push(Span::raw(format!(" {name}")));
    }
    let longest = view.stages.iter().map(|stage| stage.name.chars().count()).max().unwrap_or(0);
    let rows = view.stages.iter().map(|stage| stage_line(view, stage, longest, width));
    std::iter::once(Line::from(head)).chain(rows).collect()
}

/// Row of a stage: `augment   x2 ████▒▒▒▒░░░░  50 %  25 %  25 %   7 of 8 queued`; a narrow terminal
/// cuts its end.
fn stage_line(view: &RunView, stage: &StageRow, longest: usize, width: usize) -> Line<'static> {
    let is_guilty = view.verdicts.iter().any(|(bottleneck, _)| *bottleneck == stage.name);
    let named =
        Style::new().add_modifier(if is_guilty { Modifier::BOLD } else { Modifier::empty() });
    let name = format!("{:<longest$} x{:<2} ", stage.name, stage.workers);
    let shares = stage.shares.map_or_else(Vec::new, |shares| shares.map(format_percent).to_vec());
    let mut tail: String = shares.iter().map(|share| format!(" {share:>6}")).collect();
    if stage.queue_capacity > 0 {
        tail += &format!("  {} of {} queued", stage.queue_depth, stage.queue_capacity);
    }
    let room = width.saturating_sub(name.chars().count() + 38).clamp(SHORTEST, LONGEST);
    let parts = split_bar(stage.shares.unwrap_or_default(), room);
    let mut spans = vec![Span::styled(name, named)];
    for ((clock, mark, color), length) in CLOCKS.into_iter().zip(parts) {
        // Stages wait in any healthy run; the trainer's waiting is the alarm.
        let is_alarm = clock == "waits for input" && stage.name == "trainer";
        let color = if is_alarm { Color::Yellow } else { color };
        spans.push(Span::styled(mark.repeat(length), Style::new().fg(color)));
    }
    spans.push(Span::raw(" ".repeat(room - parts.iter().sum::<usize>())));
    spans.push(Span::raw(tail));
    Line::from(spans)
}

fn gpu_line(row: &GpuRow) -> String {
    let mut pieces = vec![format!("gpu {}", row.gpu)];
    pieces.extend(row.utilization.map(|share| format!("{} busy", format_percent(share))));
    if let (Some(used), Some(total)) = (row.memory_used_bytes, row.memory_total_bytes) {
        pieces.push(format!("{} of {}", format_bytes(used), format_bytes(total)));
    }
    pieces.extend(row.watts.map(|watts| format!("{watts:.0} W")));
    pieces.extend(row.celsius.map(|celsius| format!("{celsius:.0} °C")));
    pieces.join("   ")
}
