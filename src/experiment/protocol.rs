//! The paper's protocol, from the cases to the table: every network alone, their average, what it
//! annotates, the student that learns from that, and the control.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::{write_atomically, write_json};
use crate::eval::CohortScore;
use crate::experiment::cohort::ExperimentCohort;
use crate::experiment::config::{ExperimentConfig, Repetition};
use crate::experiment::config_file::{BEST, NetworkSection};
use crate::experiment::ledger::ExperimentFolder;
use crate::experiment::outcome::{
    CaseCounts, CurvePoint, ExperimentOutcome, Role, TableRow, region_names,
};
use crate::experiment::paper::PaperRow;
use crate::experiment::steps::{StepProgress, StepRunner, TrainedRun};
use crate::experiment::table;
use crate::run::{Ensemble, Failure, Member, Session};
use crate::volume::Split;

/// Runs an experiment, or the rest of one, and writes its table into `out`.
///
/// # Errors
/// As its steps; a stop on request keeps what was done.
pub fn run_experiment(
    experiment: &ExperimentConfig,
    out: &Path,
    session: &Session,
) -> Result<ExperimentOutcome, Failure> {
    let ledger = ExperimentFolder::open(out)?;
    let own_data = experiment.text.cohort.phantoms.as_ref().map(|_| out);
    let first = Repetition { seed: 0, own_data };
    let cohort = ExperimentCohort::ingest_and_split(experiment, first, out, session)?;
    let task = session.progress.begin_task("experiment", "steps", step_count(experiment));
    let progress = StepProgress::new(task.as_ref());
    let protocol = Protocol {
        experiment,
        runner: StepRunner { ledger: &ledger, cohort: &cohort, session, progress },
        own_data,
    };
    let outcome = protocol.run_all_steps()?;
    write_tables(out, &outcome)?;
    Ok(outcome)
}

fn step_count(experiment: &ExperimentConfig) -> u64 {
    let networks = experiment.text.networks.len() as u64;
    let fractions = experiment.text.labelled_fractions.len() as u64;
    // Each network is trained and scored twice; the ensemble is scored and annotates; the student
    // and the control are trained and scored, and so is each point of the curve.
    experiment.text.seeds * (3 * networks + 2 + 4 + 2 * fractions)
}

/// Writes `table.md`, `table.csv` and `table.json`.
fn write_tables(out: &Path, outcome: &ExperimentOutcome) -> Result<(), Failure> {
    write_atomically(&out.join("table.md"), table::to_markdown(outcome)?.as_bytes())?;
    write_atomically(&out.join("table.csv"), table::to_csv(outcome)?.as_bytes())?;
    Ok(write_json(&out.join("table.json"), &table::to_json(outcome)?)?)
}

struct Protocol<'a> {
    experiment: &'a ExperimentConfig,
    runner: StepRunner<'a>,
    own_data: Option<&'a Path>,
}

/// Runs and scores of one network alone, over all seeds.
struct StandAloneRuns<'a> {
    network: &'a NetworkSection,
    runs: Vec<TrainedRun>,
    validation: Vec<CohortScore>,
    test: Vec<CohortScore>,
}

/// Scores of the student, the control and the curve, over all seeds.
#[derive(Default)]
struct StudentScores {
    distilled: Vec<CohortScore>,
    control: Vec<CohortScore>,
    steps: [Option<u64>; 2],
    /// Scores by point of the curve, then by seed.
    fractions: Vec<Vec<CohortScore>>,
}

