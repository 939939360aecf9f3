//! Colours of regions in charts and tables, as CSS classes: ET, TC and WT have those that they always had,
//! the others follow in the order of their names.

/// Classes of the regions of BraTS: name, class of its line in validation, and in training.
const OF_BRATS: [(&str, [&str; 2]); 3] =
    [("ET", ["et", "et train"]), ("TC", ["tc", "tc train"]), ("WT", ["wt", "wt train"])];

/// Classes of other regions.
const OF_OTHERS: [[&str; 2]; 8] = [
    ["r1", "r1 train"],
    ["r2", "r2 train"],
    ["r3", "r3 train"],
    ["r4", "r4 train"],
    ["r5", "r5 train"],
    ["r6", "r6 train"],
    ["r7", "r7 train"],
    ["r8", "r8 train"],
];

/// Colours of the classes of other regions in the picture; the page has its own.
pub(super) const REGION_STYLE: &str = ".r1{stroke:#cc5599}.dot.r1{fill:#cc5599}\
    .r2{stroke:#7a5c00}.dot.r2{fill:#7a5c00}\
    .r3{stroke:#3d8fbf}.dot.r3{fill:#3d8fbf}\
    .r4{stroke:#6a3d9a}.dot.r4{fill:#6a3d9a}\
    .r5{stroke:#b8860b}.dot.r5{fill:#b8860b}\
    .r6{stroke:#525e75}.dot.r6{fill:#525e75}\
    .r7{stroke:#c0392b}.dot.r7{fill:#c0392b}\
    .r8{stroke:#00838f}.dot.r8{fill:#00838f}";

/// CSS classes of a region among those of its run: of its line in validation, and in training.
pub(super) fn region_classes<'a>(
    regions: impl IntoIterator<Item = &'a str>,
    region: &str,
) -> [&'static str; 2] {
    let of_brats = |name: &str| OF_BRATS.iter().find(|(own, _)| *own == name);
    if let Some((_, classes)) = of_brats(region) {
        return *classes;
    }
    let mut others = regions.into_iter().filter(|name| of_brats(name).is_none());
    let place = others.position(|name| name == region).unwrap_or_default();
    OF_OTHERS[place % OF_OTHERS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_brats_keep_their_colours_and_no_two_regions_share_one() {
        let names = ["ET", "NCR", "RC", "TC", "WT"];
        let classes = names.map(|name| region_classes(names, name)[0]);
        assert_eq!(classes, ["et", "r1", "r2", "tc", "wt"]);
        let eight = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let mut classes = eight.map(|name| region_classes(eight, name)[1]).to_vec();
        classes.dedup();
        assert_eq!((classes.len(), classes[7]), (8, "r8 train"));
    }
}
