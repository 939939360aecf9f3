//! The paper's protocol, from the cases to the table: every network alone, their average, what it
//! annotates, the student that learns from that, and the control.

use std::collections::BTreeMap;
use std::path::Path;

use crate::eval::cohort::CohortScore;
use crate::experiment::cohort::StudyCohort;
use crate::experiment::config::{Place, Recipe};
use crate::experiment::config_file::{BEST, NetworkText};
use crate::experiment::ledger::Ledger;
use crate::experiment::outcome::{Cases, CurvePoint, Outcome, Role, Row};
use crate::experiment::paper::PaperRow;
use crate::experiment::steps::{Counter, Trained, Workshop};
use crate::experiment::table;
use crate::run::ensemble::{Ensemble, Member};
use crate::run::failure::Failure;
use crate::run::prepare::Session;
use crate::train::run_directory::write_atomically;
use crate::volume::case::Split;
use crate::volume::region::Region;

/// Runs an experiment, or the rest of one, and writes its table into `out`.
///
/// # Errors
/// As its steps; a stop on request keeps what was done.
pub fn conduct(recipe: &Recipe, out: &Path, session: &Session) -> Result<Outcome, Failure> {
    let ledger = Ledger::open(out)?;
    let own_data = recipe.text.cohort.phantoms.as_ref().map(|_| out);
    let first = Place { seed: 0, own_data };
    let cohort = StudyCohort::gather(recipe, first, out, session)?;
    let task = session.progress.begin("experiment", "steps", steps(recipe));
    let progress = Counter::of(task.as_ref());
    let protocol = Protocol {
        recipe,
        shop: Workshop { ledger: &ledger, cohort: &cohort, session, progress },
        own_data,
    };
    let outcome = protocol.follow()?;
    write(out, &outcome)?;
    Ok(outcome)
}

/// Number of steps of an experiment.
fn steps(recipe: &Recipe) -> u64 {
    let networks = recipe.text.networks.len() as u64;
    let fractions = recipe.text.labelled_fractions.len() as u64;
    // Each network is trained and scored twice; the ensemble is scored and annotates; the student
    // and the control are trained and scored, and so is each point of the curve.
    recipe.text.seeds * (3 * networks + 2 + 4 + 2 * fractions)
}

/// Writes `table.md`, `table.csv` and `table.json`.
fn write(out: &Path, outcome: &Outcome) -> Result<(), Failure> {
    let mut document = serde_json::to_string_pretty(&table::document(outcome)?)
        .expect("an outcome serialises to JSON");
    document.push('\n');
    let files = [
        ("table.md", table::markdown(outcome)?),
        ("table.csv", table::csv(outcome)?),
        ("table.json", document),
    ];
    for (name, text) in files {
        write_atomically(&out.join(name), text.as_bytes())?;
    }
    Ok(())
}

struct Protocol<'a> {
    recipe: &'a Recipe,
    shop: Workshop<'a>,
    own_data: Option<&'a Path>,
}

/// Runs and scores of one network alone, over all seeds.
struct StandAlone<'a> {
    network: &'a NetworkText,
    runs: Vec<Trained>,
    validation: Vec<CohortScore>,
    test: Vec<CohortScore>,
}

/// Scores of the student, the control and the curve, over all seeds.
#[derive(Default)]
struct Students {
    distilled: Vec<CohortScore>,
    control: Vec<CohortScore>,
    steps: [Option<u64>; 2],
    /// Scores by point of the curve, then by seed.
    fractions: Vec<Vec<CohortScore>>,
}

