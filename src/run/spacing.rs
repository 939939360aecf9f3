//! Comparison of the voxel sizes of cases with those that a run was trained on.

use crate::brats::CaseFiles;
use crate::run::{ResolvedEnsemble, cohort};
use crate::run_folder::SpacingRange;

/// Warns of cases whose voxels are of another size than those that a member was trained on: a
/// network knows sizes in voxels only. Runs of older versions did not keep them.
pub fn warn_of_other_spacing(resolved: &ResolvedEnsemble, cases: &[CaseFiles]) {
    let members = resolved.members.iter().filter_map(|member| {
        let lock = cohort::read_lock(&member.run).ok()?;
        Some((&member.run, lock.trained_spacing?))
    });
    let members: Vec<_> = members.collect();
    if members.is_empty() {
        return;
    }
    // A file that cannot be read is named by whoever needs its voxels.
    let spacing = |files: &CaseFiles| Some(files.read_grid().ok()?.canonical_spacing_mm());
    let spacings: Vec<_> =
        cases.iter().filter_map(|files| Some((files, spacing(files)?))).collect();
    for (run, trained) in members {
        let others = spacings.iter().filter(|(_, spacing)| !trained.covers(*spacing));
        let mut others = others.peekable();
        let Some((files, spacing)) = others.peek() else { continue };
        tracing::warn!(
            "case {}: its voxels are {} mm, and {} was trained on {}; resample it to those, or distrust \
             the result ({} of {} cases)",
            files.id,
            edges_text(*spacing),
            run.display(),
            range_text(&trained),
            others.count(),
            cases.len()
        );
    }
}

fn edges_text(edges: [f64; 3]) -> String {
    edges.map(|edge| format!("{edge:.2}")).join(" x ")
}

fn range_text(range: &SpacingRange) -> String {
    let least = edges_text(range.least_mm);
    let greatest = edges_text(range.greatest_mm);
    if least == greatest { format!("{least} mm") } else { format!("{least} to {greatest} mm") }
}
