//! Regions as sets of tissues: the channels of a network, of scores and of tables. A run carries its
//! own [`RegionSet`]; that of BraTS is the default.

use std::fmt;
use std::sync::Mutex;

use crate::volume::region::RegionEntry;
use crate::volume::{Region, label};

/// Most regions of a set: their membership is one byte.
pub const MAX_REGIONS: usize = 8;

/// Longest name of a region, in bytes.
const MAX_NAME: usize = 24;

static BRATS_TABLE: RegionTable = RegionTable {
    regions: &Region::BRATS,
    painting: &[Region::WT, Region::TC, Region::ET],
    membership: table_of_memberships(&Region::BRATS),
    painted: painted_table(&[Region::WT, Region::TC, Region::ET]),
};

/// Regions of a run in the order of their names, which is that of channels, tables and files.
/// Immutable, and cheap to copy.
#[derive(Clone, Copy)]
pub struct RegionSet(&'static RegionTable);

#[derive(Debug, PartialEq, Eq)]
struct RegionTable {
    regions: &'static [Region],
    /// Order of painting: a later one overrides an earlier one.
    painting: &'static [Region],
    /// Membership by canonical label: bit `i` is set where it lies in region `i`.
    membership: [u8; 256],
    /// Canonical label by membership.
    painted: [u8; 1 << MAX_REGIONS],
}

const fn table_of_memberships(regions: &[Region]) -> [u8; 256] {
    let mut table = [0; 256];
    let mut canonical = 0;
    while canonical < table.len() {
        let mut place = 0;
        while place < regions.len() {
            table[canonical] |= (regions[place].contains(canonical as u8) as u8) << place;
            place += 1;
        }
        canonical += 1;
    }
    table
}

const fn painted_table(painting: &[Region]) -> [u8; 1 << MAX_REGIONS] {
    let mut table = [label::BACKGROUND; 1 << MAX_REGIONS];
    let mut membership = 0;
    while membership < table.len() {
        let mut place = 0;
        while place < painting.len() {
            if membership >> painting[place].index() & 1 == 1 {
                table[membership] = painting[place].label_painted();
            }
            place += 1;
        }
        membership += 1;
    }
    table
}

/// Name of a region and the canonical labels in it.
pub type RegionDefinition = (String, Vec<u8>);

impl RegionSet {
    /// ET, TC and WT of BraTS.
    pub const BRATS: Self = Self(&BRATS_TABLE);

    /// Makes a set of regions. `painting` names them in the order in which they become labels, a later
    /// one over an earlier one; without it, a region is painted before those inside it.
    ///
    /// # Errors
    /// If there is no region, or more than eight, a name or a set of labels comes twice, a
    /// region has no label, or two overlap without an order.
    pub fn new(
        definitions: impl IntoIterator<Item = RegionDefinition>,
        painting: Option<&[String]>,
    ) -> Result<Self, String> {
        let mut definitions: Vec<RegionDefinition> = definitions.into_iter().collect();
        definitions.sort();
        for (_, labels) in &mut definitions {
            labels.sort_unstable();
            labels.dedup();
        }
        check_definitions(&definitions)?;
        let order = order_of_painting(&definitions, painting)?;
        Ok(Self(intern_table(&definitions, &order)))
    }

    /// The regions in the order of channels.
    pub const fn regions(self) -> &'static [Region] {
        self.0.regions
    }

    /// Iterates over the regions in the order of channels.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Region> + ExactSizeIterator + Clone {
        self.0.regions.iter().copied()
    }

    /// Number of regions: the channels of a network's output.
    #[expect(clippy::len_without_is_empty, reason = "no set is empty")]
    pub const fn len(self) -> usize {
        self.0.regions.len()
    }

    /// Names in the order of channels.
    pub fn region_names(self) -> impl Iterator<Item = &'static str> {
        self.iter().map(Region::name)
    }

    /// Finds a region by its name.
    pub fn find_region(self, name: &str) -> Option<Region> {
        self.iter().find(|region| region.name() == name)
    }

    /// The regions in the order of painting: a later one overrides an earlier one.
    pub const fn painting_order(self) -> &'static [Region] {
        self.0.painting
    }

    /// Table of memberships by canonical label: bit `i` is set where it lies in region `i`.
    pub const fn membership_table(self) -> &'static [u8; 256] {
        &self.0.membership
    }

    /// Canonical label of a voxel from its membership: an inner region overrides an outer one, and
    /// survives outside it.
    pub const fn label_of_membership(self, membership: u8) -> u8 {
        self.0.painted[membership as usize]
    }

    /// True for ET, TC and WT of BraTS in their order of painting.
    pub fn is_brats(self) -> bool {
        self == Self::BRATS
    }

    /// True for ET, TC and WT of BraTS, however they are painted.
    pub fn has_regions_of_brats(self) -> bool {
        let own = self.iter().map(|region| (region.name(), region.labels()));
        own.eq(Region::BRATS.into_iter().map(|region| (region.name(), region.labels())))
    }
}

