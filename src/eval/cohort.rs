//! Scores of a cohort: every case, and the distribution of the measures.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::{CaseError, Reason};
use crate::eval::percentile::percentile;
use crate::eval::statistics::bootstrap;
use crate::eval::statistics::paired::MeasureByCase;
use crate::eval::{ByRegion, CaseScore, Measures};
use crate::volume::{CaseId, Region};

/// Distribution of one measure over the cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (divisor `n - 1`); absent for a single case.
    pub sd: Option<f64>,
    /// Median.
    pub median: f64,
    /// Bootstrap confidence interval of the mean, 95 %; absent for a single case.
    pub ci95: Option<[f64; 2]>,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

impl Summary {
    /// Summarizes values, one per case; `None` when there are none.
    pub fn of_values(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self {
            mean,
            sd: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
            median: percentile(&mut values.to_vec(), 50.0),
            ci95: bootstrap::ci95_of_mean(values),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

/// Scores of a whole cohort, never of a part of it: a mean over the cases that went well would
/// flatter. In JSON `regions.{ET,TC,WT}.{dice,…}` are means, as numbers, so that one case and a
/// cohort are read alike; `summary` has the same keys with mean, sd, median, ci95, min and max.
#[derive(Debug, Clone, PartialEq)]
pub struct CohortScore {
    cases: Vec<CaseScore>,
    summary: ByRegion<Measures<Summary>>,
}

impl CohortScore {
    /// The scores of exactly the `expected` cases, in their order.
    ///
    /// # Errors
    /// If there is no case, or one has no score, or more than one, or a score belongs to no
    /// expected case, or the scores follow different definitions of HD95 or are of different regions.
    /// The error names them.
    pub fn new(expected: &[CaseId], scores: Vec<CaseScore>) -> Result<Self, CaseError> {
        let mut by_case: BTreeMap<CaseId, Vec<CaseScore>> = BTreeMap::new();
        for score in scores {
            by_case.entry(score.case.clone()).or_default().push(score);
        }
        let mut cases = Vec::new();
        let mut missing = Vec::new();
        let mut repeated = Vec::new();
        for id in expected {
            match by_case.remove(id).as_deref() {
                None => missing.push(id),
                Some([score]) => cases.push(score.clone()),
                Some(_) => repeated.push(id),
            }
        }
        refuse_cases(
            Reason::Missing,
            &missing,
            "no score",
            "score them, or leave them out of the cohort on purpose",
        )?;
        refuse_cases(Reason::Format, &repeated, "more than one score", "score each case once")?;
        let strangers: Vec<&CaseId> = by_case.keys().collect();
        refuse_cases(
            Reason::Format,
            &strangers,
            "a score, but no place in the cohort",
            "name them in the cohort",
        )?;
        let definition = cases.first().map(|score| score.hd95);
        let mixed = cases.iter().filter(|score| Some(score.hd95) != definition);
        let mixed: Vec<&CaseId> = mixed.map(|score| &score.case).collect();
        refuse_cases(
            Reason::Format,
            &mixed,
            "another definition of hd95 than the first",
            "score all with the same",
        )?;
        let regions = cases.first().map(|score| score.regions.clone()).unwrap_or_default();
        let others = cases.iter().filter(|score| !score.regions.has_regions_of(&regions));
        let others: Vec<&CaseId> = others.map(|score| &score.case).collect();
        refuse_cases(
            Reason::Format,
            &others,
            "other regions than the first",
            "score all with the same",
        )?;
        let summary = regions.try_map(|region, _| summarize_region(&cases, region));
        let Some(summary) = summary.filter(|summary| !summary.is_empty()) else {
            return Err(CaseError::new(
                Reason::Missing,
                "cohort",
                "it has no case to average over",
                "name at least one case",
            ));
        };
        Ok(Self { cases, summary })
    }

    /// Scores of the expected cases, one each, in the cohort's order.
    pub fn cases(&self) -> &[CaseScore] {
        &self.cases
    }

    /// Distribution of each measure over the cases, by region.
    pub const fn summary_by_region(&self) -> &ByRegion<Measures<Summary>> {
        &self.summary
    }

    /// Distribution of each measure of a region over the cases.
    ///
    /// # Panics
    /// If the cases were scored in other regions.
    pub fn region_summary(&self, region: Region) -> &Measures<Summary> {
        &self.summary[region]
    }

    /// Values of one measure of a region by case, as comparisons of methods take them.
    pub fn measure_by_case(
        &self,
        region: &str,
        measure: fn(&Measures<f64>) -> f64,
    ) -> MeasureByCase {
        let scores = self.cases.iter();
        scores
            .filter_map(|score| {
                Some((score.case.clone(), measure(&score.regions.get(region)?.measures)))
            })
            .collect()
    }

    /// Writes `cases.csv`: a header, then one row per case and region. Fields are quoted where
    /// RFC 4180 asks for it; lines end in LF. Numbers are written so that they read back exactly.
    ///
    /// # Errors
    /// Errors of the writer.
    pub fn write_csv(&self, mut out: impl Write) -> io::Result<()> {
        let measures = Measures::<f64>::NAMES.join(",");
        writeln!(out, "case,region,{measures},truth_voxels,predicted_voxels")?;
        for score in &self.cases {
            let case = quote_csv(score.case.as_str());
            for (region, values) in score.regions.iter() {
                write!(out, "{case},{region}")?;
                for value in values.measures.into_array() {
                    write!(out, ",{value}")?;
                }
                writeln!(out, ",{},{}", values.truth_voxels, values.predicted_voxels)?;
            }
        }
        out.flush()
    }
}

impl Serialize for CohortScore {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let means = self.summary.map_values(|measures| measures.map(|summary| summary.mean));
        let mut json = serializer.serialize_struct("CohortScore", 4)?;
        json.serialize_field("hd95", &self.cases[0].hd95)?;
        json.serialize_field("regions", &means)?;
        json.serialize_field("summary", &self.summary)?;
        json.serialize_field("cases", &self.cases)?;
        json.end()
    }
}

impl<'de> Deserialize<'de> for CohortScore {
    /// Reads the cases, and summarizes them again.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct ScoredCases {
            cases: Vec<CaseScore>,
        }
        let ScoredCases { cases } = ScoredCases::deserialize(deserializer)?;
        let ids: Vec<CaseId> = cases.iter().map(|score| score.case.clone()).collect();
        Self::new(&ids, cases).map_err(serde::de::Error::custom)
    }
}

