//! Section `[[student]]` of a study's file: networks that learn from what others annotate.

use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;
use toml::Table;

use crate::base::ConfigError;
use crate::experiment::paper::PaperRow;
use crate::volume::{Targets, Temperature};

/// Teacher that is the study's ensemble.
pub const ENSEMBLE: &str = "ensemble";

/// Network that the validation cases choose: the one with the best mean Dice on them.
pub const BEST: &str = "best";

/// Most rounds of teaching.
const MOST_ROUNDS: u64 = 100;

/// Student: a network, or several, that learn from a teacher's annotations of the unlabelled cases.
#[derive(Debug, Clone, Serialize, Deserialize, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct StudentSection {
    /// Name of its row in the table.
    #[default("distilled".into())]
    pub name: String,
    /// The row of the paper's table that it is held against.
    pub paper: Option<PaperRow>,
    /// `ensemble`, or names of networks and of earlier students; the mean of several. In a study of folds
    /// a network is the mean of its folds, and the ensemble that of all.
    #[default(Names::One(ENSEMBLE.into()))]
    pub teacher: Names,
    /// A network's name; or `best`, the one with the best mean Dice on the validation cases; or several, which
    /// learn each alone and predict together.
    #[default(Names::One(BEST.into()))]
    pub network: Names,
    /// The teacher's labels, or its probabilities.
    pub targets: Targets,
    /// Temperature of the probabilities (Hinton et al. 2015), 1 to 20.
    pub temperature: Temperature,
    /// Rounds of teaching: in each but the first, the student of the round before is the teacher (Xie et al.
    /// 2020, "Self-training with Noisy Student"). All networks begin anew in each.
    #[default(1)]
    pub rounds: u64,
    /// Share of the samples that are pseudo-labelled; without it, every case is drawn alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Settings over those of its networks, for student and control alike: a student's noise, for example.
    pub settings: Table,
}

/// A name, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// A single name.
    One(String),
    /// Several names, in their order.
    Several(Vec<String>),
}

impl Names {
    /// All names.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

/// Checks the students of a study with these networks.
///
/// # Errors
/// Names the first student, its field and its value, and the way out.
pub fn check_students(students: &[StudentSection], networks: &[&str]) -> Result<(), ConfigError> {
    for (place, student) in students.iter().enumerate() {
        let earlier: Vec<&str> = students[..place].iter().map(|one| one.name.as_str()).collect();
        check_student(student, &earlier, networks)?;
    }
    Ok(())
}

fn check_student(
    student: &StudentSection,
    earlier: &[&str],
    networks: &[&str],
) -> Result<(), ConfigError> {
    let StudentSection { name, targets, temperature, rounds, share, .. } = student;
    let refuse = |field: &str, value: &dyn std::fmt::Display, problem: &str, way_out: &str| {
        let field = format!("student.{field}");
        Err(ConfigError::new(
            field,
            value.to_string(),
            format!("{problem} of student `{name}`"),
            way_out,
        ))
    };
    let is_taken = [ENSEMBLE, BEST, "control"].contains(&name.as_str())
        || [earlier, networks].concat().contains(&name.as_str());
    if is_taken || name.is_empty() {
        return refuse("name", name, "a second use of the name", "give each row a name of its own");
    }
    let teachers = student.teacher.as_slice();
    let knows = |teacher: &&String| {
        *teacher == ENSEMBLE || [earlier, networks].concat().contains(&teacher.as_str())
    };
    if let Some(stranger) = teachers.iter().find(|teacher| !knows(teacher)) {
        let known = [&[ENSEMBLE][..], networks, earlier].concat().join(", ");
        let way_out = format!("they are {known}; a student teaches those behind it");
        return refuse("teacher", stranger, "no teacher", &way_out);
    }
    let own = student.network.as_slice();
    let is_network = |network: &&String| *network == BEST || networks.contains(&network.as_str());
    if let Some(stranger) = own.iter().find(|network| !is_network(network)) {
        let way_out = format!("they are {}, or say best", networks.join(", "));
        return refuse("network", stranger, "no network", &way_out);
    }
    for (field, names) in [("teacher", teachers), ("network", own)] {
        if names.is_empty() {
            return refuse(field, &"[]", "nobody to be the part", "name one, or leave it out");
        }
        let is_twice = |name: &&String| names.iter().filter(|other| other == name).count() > 1;
        if let Some(twice) = names.iter().find(is_twice) {
            return refuse(field, twice, "a name that is there twice", "name each once");
        }
    }
    if Temperature::new(temperature.value()).is_none() {
        let way_out = format!("write 1 to {}", Temperature::MAX);
        return refuse("temperature", temperature, "no temperature", &way_out);
    }
    if *targets == Targets::Hard && !temperature.is_one() {
        let way_out = "say targets = \"soft\", or leave it out";
        return refuse(
            "temperature",
            temperature,
            "a temperature of labels, which have none,",
            way_out,
        );
    }
    if !(1..=MOST_ROUNDS).contains(rounds) {
        let way_out = format!("write 1 to {MOST_ROUNDS}");
        return refuse("rounds", rounds, "no number of rounds", &way_out);
    }
    match share.filter(|share| !(*share > 0.0 && *share < 1.0)) {
        Some(share) => {
            let way_out = "write a share between 0 and 1, or leave it out";
            refuse("share", &share, "no share", way_out)
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        student: Vec<StudentSection>,
    }

    fn checked(text: &str) -> Result<Vec<StudentSection>, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let checked = check_students(&file.student, &["unet", "cascaded"]);
        checked.map(|()| file.student).map_err(|error| error.to_string())
    }

    #[test]
    fn a_student_is_the_papers_unless_it_says_otherwise() {
        let students = checked("[[student]]").unwrap();
        let StudentSection { name, teacher, network, targets, temperature, rounds, .. } =
            &students[0];
        assert_eq!((name.as_str(), *targets, *rounds), ("distilled", Targets::Hard, 1));
        assert_eq!(
            (teacher.as_slice(), network.as_slice()),
            (&["ensemble".to_owned()][..], &["best".to_owned()][..])
        );
        assert!(temperature.is_one());
        let text = "[[student]]\nname = \"a\"\nnetwork = [\"unet\", \"cascaded\"]\n[[student]]\nname = \"b\"\nteacher = [\"a\", \"unet\"]\ntargets = \"soft\"\ntemperature = 2\nrounds = 3";
        assert_eq!(checked(text).unwrap()[1].temperature.value(), 2.0);
    }

    #[test]
    fn what_cannot_be_taught_is_refused_by_student_and_field() {
        for (text, words) in [
            ("name = \"unet\"", "student.name"),
            ("name = \"control\"", "student.name"),
            ("teacher = \"nobody\"", "student.teacher = nobody"),
            ("teacher = \"distilled\"", "student.teacher"),
            ("teacher = []", "student.teacher"),
            ("network = \"ensemble\"", "student.network = ensemble"),
            ("network = [\"unet\", \"unet\"]", "there twice"),
            ("temperature = 2", "targets = \"soft\""),
            ("targets = \"soft\"\ntemperature = 0.5", "student.temperature = 0.5"),
            ("rounds = 0", "student.rounds = 0"),
            ("share = nan", "student.share"),
            ("share = 1.0", "between 0 and 1"),
            ("targets = \"medium\"", "medium"),
        ] {
            let error = checked(&format!("[[student]]\n{text}")).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        let twice = checked("[[student]]\n[[student]]").unwrap_err();
        assert!(twice.contains("student.name"), "{twice}");
    }
}
