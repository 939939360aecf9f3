//! One value per region in JSON: an object with the keys `ET`, `TC` and `WT`, so that no reader has
//! to know the order of [`Region::ALL`]. For `#[serde(with = "by_region")]`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::volume::Region;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE", deny_unknown_fields)]
struct ByRegion<T> {
    et: T,
    tc: T,
    wt: T,
}

pub(super) fn serialize<T: Serialize, S: Serializer>(
    values: &[T; Region::COUNT],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let [et, tc, wt] = values;
    ByRegion { et, tc, wt }.serialize(serializer)
}

pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<[T; Region::COUNT], D::Error> {
    let ByRegion { et, tc, wt } = ByRegion::deserialize(deserializer)?;
    Ok([et, tc, wt])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_the_regions_names_in_the_regions_order() {
        #[derive(Serialize, Deserialize, PartialEq, Debug)]
        struct Holder(#[serde(with = "super")] [usize; Region::COUNT]);
        let json = serde_json::to_value(Holder(Region::ALL.map(Region::index))).unwrap();
        for region in Region::ALL {
            assert_eq!(json[region.name()], region.index());
        }
        assert_eq!(serde_json::from_value::<Holder>(json).unwrap(), Holder([0, 1, 2]));
        assert!(serde_json::from_str::<Holder>(r#"{"ET":0,"TC":1}"#).is_err());
    }
}
