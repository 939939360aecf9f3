//! The crate inside another program: batches from a builder, a run from a builder.

use gliaflow::prelude::*;
use tempfile::TempDir;

fn phantom_folder(cases: u64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_phantom_cases(folder.path().join("data"), cases, [24, 24, 24]).unwrap();
    folder
}

fn builder(folder: &TempDir) -> LoaderBuilder {
    Loader::builder(folder.path().join("data"))
        .cache(folder.path().join("cache"))
        .patch([16, 16, 16])
        .patches_per_case(2)
        .seed(5)
}

fn take(loader: &mut Loader, count: usize) -> Vec<Batch> {
    loader.take(count).collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_resumed_loader_gives_the_batches_of_one_that_was_not_stopped() {
    let folder = phantom_folder(3);
    let mut whole = builder(&folder).start().unwrap();
    assert_eq!((whole.cases().len(), whole.samples_per_epoch()), (3, 6));
    let expected = take(&mut whole, 7);
    let counts = whole.stop_and_join().unwrap();
    assert!(counts.delivered >= 14 && counts.in_flight == 0, "{counts:?}");

    let mut first = builder(&folder).start().unwrap();
    assert!(take(&mut first, 3) == expected[..3]);
    let position = first.next_position();
    drop(first);
    let resumed = builder(&folder).resume_at(position).prefetch(1).without_cache().start();
    assert!(take(&mut resumed.unwrap(), 4) == expected[3..]);
}

#[test]
fn a_loader_runs_on_the_runtime_of_its_caller() {
    let folder = phantom_folder(2);
    let runtime = gliaflow::run::LifecycleRuntime::start().unwrap();
    let mut loader = builder(&folder).runtime(runtime.tokio_handle().clone()).start().unwrap();
    assert_eq!(take(&mut loader, 1)[0].size(), 2);
}

#[test]
fn what_cannot_be_is_refused_by_its_name() {
    let folder = phantom_folder(2);
    let refusal = |builder: LoaderBuilder| builder.start().err().expect("refused").to_string();
    let named = refusal(builder(&folder).cases(["nobody"]));
    assert!(named.contains("\"nobody\"") && named.contains("gliaflow inspect"), "{named}");
    let batch = refusal(builder(&folder).batch(0));
    assert!(batch.contains("batch = 0"), "{batch}");
    let share = refusal(builder(&folder).foreground_share(1.5));
    assert!(share.contains("foreground_share = 1.5"), "{share}");
    let missing = refusal(Loader::builder(folder.path().join("none")));
    assert!(missing.contains("none"), "{missing}");
}

#[test]
fn samples_come_from_the_named_cases_alone() {
    let folder = phantom_folder(3);
    let whole = builder(&folder).start().unwrap();
    let name = whole.cases()[1].id.to_string();
    let mut loader = builder(&folder).cases([&name]).start().unwrap();
    let batches = take(&mut loader, 2);
    let origins = batches.iter().flat_map(|batch| &batch.provenance);
    assert!(origins.clone().count() == 4);
    assert!(origins.into_iter().all(|origin| origin.case.as_str() == name));
}

#[test]
fn a_fault_is_the_last_item() {
    let folder = phantom_folder(2);
    for case in builder(&folder).start().unwrap().cases() {
        std::fs::write(&case.images[0], b"no image").unwrap();
    }
    let loader = builder(&folder).without_cache().on_skip(|_| {}).start();
    // The header of every case is unreadable, so there is nothing to start with.
    assert_eq!(loader.err().expect("no case is usable").exit_code(), 3);

    let folder = phantom_folder(2);
    let started = builder(&folder).without_cache().on_skip(|_| {}).start();
    let loader = started.unwrap();
    for case in loader.cases() {
        let bytes = std::fs::read(&case.images[1]).unwrap();
        std::fs::write(&case.images[1], &bytes[..bytes.len() / 2]).unwrap();
    }
    let items: Vec<_> = loader.collect();
    assert!(items.last().expect("the fault").is_err());
    assert_eq!(items.iter().filter(|item| item.is_err()).count(), 1);
}

#[cfg(feature = "train")]
mod training {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use serde_json::json;

    use super::*;

    fn builder(folder: &TempDir) -> TrainingBuilder {
        Training::builder(folder.path().join("data"))
            .cache(folder.path().join("cache"))
            .run_folder(folder.path().join("run"))
            .network("unet")
            .network_settings(json!({"base_width": 2, "levels": 2}))
            .patch([16, 16, 16])
            .epochs(2)
            .set("train.steps_per_epoch", 3)
            .set("data.held_out", 0.34)
            .set("device", "cpu")
    }

    #[test]
    fn callbacks_hear_of_every_step_epoch_and_validation() {
        let folder = phantom_folder(3);
        let counts: [Arc<AtomicU64>; 3] = Default::default();
        let count = |place: usize| {
            let counter = Arc::clone(&counts[place]);
            move || _ = counter.fetch_add(1, Ordering::Relaxed)
        };
        let (steps, epochs, validations) = (count(0), count(1), count(2));
        let summary = builder(&folder)
            .on_step(move |step| {
                assert!(step.loss.is_finite());
                steps();
            })
            .on_epoch(move |_| epochs())
            .on_validation(move |_| validations())
            .run()
            .unwrap();
        assert_eq!(summary.steps, 6);
        assert_eq!(counts.map(|count| count.load(Ordering::Relaxed)), [6, 2, 1]);
    }

    #[test]
    fn a_run_that_is_stopped_goes_on_from_its_checkpoint() {
        let folder = phantom_folder(3);
        let (sender, receiver) = std::sync::mpsc::channel::<StopHandle>();
        let training = builder(&folder)
            .on_step(move |step| {
                if step.step == 2 {
                    receiver.recv().unwrap().stop_run();
                }
            })
            .build()
            .unwrap();
        sender.send(training.stop_handle()).unwrap();
        let stopped = training.run().expect_err("stopped");
        assert_eq!(stopped.exit_code(), 75, "{stopped}");
        let resumed = Training::builder("").resume(folder.path().join("run")).run().unwrap();
        assert_eq!((resumed.steps, resumed.planned_steps), (6, 6));
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let refused = Training::builder("data").set("train.epoks", 3).build();
        assert!(refused.err().expect("refused").to_string().contains("epoks"));
    }
}
