//! Tests of sets of regions.

use super::*;
use crate::volume::label::{BACKGROUND, ED, ET, NCR, RC};

fn define(regions: &[(&str, &[u8])], painting: Option<&[&str]>) -> Result<RegionSet, String> {
    let owned = regions.iter().map(|(name, labels)| ((*name).to_owned(), labels.to_vec()));
    let painting: Option<Vec<String>> =
        painting.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    RegionSet::new(owned, painting.as_deref())
}

#[test]
fn painting_the_regions_of_a_label_gives_the_label() {
    let brats = RegionSet::BRATS;
    for canonical in [BACKGROUND, NCR, ED, ET] {
        assert_eq!(
            brats.label_of_membership(brats.membership_table()[usize::from(canonical)]),
            canonical
        );
    }
    assert_eq!(brats.label_of_membership(1), ET, "ET outside TC survives");
    assert!(brats.iter().all(|region| !region.contains(RC) && !region.contains(label::IGNORE)));
}

#[test]
fn the_regions_of_brats_are_the_same_however_they_are_defined() {
    let defined = define(&[("WT", &[3, 1, 2]), ("ET", &[3]), ("TC", &[1, 3, 3])], None).unwrap();
    assert!(defined.is_brats() && std::ptr::eq(defined.0, RegionSet::BRATS.0));
    let [et, tc, wt] = Region::BRATS;
    for (place, region) in defined.iter().enumerate() {
        assert_eq!((region, region.index()), (Region::BRATS[place], place));
    }
    assert_eq!([et, tc, wt].map(Region::label_beyond), [NCR, ED, BACKGROUND]);
    assert_eq!(defined.painting_order(), [wt, tc, et]);
}

#[test]
fn regions_beside_each_other_are_painted_and_one_without_tissue_of_its_own_takes_its_first() {
    let four: [(&str, &[u8]); 4] =
        [("ET", &[3]), ("RC", &[4]), ("TC", &[1, 3]), ("WT", &[1, 2, 3])];
    let set = define(&four, None).unwrap();
    assert_eq!(set.region_names().collect::<Vec<_>>(), ["ET", "RC", "TC", "WT"]);
    for canonical in [BACKGROUND, NCR, ED, ET, RC] {
        assert_eq!(
            set.label_of_membership(set.membership_table()[usize::from(canonical)]),
            canonical
        );
    }
    assert_eq!(set.find_region("RC").unwrap().label_beyond(), BACKGROUND);
    assert!(std::ptr::eq(set.0, define(&four, None).unwrap().0), "made once");
    let split = define(&[("a", &[5]), ("b", &[6]), ("both", &[5, 6])], None).unwrap();
    assert_eq!(split.label_of_membership(0b100), 5);
    assert_eq!(split.label_of_membership(0b110), 6);
}

#[test]
fn overlapping_regions_need_an_order_and_follow_it() {
    let two: [(&str, &[u8]); 2] = [("x", &[5, 6]), ("y", &[6, 7])];
    let refused = define(&two, None).unwrap_err();
    assert!(refused.contains("x and y") && refused.contains("painting"), "{refused}");
    assert_eq!(define(&two, Some(&["x", "y"])).unwrap().label_of_membership(0b11), 6);
    assert_eq!(define(&two, Some(&["y", "x"])).unwrap().label_of_membership(0b11), 5);
    for wrong in [&["x"][..], &["x", "x"], &["x", "y", "z"]] {
        assert!(define(&two, Some(wrong)).unwrap_err().contains("each of x, y once"));
    }
}

#[test]
fn what_is_no_set_of_regions_is_refused_by_name() {
    let nine: Vec<(String, Vec<u8>)> = (1..10).map(|n| (format!("r{n}"), vec![n])).collect();
    assert!(RegionSet::new(nine, None).unwrap_err().contains("9 regions"));
    for (regions, named) in [
        (&[][..], "0 regions"),
        (&[("", &[1][..])], "region \"\""),
        (&[("a b", &[1][..])], "region \"a b\""),
        (&[("a", &[][..])], "region a; give it at least one tissue"),
        (&[("a", &[0, 1][..])], "not the background"),
        (&[("a", &[1][..]), ("A", &[2][..])], "a name of its own"),
        (&[("a", &[1][..]), ("b", &[1][..])], "of the same tissues"),
    ] {
        let refused = define(regions, None).unwrap_err();
        assert!(refused.contains(named), "{refused}");
    }
}