impl<'a> Protocol<'a> {
    const fn place(&self, seed: u64) -> Place<'a> {
        Place { seed, own_data: self.own_data }
    }

    fn follow(&self) -> Result<Outcome, Failure> {
        let text = &self.recipe.text;
        let mut alone = Vec::new();
        for network in &text.networks {
            alone.push(self.stand_alone(network)?);
        }
        let validation: BTreeMap<String, f64> = alone
            .iter()
            .map(|one| (one.network.name.clone(), mean_dice(&one.validation)))
            .collect();
        let student = self.choose(&validation);
        let mut ensemble_scores = Vec::new();
        let mut pseudo_labels = Vec::new();
        let mut students = Students::default();
        students.fractions.resize_with(text.labelled_fractions.len(), Vec::new);
        for seed in 0..text.seeds {
            let ensemble = self.ensemble(&alone, seed as usize);
            let named = format!("ensemble seed {seed}");
            ensemble_scores.push(self.shop.score(&named, &ensemble, Split::Test)?);
            let report = self.shop.annotate(&named, &ensemble, text.student.targets)?;
            pseudo_labels.extend(report.quality.as_ref().map(dice_of));
            let teacher = report.teacher.to_string();
            self.teach(student, seed, &teacher, &mut students)?;
        }
        let curve = self.curve(&students)?;
        let part = |part: Split| self.shop.cohort.files(part).len();
        Ok(Outcome {
            name: text.name.clone(),
            phantom: text.cohort.phantoms.is_some(),
            cases: Cases {
                train: part(Split::Train),
                validation: part(Split::Validation),
                test: part(Split::Test),
                unlabelled: part(Split::Unlabelled),
            },
            seeds: text.seeds,
            student: student.name.clone(),
            validation,
            rows: rows(alone, ensemble_scores, students),
            pseudo_labels,
            curve,
        })
    }

    /// Trains a network on the labelled cases, once a seed, and scores it.
    fn stand_alone(&self, network: &'a NetworkText) -> Result<StandAlone<'a>, Failure> {
        let mut done =
            StandAlone { network, runs: Vec::new(), validation: Vec::new(), test: Vec::new() };
        for seed in 0..self.recipe.text.seeds {
            let config = self.recipe.stand_alone(network, self.place(seed))?;
            let named = format!("{} seed {seed}", network.name);
            let run = self.shop.train(&named, &config)?;
            let alone = self.alone(&run);
            done.validation.push(self.shop.score(&named, &alone, Split::Validation)?);
            done.test.push(self.shop.score(&named, &alone, Split::Test)?);
            done.runs.push(run);
        }
        Ok(done)
    }

    fn alone(&self, run: &Trained) -> Ensemble {
        Ensemble { which: self.recipe.text.checkpoint, ..Ensemble::of_run(&run.folder) }
    }

    /// Chooses the student's network: the one that is named, or the best on the validation cases.
    /// Of two that are equally good, the first.
    fn choose(&self, validation: &BTreeMap<String, f64>) -> &'a NetworkText {
        let text = &self.recipe.text;
        if text.student.network != BEST {
            let named = self.recipe.network(&text.student.network);
            return named.expect("checked when the study was read");
        }
        let mut networks = text.networks.iter();
        let first = networks.next().expect("checked when the study was read");
        networks.fold(first, |best, one| {
            if validation[&one.name] > validation[&best.name] { one } else { best }
        })
    }

    /// The runs of one seed that are averaged.
    fn ensemble(&self, alone: &[StandAlone<'_>], seed: usize) -> Ensemble {
        let text = &self.recipe.text.ensemble;
        let members = self.recipe.members();
        let mut weights = text.weights.iter().copied();
        let of_member = |one: &StandAlone<'_>| Member {
            run: one.runs[seed].folder.clone(),
            weight: weights.next().unwrap_or(1.0),
        };
        let is_member =
            |one: &&StandAlone<'_>| members.iter().any(|member| member.name == one.network.name);
        Ensemble {
            members: alone.iter().filter(is_member).map(of_member).collect(),
            which: self.recipe.text.checkpoint,
            mirrored: text.mirrored,
        }
    }

    /// Trains and scores student, control and the curve's points of one seed. All take the steps,
    /// and the learning rate at each step, that labelled and pseudo-labelled cases together give.
    fn teach(
        &self,
        network: &NetworkText,
        seed: u64,
        teacher: &str,
        students: &mut Students,
    ) -> Result<(), Failure> {
        let place = self.place(seed);
        let plain = self.recipe.student(network, place, &[])?.run;
        let both = [Split::Train, Split::Unlabelled];
        let cases: usize = both.iter().map(|part| self.shop.cohort.files(*part).len()).sum();
        let samples = cases as u64 * plain.loader.patches_per_case;
        let per_epoch = plain.train.epoch_steps(samples, plain.loader.batch);
        let as_many = format!("train.steps_per_epoch={per_epoch}");
        let mut pseudo = vec![
            as_many.clone(),
            format!("data.pseudo.teacher=\"{teacher}\""),
            format!("data.pseudo.targets=\"{}\"", self.recipe.text.student.targets.name()),
        ];
        pseudo.extend(
            self.recipe.text.student.share.map(|share| format!("data.pseudo.share={share}")),
        );
        let run = |role: &str, assignments: &[String]| {
            let config = self.recipe.student(network, place, assignments)?;
            let named = format!("{role} {} seed {seed}", network.name);
            let run = self.shop.train(&named, &config)?;
            let scores = self.shop.score(&named, &self.alone(&run), Split::Test)?;
            Ok::<_, Failure>((run.steps, scores))
        };
        let (steps, scores) = run("distilled", &pseudo)?;
        students.steps[0] = Some(steps);
        students.distilled.push(scores);
        let (steps, scores) = run("control", std::slice::from_ref(&as_many))?;
        students.steps[1] = Some(steps);
        students.control.push(scores);
        for (point, share) in
            students.fractions.iter_mut().zip(&self.recipe.text.labelled_fractions)
        {
            let fraction = format!("data.labelled_fraction={share:?}");
            point.push(run(&format!("fraction {share}"), &[as_many.clone(), fraction])?.1);
        }
        Ok(())
    }

    /// Dice by the amount of labelled data; the control is the whole of it.
    fn curve(&self, students: &Students) -> Result<Vec<CurvePoint>, Failure> {
        let shares = &self.recipe.text.labelled_fractions;
        if shares.is_empty() {
            return Ok(Vec::new());
        }
        let points = shares.iter().copied().zip(&students.fractions);
        let mut curve = Vec::new();
        for (fraction, runs) in points.chain([(1.0, &students.control)]) {
            let row = plain_row(String::new(), Role::Control, None, runs.clone());
            let mut dice = BTreeMap::new();
            let mut sd = BTreeMap::new();
            for region in Region::ALL {
                let found = row.summary(region)?.expect("a point has been scored");
                dice.insert(region.name(), found.mean);
                sd.insert(region.name(), found.sd);
            }
            curve.push(CurvePoint { fraction, dice, sd });
        }
        curve.sort_by(|a, b| a.fraction.total_cmp(&b.fraction));
        Ok(curve)
    }
}

