//! Order of the stages of all topologies, for who shows them: the live page has one topology at a time, a
//! dashboard has the stages of several.

/// Stages by name. Each topology's are in the order of its own pipeline; behind all of them is the feed, where the
/// trainer takes batches.
const ORDER: [&str; 17] = [
    "number",
    "draw",
    "collect",
    "files",
    "open",
    "plan",
    "fetch",
    "decode",
    "normalize",
    "crop",
    "augment",
    "collate",
    "publish",
    "tally",
    "unfold",
    "deliver",
    "feed",
];

/// Returns the place of a stage in the order of all stages, from 1; `None` for a name that no pipeline has.
pub(super) fn find_stage_place(name: &str) -> Option<usize> {
    ORDER.iter().position(|stage| *stage == name).map(|place| place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{ingest, loader, whole_case};

    #[test]
    fn the_stages_of_each_pipeline_have_ascending_places() {
        let pipelines: [&[&str]; 4] =
            [&loader::ACTORS, &ingest::ACTORS, &whole_case::CACHE_ACTORS, &whole_case::FILE_ACTORS];
        for stages in pipelines {
            let places: Option<Vec<usize>> =
                stages.iter().map(|stage| find_stage_place(stage)).collect();
            let places = places.unwrap_or_else(|| panic!("{stages:?}: one has no place"));
            assert!(places.is_sorted_by(|one, next| one < next), "{stages:?}: {places:?}");
        }
        assert_eq!(find_stage_place("feed"), Some(ORDER.len()));
        assert_eq!(find_stage_place("trainer"), None, "the feed's clocks are the trainer's");
    }
}
