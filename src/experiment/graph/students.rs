//! Students as a graph: a teacher annotates the unlabelled cases, networks learn from that, round after
//! round; and the same networks take as many steps on the labelled cases alone.

use std::collections::BTreeMap;

use crate::base::Fingerprint;
use crate::experiment::graph::builder::{GraphBuilder, TrainRequest};
use crate::experiment::graph::step::{
    CandidateRef, EnsembleRef, EpochLength, MemberRef, NetworkRef, TeachingRef, TrainWork,
};
use crate::experiment::graph::table_work::{CurvePointRef, LabelRef, RowRef, StudentRef};
use crate::experiment::outcome::Role;
use crate::experiment::student_section::{BEST, ENSEMBLE, StudentSection};
use crate::run::Failure;
use crate::volume::{Split, Targets};

/// Members that predict together, by repetition.
pub type MembersBySeed = Vec<Vec<MemberRef>>;

/// Networks, ensembles and students that may teach, by name.
pub type Teachers = BTreeMap<String, MembersBySeed>;

/// Rows and other parts of a table that students give.
#[derive(Default)]
pub struct StudentRows {
    /// Rows of students and controls.
    pub rows: Vec<RowRef>,
    /// Networks of each student.
    pub students: Vec<StudentRef>,
    /// Annotations that they learn from.
    pub labels: Vec<LabelRef>,
    /// Dice of the first student's networks by the amount of labelled data.
    pub curve: Vec<CurvePointRef>,
}

/// Adds the steps of all students of a study.
///
/// `candidates` are the networks that `best` is chosen from; `rivals` are rows that each student is held
/// against, beside its control and the student that taught it.
///
/// # Errors
/// If no run takes the settings of a step.
pub fn add_students(
    builder: &mut GraphBuilder<'_>,
    teachers: Teachers,
    candidates: &[CandidateRef],
    rivals: &[String],
) -> Result<StudentRows, Failure> {
    let experiment = builder.experiment;
    let mut graph = StudentsGraph {
        builder,
        teachers,
        candidates,
        rows: StudentRows::default(),
        controls: Vec::new(),
    };
    for student in &experiment.text.students {
        graph.add_student(student, rivals)?;
    }
    if let Some(first) = experiment.text.students.first() {
        graph.add_curve(first)?;
    }
    Ok(graph.into_rows())
}

struct StudentsGraph<'a, 'b> {
    builder: &'b mut GraphBuilder<'a>,
    teachers: Teachers,
    candidates: &'b [CandidateRef],
    rows: StudentRows,
    controls: Vec<Control>,
}

/// Control of one student, or of several that have the same networks and settings.
struct Control {
    /// The first of them.
    student: StudentSection,
    /// Rows of these students, which are held against it.
    rows: Vec<String>,
    steps: RoleSteps,
}

/// Steps of one role, by repetition.
struct RoleSteps {
    members: MembersBySeed,
    scores: Vec<Fingerprint>,
}

/// Networks of a student in one role: taught, as the control, or trained on a share of the cases.
struct RoleRequest<'s> {
    student: &'s StudentSection,
    /// Name of the role, which its repetitions share.
    role: String,
    labelled_fraction: Option<f64>,
    /// Steps that annotated the cases, by repetition; none without a teacher.
    labels: Vec<Fingerprint>,
}

impl StudentsGraph<'_, '_> {
    /// Adds every round of a student, and its control.
    fn add_student(&mut self, student: &StudentSection, rivals: &[String]) -> Result<(), Failure> {
        let mut teacher = (student.teacher.as_slice().join(" + "), self.first_teachers(student));
        let mut taught = self.student_that_teaches(student);
        let mut rows = Vec::new();
        for round in 1..=student.rounds {
            let labels = self.add_labels(student, &teacher.0, &teacher.1);
            let role = match round {
                1 => student.name.clone(),
                later => format!("{} round {later}", student.name),
            };
            let steps = self.add_role(&RoleRequest {
                student,
                role: role.clone(),
                labelled_fraction: None,
                labels,
            })?;
            let is_last = round == student.rounds;
            let name = row_name(student, round);
            let rivals = rivals.iter().cloned().chain(taught.take()).collect();
            let paper = student.paper.filter(|_| is_last);
            let row = steps.to_row(&name, Role::Distilled);
            self.rows.rows.push(RowRef { paper, rivals, ..row });
            let predictors =
                steps.members.iter().map(|own| self.builder.fold_predictor(own.clone()));
            teacher = (role, predictors.collect());
            rows.push(name.clone());
            taught = Some(name);
            if is_last {
                self.teachers.insert(student.name.clone(), steps.members);
            }
        }
        let networks = self.networks_of(student);
        self.rows.students.push(StudentRef { name: student.name.clone(), networks });
        self.add_control(student, rows)
    }

    /// Predictors of a student's first teacher, by repetition.
    fn first_teachers(&self, student: &StudentSection) -> Vec<EnsembleRef> {
        let names = student.teacher.as_slice();
        let predictor = |seed: u64| {
            let own = names.iter().flat_map(|name| self.teachers[name][seed as usize].clone());
            match names {
                [only] if only == ENSEMBLE => self.builder.ensemble(own.collect()),
                _ => self.builder.fold_predictor(own.collect()),
            }
        };
        (0..self.builder.experiment.text.seeds).map(predictor).collect()
    }

    /// Row of the earlier student that alone teaches a student.
    fn student_that_teaches(&self, student: &StudentSection) -> Option<String> {
        let [only] = student.teacher.as_slice() else { return None };
        let mut students = self.builder.experiment.text.students.iter();
        let earlier = students.find(|earlier| earlier.name == *only)?;
        Some(row_name(earlier, earlier.rounds))
    }