fn plain_row(name: String, role: Role, paper: Option<PaperRow>, runs: Vec<CohortScore>) -> Row {
    Row { name, role, paper, steps: None, runs }
}

fn rows(alone: Vec<StandAlone<'_>>, ensemble: Vec<CohortScore>, students: Students) -> Vec<Row> {
    let mut rows: Vec<Row> = alone
        .into_iter()
        .map(|one| Row {
            steps: one.runs.first().map(|run| run.steps),
            ..plain_row(one.network.name.clone(), Role::StandAlone, one.network.paper, one.test)
        })
        .collect();
    let Students { distilled, control, steps: [of_distilled, of_control], .. } = students;
    rows.push(plain_row("ensemble".into(), Role::Ensemble, Some(PaperRow::Ensemble), ensemble));
    let paper = Some(PaperRow::Distilled);
    let row = plain_row("distilled".into(), Role::Distilled, paper, distilled);
    rows.push(Row { steps: of_distilled, ..row });
    let row = plain_row("control".into(), Role::Control, None, control);
    rows.push(Row { steps: of_control, ..row });
    rows
}

/// Mean over regions, cases and seeds.
fn mean_dice(runs: &[CohortScore]) -> f64 {
    let all = runs.iter().flat_map(|run| Region::ALL.map(|region| run.summary(region).dice.mean));
    all.sum::<f64>() / (runs.len() * Region::COUNT) as f64
}

fn dice_of(scores: &CohortScore) -> BTreeMap<&'static str, f64> {
    Region::ALL.map(|region| (region.name(), scores.summary(region).dice.mean)).into()
}
