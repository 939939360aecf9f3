//! Search over a network's settings as a graph: trials by rung, the ranking of each rung, and the winner, which
//! alone meets the test cases.

use crate::experiment::config::TrialPosition;
use crate::experiment::graph::builder::GraphBuilder;
use crate::experiment::graph::step::{StepWork, TrialRef, TrialScoreRef, TrialWork};
use crate::experiment::graph::table_work::{RungRef, TuningTableWork};
use crate::run::Failure;
use crate::volume::Split;

/// Adds the steps of the study's search; nothing if it has none.
///
/// # Errors
/// If no run takes the settings of a trial.
pub fn add_search(builder: &mut GraphBuilder<'_>, has_test_part: bool) -> Result<(), Failure> {
    let Some(tuning) = &builder.experiment.text.tuning else { return Ok(()) };
    let fold = builder.experiment.all_folds().first().copied();
    let place = builder.place(0, fold);
    let epochs = builder.experiment.tuned_epochs(tuning, place)?;
    let series = format!("{} trial", tuning.network);
    let mut rungs: Vec<RungRef> = Vec::new();
    for rung in tuning.plan_rungs(epochs) {
        let mut trials = Vec::new();
        for number in 0..rung.trials {
            let trial = match rungs.last() {
                None => {
                    let number = number as u64;
                    let position = TrialPosition { number, pause_after: rung.epochs };
                    let config = builder.experiment.trial_config(tuning, place, position)?;
                    TrialRef::Drawn { number, deciding: config.fingerprint() }
                }
                Some(below) => TrialRef::Promoted { ranking: below.ranking, place: number },
            };
            let subject = format!("{} rung {} trial {number}", tuning.network, rungs.len());
            let train =
                builder.trial(&subject, &series, TrialWork { fold, epochs: rung.epochs, trial });
            let alone = builder.single_run(train);
            let score = builder.score(&subject, &series, alone, Split::Validation);
            trials.push(TrialScoreRef { train, score });
        }
        let subject = format!("{} rung {}", tuning.network, rungs.len());
        let ranking = builder.rank(&subject, trials.clone());
        rungs.push(RungRef { epochs: rung.epochs, trials, ranking });
    }
    let last = rungs.last().expect("a search has a rung").ranking;
    let trial = TrialRef::Promoted { ranking: last, place: 0 };
    let subject = format!("{} tuned", tuning.network);
    let best = builder.trial(&subject, &subject, TrialWork { fold, epochs, trial });
    let test = has_test_part.then(|| {
        let alone = builder.single_run(best);
        builder.score(&subject, &subject, alone, Split::Test)
    });
    let work = TuningTableWork { fold, rungs, best, test };
    let of = work.input_steps();
    builder.table("tuning", StepWork::TuningTable(work), of);
    Ok(())
}