impl<'a> Protocol<'a> {
    const fn repetition(&self, seed: u64) -> Repetition<'a> {
        Repetition { seed, own_data: self.own_data }
    }

    fn run_all_steps(&self) -> Result<ExperimentOutcome, Failure> {
        let text = &self.experiment.text;
        let mut alone = Vec::new();
        for network in &text.networks {
            alone.push(self.train_stand_alone(network)?);
        }
        let validation: BTreeMap<String, f64> = alone
            .iter()
            .map(|one| (one.network.name.clone(), mean_dice(&one.validation)))
            .collect();
        let student = self.choose_student(&validation);
        let mut ensemble_scores = Vec::new();
        let mut pseudo_labels = Vec::new();
        let mut students = StudentScores::default();
        students.fractions.resize_with(text.labelled_fractions.len(), Vec::new);
        for seed in 0..text.seeds {
            let ensemble = self.ensemble_of_seed(&alone, seed as usize);
            let named = format!("ensemble seed {seed}");
            ensemble_scores.push(self.runner.score_split(&named, &ensemble, Split::Test)?);
            let report =
                self.runner.annotate_unlabelled(&named, &ensemble, text.student.targets)?;
            pseudo_labels.extend(report.quality.as_ref().map(dice_by_region));
            let teacher = report.teacher.to_string();
            self.train_students(student, seed, &teacher, &mut students)?;
        }
        let curve = self.labelled_data_curve(&students)?;
        let part = |part: Split| self.runner.cohort.files_of_split(part).len();
        Ok(ExperimentOutcome {
            name: text.name.clone(),
            phantom: text.cohort.phantoms.is_some(),
            cases: CaseCounts {
                train: part(Split::Train),
                validation: part(Split::Validation),
                test: part(Split::Test),
                unlabelled: part(Split::Unlabelled),
            },
            seeds: text.seeds,
            student: student.name.clone(),
            validation,
            rows: table_rows(alone, ensemble_scores, students),
            pseudo_labels,
            curve,
        })
    }

    /// Trains a network on the labelled cases, once a seed, and scores it.
    fn train_stand_alone(
        &self,
        network: &'a NetworkSection,
    ) -> Result<StandAloneRuns<'a>, Failure> {
        let mut done =
            StandAloneRuns { network, runs: Vec::new(), validation: Vec::new(), test: Vec::new() };
        for seed in 0..self.experiment.text.seeds {
            let config = self.experiment.stand_alone_config(network, self.repetition(seed))?;
            let named = format!("{} seed {seed}", network.name);
            let run = self.runner.train_run(&named, &config)?;
            let alone = self.single_run(&run);
            done.validation.push(self.runner.score_split(&named, &alone, Split::Validation)?);
            done.test.push(self.runner.score_split(&named, &alone, Split::Test)?);
            done.runs.push(run);
        }
        Ok(done)
    }

    fn single_run(&self, run: &TrainedRun) -> Ensemble {
        Ensemble { which: self.experiment.text.checkpoint, ..Ensemble::of_run(&run.folder) }
    }

    /// Chooses the student's network: the one that is named, or the best on the validation cases.
    /// Of two that are equally good, the first.
    fn choose_student(&self, validation: &BTreeMap<String, f64>) -> &'a NetworkSection {
        let text = &self.experiment.text;
        if text.student.network != BEST {
            let named = self.experiment.find_network(&text.student.network);
            return named.expect("checked when the study was read");
        }
        let mut networks = text.networks.iter();
        let first = networks.next().expect("checked when the study was read");
        networks.fold(first, |best, one| {
            if validation[&one.name] > validation[&best.name] { one } else { best }
        })
    }

    fn ensemble_of_seed(&self, alone: &[StandAloneRuns<'_>], seed: usize) -> Ensemble {
        let text = &self.experiment.text.ensemble;
        let members = self.experiment.ensemble_members();
        let mut weights = text.weights.iter().copied();
        let of_member = |one: &StandAloneRuns<'_>| Member {
            run: one.runs[seed].folder.clone(),
            weight: weights.next().unwrap_or(1.0),
        };
        let is_member = |one: &&StandAloneRuns<'_>| {
            members.iter().any(|member| member.name == one.network.name)
        };
        Ensemble {
            members: alone.iter().filter(is_member).map(of_member).collect(),
            which: self.experiment.text.checkpoint,
            mirrored: text.mirrored,
        }
    }

    /// Trains and scores student, control and the curve's points of one seed. All take the steps,
    /// and the learning rate at each step, that labelled and pseudo-labelled cases together give.
    fn train_students(
        &self,
        network: &NetworkSection,
        seed: u64,
        teacher: &str,
        students: &mut StudentScores,
    ) -> Result<(), Failure> {
        let place = self.repetition(seed);
        let plain = self.experiment.student_config(network, place, &[])?.run;
        let both = [Split::Train, Split::Unlabelled];
        let cases: usize =
            both.iter().map(|part| self.runner.cohort.files_of_split(*part).len()).sum();
        let samples = cases as u64 * plain.loader.patches_per_case;
        let per_epoch = plain.train.epoch_steps(samples, plain.loader.batch);
        let as_many = format!("train.steps_per_epoch={per_epoch}");
        let mut pseudo = vec![
            as_many.clone(),
            format!("data.pseudo.teacher=\"{teacher}\""),
            format!("data.pseudo.targets=\"{}\"", self.experiment.text.student.targets.name()),
        ];
        pseudo.extend(
            self.experiment.text.student.share.map(|share| format!("data.pseudo.share={share}")),
        );
        let run = |role: &str, assignments: &[String]| {
            let config = self.experiment.student_config(network, place, assignments)?;
            let named = format!("{role} {} seed {seed}", network.name);
            let run = self.runner.train_run(&named, &config)?;
            let scores = self.runner.score_split(&named, &self.single_run(&run), Split::Test)?;
            Ok::<_, Failure>((run.steps, scores))
        };
        let (steps, scores) = run("distilled", &pseudo)?;
        students.steps[0] = Some(steps);
        students.distilled.push(scores);
        let (steps, scores) = run("control", std::slice::from_ref(&as_many))?;
        students.steps[1] = Some(steps);
        students.control.push(scores);
        for (point, share) in
            students.fractions.iter_mut().zip(&self.experiment.text.labelled_fractions)
        {
            let fraction = format!("data.labelled_fraction={share:?}");
            point.push(run(&format!("fraction {share}"), &[as_many.clone(), fraction])?.1);
        }
        Ok(())
    }

    /// Dice by the amount of labelled data; the control is the whole of it.
    fn labelled_data_curve(&self, students: &StudentScores) -> Result<Vec<CurvePoint>, Failure> {
        let shares = &self.experiment.text.labelled_fractions;
        if shares.is_empty() {
            return Ok(Vec::new());
        }
        let points = shares.iter().copied().zip(&students.fractions);
        let mut curve = Vec::new();
        for (fraction, runs) in points.chain([(1.0, &students.control)]) {
            let row = plain_row(String::new(), Role::Control, None, runs.clone());
            let mut dice = BTreeMap::new();
            let mut sd = BTreeMap::new();
            for region in region_names(std::slice::from_ref(&row)) {
                let found = row.dice_summary(&region)?.expect("a point has been scored");
                dice.insert(region.clone(), found.mean);
                sd.insert(region, found.sd);
            }
            curve.push(CurvePoint { fraction, dice, sd });
        }
        curve.sort_by(|a, b| a.fraction.total_cmp(&b.fraction));
        Ok(curve)
    }
}

