//! Comparison of the voxel sizes of cases with those that a run was trained on.

use crate::brats::CaseFiles;
use crate::run::{ResolvedEnsemble, cohort};
use crate::run_folder::SpacingRange;

/// Warns of cases whose voxels are of another size than those that a member was trained on: a
/// network knows sizes in voxels only. Runs of older versions did not keep them.
pub fn warn_of_other_spacing(resolved: &ResolvedEnsemble, cases: &[CaseFiles]) {
    let members = resolved.members.iter().filter_map(|member| {
        let lock = cohort::read_lock(&member.run).ok()?;
        Some((member, lock.trained_spacing?))
    });
    let members: Vec<_> = members.collect();
    if members.is_empty() {
        return;
    }
    // A file that cannot be read is named by whoever needs its voxels.
    let grids = cases.iter().filter_map(|files| Some((files, files.read_grid().ok()?)));
    let grids: Vec<_> = grids.collect();
    for (member, trained) in members {
        let preprocess = &member.config.run.data.preprocess;
        let stored = grids.iter().map(|(files, grid)| {
            let (dims, spacing) = (grid.canonical_dims(), grid.canonical_spacing_mm());
            (files, preprocess.stored_grid(dims, spacing).1)
        });
        let mut others = stored.filter(|(_, spacing)| !trained.covers(*spacing)).peekable();
        let Some((files, spacing)) = others.peek() else { continue };
        tracing::warn!(
            "case {}: its voxels are {} mm, and {} was trained on {}; resample it to those with --set \
             data.spacing={}, or distrust the result ({} of {} cases)",
            files.id,
            edges_text(*spacing),
            member.run.display(),
            range_text(&trained),
            setting_text(&trained),
            others.count(),
            cases.len()
        );
    }
}

fn edges_text(edges: [f64; 3]) -> String {
    edges.map(|edge| format!("{edge:.2}")).join(" x ")
}

/// Value of `data.spacing` in the middle of a range, without blanks.
fn setting_text(range: &SpacingRange) -> String {
    let edges: Vec<String> = (0..3)
        .map(|axis| {
            let middle = f64::midpoint(range.least_mm[axis], range.greatest_mm[axis]);
            ((1e3 * middle).round() / 1e3).to_string()
        })
        .collect();
    format!("[{}]", edges.join(","))
}

fn range_text(range: &SpacingRange) -> String {
    let least = edges_text(range.least_mm);
    let greatest = edges_text(range.greatest_mm);
    if least == greatest { format!("{least} mm") } else { format!("{least} to {greatest} mm") }
}
