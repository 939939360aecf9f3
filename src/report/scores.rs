//! The page's sections on scores: measures, overlays and cases.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};

use crate::base::format_thousands;
use crate::eval::{CaseScore, CohortScore, Measures, Summary};
use crate::report::overlay::Overlay;
use crate::report::picture::{PREDICTION_COLOUR, TRUTH_COLOUR};
use crate::report::run_record::RunRecord;

/// Sections of scores, overlays and cases; for a run without scores, the command that makes them.
pub(super) fn score_sections(record: &RunRecord) -> Markup {
    let Some(scores) = &record.scores else {
        return html! {
            section id="scores" {
                h2 { "Scores" }
                p { "The held-out cases have not been scored. A run does so when it ends; "
                    code { "gliaflow evaluate --run RUN" } " does it from the last checkpoint." }
            }
        };
    };
    html! {
        section id="scores" {
            h2 { "Scores" }
            p.soft {
                (scores.network.cases().len()) " held-out cases; HD95 is "
                (scores.network.cases()[0].hd95.name())
                "'s; intervals are of the mean, 95 %, by bootstrap."
            }
            (measures_table(record, &scores.network))
            @if let Some(baseline) = &scores.flair_threshold {
            p.soft {
                "For comparison, Dice of WT by one threshold on FLAIR for all cases, z > "
                (format!("{:.2}", baseline.threshold)) ", chosen on these very cases: "
                (format!("{:.4}", baseline.mean_dice)) "."
            }
            }
        }
        (overlays_section(record))
        (cases_section(record, &scores.network))
    }
}

fn region_label(record: &RunRecord, region: &str) -> Markup {
    html! { b class=(record.classes_of(region)[0]) { (region) } }
}

/// Table of every measure of every region, with its distribution.
fn measures_table(record: &RunRecord, cohort: &CohortScore) -> Markup {
    let names = Measures::<f64>::NAMES.map(|name| match name {
        "dice" => "Dice",
        "hd95_mm" => "HD95, mm",
        "nsd_half_mm" => "surface Dice at 0.5 mm",
        "nsd_one_mm" => "surface Dice at 1 mm",
        other => other,
    });
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "region" } th.words scope="col" { "measure" }
                        @for column in ["mean", "sd", "median", "95 % interval", "worst", "best"] {
                            th scope="col" { (column) }
                        }
                    }
                }
                tbody {
                    @for (region, measures) in cohort.summary_by_region().iter() {
                        @let summaries = measures.into_array();
                        @for (place, (name, summary)) in names.iter().zip(&summaries).enumerate() {
                            tr class=[(place == 0).then_some("first")] {
                                th scope="row" { @if place == 0 { (region_label(record, region)) } }
                                td.words { (name) }
                                (summary_cells(summary, name.starts_with("HD95")))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn summary_cells(summary: &Summary, is_distance: bool) -> Markup {
    let decimals = if is_distance { 2 } else { 4 };
    let figure = |value: f64| format!("{value:.decimals$}");
    let interval = summary.ci95.map(|[low, high]| format!("{} to {}", figure(low), figure(high)));
    let ends = [summary.min, summary.max];
    let [worst, best] = if is_distance { [ends[1], ends[0]] } else { ends };
    html! {
        td { (figure(summary.mean)) }
        td { (summary.sd.map_or_else(|| "–".to_owned(), figure)) }
        td { (figure(summary.median)) }
        td { (interval.unwrap_or_else(|| "–".to_owned())) }
        td { (figure(worst)) }
        td { (figure(best)) }
    }
}

fn overlays_section(record: &RunRecord) -> Markup {
    let overlays = &record.overlays;
    let colour = |[red, green, blue]: [u8; 3]| format!("#{red:02x}{green:02x}{blue:02x}");
    html! {
        section id="overlays" {
            h2 { "Worst, median and best case" }
            @if overlays.is_empty() {
                p {
                    "There are no overlays of these scores: they are drawn when cases are scored, at the \
                     end of a run or by " code { "gliaflow evaluate --run RUN" } "."
                }
            } @else {
                p.soft {
                    span.swatch style={ "background:" (colour(TRUTH_COLOUR)) } {} "truth "
                    span.swatch style={ "border:2px solid " (colour(PREDICTION_COLOUR)) } {}
                    "prediction, on " (record.shown_modality.name().to_uppercase()) "; axial, coronal and sagittal through most of the true region, the \
                     patient's left on the right of the first two."
                }
                div.overlays {
                    @for (overlay, png) in overlays {
                        @let rank = overlay.rank.to_string();
                        figure id=(overlay.file) {
                            img alt={ (overlay.region) ", " (rank) ": " (overlay.case) } loading="lazy"
                                src={ "data:image/png;base64," (STANDARD.encode(png)) };
                            figcaption {
                                (region_label(record, &overlay.region)) " " (rank) ", Dice "
                                (format!("{:.4}", overlay.dice)) " " span.soft { (overlay.case) (error_text(overlay)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Words on where the largest errors of an overlay's region lie.
fn error_text(overlay: &Overlay) -> String {
    let Some(errors) = overlay.errors.filter(|errors| errors.in_slice > 0) else {
        return String::new();
    };
    format!(
        "; {} voxels missed, {} found too many, most of them in axial slice {}",
        format_thousands(errors.missed),
        format_thousands(errors.excess),
        errors.slice
    )
}

fn mean_dice(case: &CaseScore) -> f64 {
    let sum: f64 = case.regions.values().map(|region| region.measures.dice).sum();
    sum / case.regions.len() as f64
}

/// Dice of a case in a region, as a link to the overlay where there is one.
fn linked_dice(record: &RunRecord, case: &CaseScore, region: &str, dice: f64) -> Markup {
    let mut overlays = record.overlays.iter().map(|(overlay, _)| overlay);
    let own = overlays.find(|own| own.case == case.case && own.region == region);
    let text = format!("{dice:.4}");
    html! {
        @match own {
            Some(own) => a href={ "#" (own.file) } { (text) },
            None => (text),
        }
    }
}

/// Table of the cases, the worst first.
fn cases_section(record: &RunRecord, cohort: &CohortScore) -> Markup {
    let mut sorted: Vec<&CaseScore> = cohort.cases().iter().collect();
    sorted.sort_by(|a, b| mean_dice(a).total_cmp(&mean_dice(b)));
    html! {
        section id="cases" {
            h2 { "Cases, worst first" }
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" rowspan="2" { "case" }
                            th scope="col" rowspan="2" { "mean Dice" }
                            @for region in cohort.summary_by_region().region_names() {
                                th scope="colgroup" colspan="4" { (region_label(record, region)) }
                            }
                        }
                        tr {
                            @for _ in cohort.summary_by_region().region_names() {
                                th scope="col" { "Dice" } th scope="col" { "HD95" }
                                th scope="col" { "voxels" } th scope="col" { "found" }
                            }
                        }
                    }
                    tbody {
                        @for case in sorted {
                            tr {
                                th scope="row" { (case.case) }
                                td { (format!("{:.4}", mean_dice(case))) }
                                @for (name, region) in case.regions.iter() {
                                    td { (linked_dice(record, case, name, region.measures.dice)) }
                                    td { (format!("{:.1}", region.measures.hd95_mm)) }
                                    td { (format_thousands(region.truth_voxels)) }
                                    td { (format_thousands(region.predicted_voxels)) }
                                }
                            }
                        }
                    }
                }
            }
            p.soft { "Voxels are the truth's, found the prediction's. The same figures are in "
                code { "validation/cases.csv" } "." }
        }
    }
}
