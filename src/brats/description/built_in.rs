//! Built-in layouts: each is a description of its own file. A new layout is a file and a line here.

use std::sync::LazyLock;

use crate::brats::description::DatasetDescription;

/// Names and texts of the built-in layouts, the stricter first: of those that fit a folder's names
/// the first is taken.
pub const BUILT_IN_LAYOUTS: [(&str, &str); 14] = [
    ("brats2020", include_str!("layouts/brats2020.toml")),
    ("brats2021", include_str!("layouts/brats2021.toml")),
    ("brats-ped", include_str!("layouts/brats-ped.toml")),
    ("brats-men-rt", include_str!("layouts/brats-men-rt.toml")),
    ("brats2023", include_str!("layouts/brats2023.toml")),
    ("brats2018", include_str!("layouts/brats2018.toml")),
    ("upenn-gbm", include_str!("layouts/upenn-gbm.toml")),
    ("ucsf-pdgm", include_str!("layouts/ucsf-pdgm.toml")),
    ("tcga", include_str!("layouts/tcga.toml")),
    ("flat2023", include_str!("layouts/flat2023.toml")),
    ("flat2018", include_str!("layouts/flat2018.toml")),
    ("decathlon", include_str!("layouts/decathlon.toml")),
    ("nnunet", include_str!("layouts/nnunet.toml")),
    ("monai", include_str!("layouts/monai.toml")),
];

static PARSED: LazyLock<Vec<DatasetDescription>> = LazyLock::new(|| {
    let parse = |(name, text): &(&str, &str)| {
        let parsed: Result<DatasetDescription, _> = toml::from_str(text);
        let own = parsed.unwrap_or_else(|error| panic!("built-in layout {name}: {error}"));
        DatasetDescription { layout: Some((*name).to_owned()), ..own }
    };
    BUILT_IN_LAYOUTS.iter().map(parse).collect()
});

/// All built-in layouts, in the order of [`BUILT_IN_LAYOUTS`].
pub(in crate::brats) fn all_built_in() -> &'static [DatasetDescription] {
    &PARSED
}

/// The built-in layout of a name.
pub fn find_built_in(name: &str) -> Option<&'static DatasetDescription> {
    all_built_in().iter().find(|own| own.layout.as_deref() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_layout_is_legal_and_says_what_states_it() {
        for (layout, (name, _)) in all_built_in().iter().zip(BUILT_IN_LAYOUTS) {
            assert_eq!(layout.check_fields().map_err(|e| e.to_string()), Ok(()), "{name}");
            assert!(layout.sources.iter().all(|source| source.contains(':')), "{name}");
        }
    }
}