impl PartialEq for RegionSet {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0) || self.0 == other.0
    }
}

impl Eq for RegionSet {}

impl Default for RegionSet {
    fn default() -> Self {
        Self::BRATS
    }
}

impl fmt::Display for RegionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.region_names().collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Debug for RegionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.regions).finish()
    }
}

fn check_definitions(definitions: &[RegionDefinition]) -> Result<(), String> {
    if !(1..=MAX_REGIONS).contains(&definitions.len()) {
        return Err(format!("{} regions; define one to {MAX_REGIONS}", definitions.len()));
    }
    for (place, (name, labels)) in definitions.iter().enumerate() {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-+.".contains(&b);
        if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(is_plain) {
            return Err(format!(
                "region {name:?}; name it with 1 to {MAX_NAME} letters, digits, `_`, `-`, `+` or `.`"
            ));
        }
        if labels.is_empty() || labels.contains(&label::BACKGROUND) {
            return Err(format!("region {name}; give it at least one tissue, not the background"));
        }
        for (other, same) in &definitions[..place] {
            // Names are files' and columns' names, too, and some file systems ignore case.
            if other.eq_ignore_ascii_case(name) {
                return Err(format!("regions {other} and {name}; give each a name of its own"));
            }
            if same == labels {
                return Err(format!("regions {other} and {name} of the same tissues; drop one"));
            }
        }
    }
    Ok(())
}

fn is_inside(inner: &[u8], outer: &[u8]) -> bool {
    inner.len() < outer.len() && inner.iter().all(|label| outer.contains(label))
}

/// Places of the definitions in the order of painting.
fn order_of_painting(
    definitions: &[RegionDefinition],
    painting: Option<&[String]>,
) -> Result<Vec<usize>, String> {
    let names = || definitions.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(painting) = painting {
        let place = |wanted: &String| definitions.iter().position(|(name, _)| name == wanted);
        let order: Vec<usize> = painting.iter().filter_map(place).collect();
        let is_complete = (0..definitions.len()).all(|place| order.contains(&place));
        if !is_complete || order.len() != definitions.len() || painting.len() != order.len() {
            return Err(format!("painting {painting:?}; name each of {} once", names()));
        }
        return Ok(order);
    }
    for (place, (name, labels)) in definitions.iter().enumerate() {
        for (other, others) in &definitions[..place] {
            let meet = labels.iter().any(|label| others.contains(label));
            if meet && !is_inside(labels, others) && !is_inside(others, labels) {
                return Err(format!(
                    "regions {other} and {name}, of which neither lies in the other though they \
                     overlap; set painting to the order in which they become labels, such as \
                     [\"{other}\", \"{name}\"], where the last one overrides"
                ));
            }
        }
    }
    let mut order: Vec<usize> = (0..definitions.len()).collect();
    order.sort_by_key(|place| std::cmp::Reverse((definitions[*place].1.len(), *place)));
    Ok(order)
}

/// Tables that this process has made: a handful, one for each set of regions that it meets.
static TABLES: Mutex<Vec<&'static RegionTable>> = Mutex::new(Vec::new());

fn intern_table(definitions: &[RegionDefinition], order: &[usize]) -> &'static RegionTable {
    let mut tables = TABLES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let is_same = |table: &RegionTable| {
        let own = table.regions.iter().map(|region| (region.name(), region.labels()));
        let asked = definitions.iter().map(|(name, labels)| (name.as_str(), labels.as_slice()));
        own.eq(asked)
            && table.painting.iter().map(|region| region.index()).eq(order.iter().copied())
    };
    let known = std::iter::once(&BRATS_TABLE).chain(tables.iter().copied());
    if let Some(table) = known.into_iter().find(|table| is_same(table)) {
        return table;
    }
    let label_within = |place: usize| {
        let labels = &definitions[place].1;
        let inner = || definitions.iter().filter(|(_, other)| is_inside(other, labels));
        let own = labels.iter().find(|label| inner().all(|(_, other)| !other.contains(label)));
        *own.unwrap_or(&labels[0])
    };
    let label_beyond = |place: usize| {
        let around = (0..definitions.len())
            .filter(|other| is_inside(&definitions[place].1, &definitions[*other].1));
        around
            .min_by_key(|other| definitions[*other].1.len())
            .map_or(label::BACKGROUND, label_within)
    };
    let regions: Vec<Region> = definitions
        .iter()
        .enumerate()
        .map(|(index, (name, labels))| {
            Region::leak(RegionEntry {
                name: name.clone().leak(),
                index,
                labels: labels.clone().leak(),
                painted: label_within(index),
                beyond: label_beyond(index),
            })
        })
        .collect();
    let painting: Vec<Region> = order.iter().map(|place| regions[*place]).collect();
    let table: &'static RegionTable = Box::leak(Box::new(RegionTable {
        membership: table_of_memberships(&regions),
        painted: painted_table(&painting),
        regions: regions.leak(),
        painting: painting.leak(),
    }));
    tables.push(table);
    table
}

#[cfg(test)]
#[path = "region_set_tests.rs"]
mod tests;
