//! One value per region of a set: in JSON and TOML an object with the regions' names for keys, so that no
//! reader has to know their order.

use std::collections::BTreeMap;
use std::ops::Index;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::volume::{Region, RegionSet};

/// Values by region, in the order of the names, as [`RegionSet`] has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByRegion<T>(Vec<(String, T)>);

impl<T> ByRegion<T> {
    /// Computes a value for each region of a set.
    pub fn of_regions(regions: RegionSet, mut value: impl FnMut(Region) -> T) -> Self {
        Self(regions.iter().map(|region| (region.name().to_owned(), value(region))).collect())
    }

    /// Iterates over names and values.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &T)> + ExactSizeIterator {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Iterates over the names.
    pub fn region_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// Iterates over the values.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.0.iter().map(|(_, value)| value)
    }

    /// Number of regions.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// True for no region at all.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Value of the region of that name.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// Sets the value of a region, which need not be there.
    pub fn set_region(&mut self, name: &str, value: T) {
        match self.0.binary_search_by(|(own, _)| own.as_str().cmp(name)) {
            Ok(place) => self.0[place].1 = value,
            Err(place) => self.0.insert(place, (name.to_owned(), value)),
        }
    }

    /// Applies a function to each value.
    pub fn map_values<U>(&self, mut value: impl FnMut(&T) -> U) -> ByRegion<U> {
        ByRegion(self.0.iter().map(|(name, own)| (name.clone(), value(own))).collect())
    }

    /// Applies a function to names and values; `None` if it gives none for one of them.
    pub fn try_map<U>(&self, mut value: impl FnMut(&str, &T) -> Option<U>) -> Option<ByRegion<U>> {
        let values = self.0.iter().map(|(name, own)| Some((name.clone(), value(name, own)?)));
        values.collect::<Option<Vec<_>>>().map(ByRegion)
    }

    /// True if both have values of the same regions.
    pub fn has_regions_of<U>(&self, other: &ByRegion<U>) -> bool {
        self.region_names().eq(other.region_names())
    }
}

impl<T> Default for ByRegion<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Value of a region.
///
/// # Panics
/// If it has none: the caller's set is the one that the values are of.
impl<T> Index<Region> for ByRegion<T> {
    type Output = T;

    fn index(&self, region: Region) -> &T {
        self.get(region.name()).expect("a value of each region of the run")
    }
}

impl<T> FromIterator<(String, T)> for ByRegion<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(values: I) -> Self {
        Self(values.into_iter().collect::<BTreeMap<String, T>>().into_iter().collect())
    }
}

impl<T: Serialize> Serialize for ByRegion<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ByRegion<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<String, T>::deserialize(deserializer).map(|values| values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_the_regions_names_in_the_regions_order() {
        #[derive(Serialize, Deserialize, PartialEq, Debug)]
        struct Holder(ByRegion<usize>);
        let values = ByRegion::of_regions(RegionSet::BRATS, Region::index);
        let text = serde_json::to_string(&Holder(values.clone())).unwrap();
        assert_eq!(text, r#"{"ET":0,"TC":1,"WT":2}"#);
        let turned = r#"{"WT":2,"ET":0,"TC":1}"#;
        assert_eq!(serde_json::from_str::<Holder>(turned).unwrap(), Holder(values.clone()));
        for region in Region::BRATS {
            assert_eq!(values[region], region.index());
        }
        let fewer: ByRegion<usize> = serde_json::from_str(r#"{"ET":0,"TC":1}"#).unwrap();
        assert!(fewer.get("WT").is_none() && !fewer.has_regions_of(&values));
        let mut more = fewer;
        more.set_region("RC", 7);
        more.set_region("TC", 8);
        assert_eq!(more.iter().collect::<Vec<_>>(), [("ET", &0), ("RC", &7), ("TC", &8)]);
    }
}