    /// Adds the annotation of the unlabelled cases by a teacher, once a repetition.
    fn add_labels(
        &mut self,
        student: &StudentSection,
        teacher: &str,
        predictors: &[EnsembleRef],
    ) -> Vec<Fingerprint> {
        let named = match (student.targets, student.temperature.is_one()) {
            (Targets::Hard, _) => teacher.to_owned(),
            (Targets::Soft, true) => format!("{teacher} soft"),
            (Targets::Soft, false) => format!("{teacher} soft at {}", student.temperature),
        };
        let mut steps = Vec::new();
        for (seed, predictor) in predictors.iter().enumerate() {
            let subject = format!("{named} seed {seed}");
            let kind = (student.targets, student.temperature);
            steps.push(self.builder.label(&subject, &named, predictor.clone(), kind));
        }
        if self.rows.labels.iter().all(|other| other.steps != steps) {
            self.rows.labels.push(LabelRef { name: named, steps: steps.clone() });
        }
        steps
    }

    /// Adds the control that these rows of a student are held against, unless an earlier student has the
    /// same.
    fn add_control(&mut self, student: &StudentSection, rows: Vec<String>) -> Result<(), Failure> {
        let same = |other: &Control| {
            (&other.student.network, &other.student.settings)
                == (&student.network, &student.settings)
        };
        if let Some(control) = self.controls.iter_mut().find(|other| same(other)) {
            control.rows.extend(rows);
            return Ok(());
        }
        let role = format!("control of {}", student.name);
        let request = RoleRequest { student, role, labelled_fraction: None, labels: Vec::new() };
        let steps = self.add_role(&request)?;
        self.controls.push(Control { student: student.clone(), rows, steps });
        Ok(())
    }

    /// Adds the first student's networks on shares of the labelled cases.
    fn add_curve(&mut self, student: &StudentSection) -> Result<(), Failure> {
        for fraction in self.builder.experiment.text.labelled_fractions.clone() {
            let role = format!("fraction {fraction}");
            let labels = Vec::new();
            let labelled_fraction = Some(fraction);
            let steps = self.add_role(&RoleRequest { student, role, labelled_fraction, labels })?;
            self.rows.curve.push(CurvePointRef { fraction, scores: steps.scores });
        }
        if !self.rows.curve.is_empty() {
            let scores = self.controls[0].steps.scores.clone();
            self.rows.curve.push(CurvePointRef { fraction: 1.0, scores });
        }
        self.rows.curve.sort_by(|a, b| a.fraction.total_cmp(&b.fraction));
        Ok(())
    }

    /// Trains and scores the networks of a role, once a repetition. All roles take the steps, and the
    /// learning rate at each step, that labelled and unlabelled cases together give.
    fn add_role(&mut self, request: &RoleRequest<'_>) -> Result<RoleSteps, Failure> {
        let RoleRequest { student, role, labelled_fraction, labels } = request;
        let names = student.network.as_slice();
        let networks = self.networks_of(student);
        let builder = &mut *self.builder;
        let mut steps = RoleSteps { members: Vec::new(), scores: Vec::new() };
        for seed in 0..builder.experiment.text.seeds {
            let teaching = labels.get(seed as usize).map(|label| TeachingRef {
                label: *label,
                targets: student.targets,
                temperature: student.temperature,
                share: student.share,
            });
            let named = format!("{role} seed {seed}");
            let mut members = Vec::new();
            for (name, network) in names.iter().zip(&networks) {
                let work = builder.train_work(TrainRequest {
                    network: network.clone(),
                    settings: &student.settings,
                    place: builder.place(seed, None),
                    labelled_fraction: *labelled_fraction,
                    length: EpochLength::OfAllCases,
                })?;
                let subject = match names.len() {
                    1 => named.clone(),
                    _ => format!("{role} {name} seed {seed}"),
                };
                let work = TrainWork { teaching: teaching.clone(), ..work };
                members.push(MemberRef { train: builder.train(&subject, role, work), weight: 1.0 });
            }
            let predictor = builder.fold_predictor(members.clone());
            steps.scores.push(builder.score(&named, role, predictor, Split::Test));
            steps.members.push(members);
        }
        Ok(steps)
    }

    fn networks_of(&mut self, student: &StudentSection) -> Vec<NetworkRef> {
        let names = student.network.as_slice().iter();
        let network = |name: &String| match name.as_str() {
            BEST => {
                NetworkRef::Chosen(self.builder.choose("best network", self.candidates.to_vec()))
            }
            name => NetworkRef::Named(name.to_owned()),
        };
        names.map(network).collect()
    }

    /// Puts the controls behind the students, and holds these against theirs.
    fn into_rows(self) -> StudentRows {
        let Self { mut rows, controls, .. } = self;
        let is_only = controls.len() == 1;
        for control in controls {
            let name = match is_only {
                true => "control".to_owned(),
                false => format!("control of {}", control.student.name),
            };
            for row in rows.rows.iter_mut().filter(|row| control.rows.contains(&row.name)) {
                row.rivals.push(name.clone());
            }
            rows.rows.push(control.steps.to_row(&name, Role::Control));
        }
        rows
    }
}

impl RoleSteps {
    fn to_row(&self, name: &str, role: Role) -> RowRef {
        let train = self.members.first().and_then(|members| members.first());
        RowRef {
            name: name.to_owned(),
            role,
            paper: None,
            train: train.map(|member| member.train),
            scores: self.scores.clone(),
            rivals: Vec::new(),
        }
    }
}

/// Name of a student's row after a round.
fn row_name(student: &StudentSection, round: u64) -> String {
    match student.rounds {
        1 => student.name.clone(),
        _ => format!("{} round {round}", student.name),
    }
}