/// Summaries of all measures of a region; `None` without cases.
fn summarize_region(cases: &[CaseScore], region: &str) -> Option<Measures<Summary>> {
    let column = |measure: fn(&Measures<f64>) -> f64| {
        let scores = cases.iter().filter_map(|score| score.regions.get(region));
        let values: Vec<f64> = scores.map(|score| measure(&score.measures)).collect();
        Summary::of_values(&values)
    };
    Some(Measures {
        dice: column(|measures| measures.dice)?,
        hd95_mm: column(|measures| measures.hd95_mm)?,
        nsd_half_mm: column(|measures| measures.nsd_half_mm)?,
        nsd_one_mm: column(|measures| measures.nsd_one_mm)?,
        sensitivity: column(|measures| measures.sensitivity)?,
        specificity: column(|measures| measures.specificity)?,
    })
}

/// Returns an error that names the cases, if there are any.
fn refuse_cases(
    reason: Reason,
    cases: &[&CaseId],
    have: &str,
    remedy: &str,
) -> Result<(), CaseError> {
    if cases.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = cases.iter().map(|id| id.as_str()).collect();
    let problem = format!("{} of its cases have {have}: {}", names.len(), names.join(", "));
    Err(CaseError::new(reason, "cohort", problem, remedy))
}

/// A CSV field, in quotes where it holds a separator, a quote or a line break.
fn quote_csv(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", field.replace('"', "\"\""));
    }
    field.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Hd95, RegionScore, score_case};
    use crate::volume::{Dims, RegionSet};

    fn ids(names: &[&str]) -> Vec<CaseId> {
        names.iter().map(|name| CaseId::new(*name)).collect()
    }

    /// A case with the given Dice everywhere.
    fn scored(name: &str, dice: f64) -> CaseScore {
        let measures = Measures {
            dice,
            hd95_mm: 1.5,
            nsd_half_mm: 0.25,
            nsd_one_mm: 0.5,
            sensitivity: 1.0,
            specificity: 1.0,
        };
        let region = RegionScore { measures, truth_voxels: 3, predicted_voxels: 4 };
        let regions = ByRegion::of_regions(RegionSet::BRATS, |_| region);
        CaseScore { case: CaseId::new(name), hd95: Hd95::Medpy, regions }
    }

    #[test]
    fn the_summary_is_the_textbooks() {
        let found = Summary::of_values(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!((found.mean, found.median, found.min, found.max), (5.0, 4.5, 2.0, 9.0));
        assert_eq!(found.sd, Some((32.0_f64 / 7.0).sqrt()));
        let one = Summary::of_values(&[0.5]).unwrap();
        assert_eq!((one.sd, one.ci95), (None, None));
        assert_eq!(Summary::of_values(&[]), None);
    }

    #[test]
    fn a_missing_case_is_named_and_no_mean_is_given() {
        let expected = ids(&["a", "b", "c"]);
        let error = CohortScore::new(&expected, vec![scored("a", 1.0)]).unwrap_err();
        assert_eq!(error.reason, Reason::Missing);
        assert!(error.to_string().contains("2 of its cases have no score: b, c"), "{error}");
    }

    #[test]
    fn repeated_strange_mixed_and_absent_cases_are_refused() {
        let refused = |expected: &[&str], scores: Vec<CaseScore>| {
            CohortScore::new(&ids(expected), scores).unwrap_err().to_string()
        };
        let twice = refused(&["a"], vec![scored("a", 1.0), scored("a", 0.5)]);
        assert!(twice.contains("more than one score: a"), "{twice}");
        let strange = refused(&["a"], vec![scored("a", 1.0), scored("z", 0.5)]);
        assert!(strange.contains("no place in the cohort: z"), "{strange}");
        let other = CaseScore { hd95: Hd95::Monai, ..scored("b", 1.0) };
        let mixed = refused(&["a", "b"], vec![scored("a", 1.0), other]);
        assert!(mixed.contains("definition of hd95 than the first: b"), "{mixed}");
        let mut fewer = scored("b", 1.0);
        fewer.regions =
            fewer.regions.iter().skip(1).map(|(name, own)| (name.into(), *own)).collect();
        let mixed = refused(&["a", "b"], vec![scored("a", 1.0), fewer]);
        assert!(mixed.contains("other regions than the first: b"), "{mixed}");
        assert!(refused(&[], vec![]).contains("no case"));
    }

    #[test]
    fn json_means_are_where_a_single_cases_numbers_are() {
        let scores = vec![scored("b", 0.5), scored("a", 1.0)];
        let cohort = CohortScore::new(&ids(&["a", "b"]), scores).unwrap();
        let json = serde_json::to_value(&cohort).unwrap();
        assert_eq!(json["regions"]["ET"]["dice"], 0.75);
        assert_eq!(json["regions"]["WT"]["hd95_mm"], 1.5);
        assert_eq!(json["summary"]["TC"]["dice"]["max"], 1.0);
        assert_eq!(json["cases"][0]["case"], "a");
        assert_eq!(json["cases"][1]["regions"]["TC"]["dice"], 0.5);
        assert_eq!(json["summary"]["ET"]["dice"]["ci95"], serde_json::json!([0.5, 1.0]));
        assert_eq!(cohort.region_summary(Region::ET).dice.sd, Some(0.125_f64.sqrt()));
        let dice = cohort.measure_by_case("TC", |measures| measures.dice);
        assert_eq!(
            dice.into_iter().collect::<Vec<_>>(),
            [(ids(&["a"])[0].clone(), 1.0), (ids(&["b"])[0].clone(), 0.5)]
        );
    }

    #[test]
    fn the_csv_has_one_row_per_case_and_region_and_quotes_what_it_must() {
        let awkward = CaseId::new("odd, \"case\"");
        let (brats, hd95) = (RegionSet::BRATS, Hd95::default());
        let empty =
            score_case(brats, hd95, awkward.clone(), &[0; 8], &[0; 8], Dims::cube(2), [1.0; 3]);
        let expected = [CaseId::new("plain"), awkward];
        let cohort = CohortScore::new(&expected, vec![scored("plain", 1.0 / 3.0), empty]).unwrap();
        let mut csv = Vec::new();
        cohort.write_csv(&mut csv).unwrap();
        let text = String::from_utf8(csv).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 2 * Region::BRATS.len());
        assert_eq!(
            lines[0],
            "case,region,dice,hd95_mm,nsd_half_mm,nsd_one_mm,sensitivity,specificity,truth_voxels,\
             predicted_voxels"
        );
        assert_eq!(lines[1], "plain,ET,0.3333333333333333,1.5,0.25,0.5,1,1,3,4");
        assert_eq!(lines[6], "\"odd, \"\"case\"\"\",WT,1,0,1,1,1,1,0,0");
    }
}