fn plain_row(
    name: String,
    role: Role,
    paper: Option<PaperRow>,
    runs: Vec<CohortScore>,
) -> TableRow {
    TableRow { name, role, paper, steps: None, runs }
}

fn table_rows(
    alone: Vec<StandAloneRuns<'_>>,
    ensemble: Vec<CohortScore>,
    students: StudentScores,
) -> Vec<TableRow> {
    let mut rows: Vec<TableRow> = alone
        .into_iter()
        .map(|one| TableRow {
            steps: one.runs.first().map(|run| run.steps),
            ..plain_row(one.network.name.clone(), Role::StandAlone, one.network.paper, one.test)
        })
        .collect();
    let StudentScores { distilled, control, steps: [of_distilled, of_control], .. } = students;
    rows.push(plain_row("ensemble".into(), Role::Ensemble, Some(PaperRow::Ensemble), ensemble));
    let paper = Some(PaperRow::Distilled);
    let row = plain_row("distilled".into(), Role::Distilled, paper, distilled);
    rows.push(TableRow { steps: of_distilled, ..row });
    let row = plain_row("control".into(), Role::Control, None, control);
    rows.push(TableRow { steps: of_control, ..row });
    rows
}

/// Mean over regions, cases and seeds.
fn mean_dice(runs: &[CohortScore]) -> f64 {
    let all = runs
        .iter()
        .flat_map(|run| run.summary_by_region().values().map(|of_region| of_region.dice.mean));
    let all: Vec<f64> = all.collect();
    all.iter().sum::<f64>() / all.len() as f64
}

fn dice_by_region(scores: &CohortScore) -> BTreeMap<String, f64> {
    let summary = scores.summary_by_region().iter();
    summary.map(|(region, measures)| (region.to_owned(), measures.dice.mean)).collect()
}
