//! The crate inside another program: batches from a builder, a run from a builder.
#![allow(missing_docs, clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "tests may use the file system as it is")]

use gliaflow::internals::augment::OwnFilter;
use gliaflow::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
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

/// Samples turned into their negative, with a constant on one modality.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Negative {
    #[schemars(range(min = 0, max = 1))]
    probability: f64,
}

impl PatchFilter for Negative {
    const NAME: &'static str = "negative";
    type Params = u32;

    fn draw_params(&self, rng: &mut KeyedRng) -> Option<u32> {
        rng.draw_bool(self.probability).then(|| rng.uniform_below(1000) as u32)
    }

    fn filter_patch(_number: &u32, patch: &mut RenderedPatch<'_>) {
        assert_eq!(patch.labels.len(), patch.dims.voxel_count());
        patch.images.iter_mut().for_each(|value| *value = -*value);
    }
}

#[test]
fn a_filter_of_ones_own_changes_what_it_should_and_nothing_else() {
    let folder = phantom_folder(3);
    let plain = take(&mut builder(&folder).start().unwrap(), 4);
    let with = |probability| builder(&folder).patch_filter(Negative { probability });
    assert!(take(&mut with(0.0).start().unwrap(), 4) == plain);
    let always = take(&mut with(1.0).start().unwrap(), 4);
    for (own, before) in always.iter().zip(&plain) {
        assert!(own.images.iter().zip(before.images.iter()).all(|(own, other)| *own == -*other));
        assert!(own.labels == before.labels);
        let drawn = own.provenance.iter().flat_map(|from| &from.drawn.own);
        assert_eq!(drawn.map(|own| own.name.as_str()).collect::<Vec<_>>(), ["negative"; 2]);
    }
    // Some samples only, the same ones on a loader that goes on from the middle with other threads.
    let mut whole = with(0.5).start().unwrap();
    let expected = take(&mut whole, 3);
    let position = whole.next_position();
    let rest = take(&mut whole, 3);
    assert!(take(&mut with(0.5).resume_at(position).without_cache().start().unwrap(), 3) == rest);
    let all = [expected, rest].concat();
    let counts = all.iter().flat_map(|batch| &batch.provenance).map(|from| from.drawn.own.len());
    let drawn: usize = counts.sum();
    assert!((1..12).contains(&drawn), "{drawn} of 12");
}

#[test]
fn a_filter_that_is_wrong_is_refused_by_its_name() {
    let folder = phantom_folder(2);
    let refusal = |builder: LoaderBuilder| builder.start().err().expect("refused").to_string();
    let range = refusal(builder(&folder).patch_filter(Negative { probability: 1.5 }));
    assert!(range.contains("augment.own[0].settings.probability = 1.5"), "{range}");
    let one = || Negative { probability: 0.5 };
    let twice = refusal(builder(&folder).patch_filter(one()).patch_filter(one()));
    assert!(twice.contains("list it once"), "{twice}");
    let mut config = gliaflow::internals::augment::AugmentConfig::default();
    config.own.push(OwnFilter { name: "elastic".into(), settings: toml::Table::new() });
    let unknown = refusal(builder(&folder).augment(config));
    assert!(
        unknown.contains("\"elastic\" is no patch filter; choose one of negative"),
        "{unknown}"
    );
}

#[test]
fn a_loader_runs_on_the_runtime_of_its_caller() {
    let folder = phantom_folder(2);
    let runtime = gliaflow::internals::run::LifecycleRuntime::start().unwrap();
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

    use burn::tensor::Tensor;
    use burn::tensor::activation::sigmoid;
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

    /// Squared distance of probability and truth.
    #[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct BrierLoss {
        #[schemars(range(min = 0, max = 10))]
        power: f64,
    }

    impl RegionLoss for BrierLoss {
        const NAME: &'static str = "brier";

        fn compute_loss(&self, logits: Tensor<5>, targets: &RegionTargets) -> Tensor<1> {
            let apart = sigmoid(logits) - targets.members.clone();
            targets.mean_over_counted(apart.square()) * self.power
        }
    }

    #[test]
    fn a_loss_of_ones_own_is_minimised_and_recorded() {
        let folder = phantom_folder(3);
        let (sender, receiver) = std::sync::mpsc::channel();
        let summary = builder(&folder)
            .loss(BrierLoss { power: 4.0 })
            .patch_filter(Negative { probability: 0.5 })
            .on_step(move |step| sender.send(step.clone()).unwrap())
            .run()
            .unwrap();
        let steps: Vec<_> = receiver.iter().collect();
        for step in &steps {
            // A quarter of 4 where nothing is known yet, beside figures of the usual loss.
            assert!((0.1..2.0).contains(&step.loss), "{}", step.loss);
            assert!(step.bce.is_finite() && step.soft_dice.len() == 3, "{step:?}");
            assert!((step.loss - step.dice_loss - step.bce).abs() > 0.01);
        }
        let record = std::fs::read_to_string(summary.run.join("config.toml")).unwrap();
        let record: toml::Table = record.parse().unwrap();
        assert_eq!(record["loss"]["name"].as_str(), Some("brier"));
        assert_eq!(record["loss"]["settings"]["power"].as_float(), Some(4.0));
        assert_eq!(record["augment"]["own"][0]["name"].as_str(), Some("negative"));

        // A run that goes on must have the same; one that is replayed makes the same samples.
        let resume = || Training::builder("").resume(&summary.run).set("train.epochs", 3);
        let other = resume().loss(BrierLoss { power: 3.0 }).run().expect_err("refused");
        assert!(other.to_string().contains("loss.settings.power"), "{other}");
        let shipped = resume().set("loss.name", "dice_bce").run().expect_err("refused");
        assert!(shipped.to_string().contains("loss.name"), "{shipped}");
        let other = resume().patch_filter(Negative { probability: 0.25 }).run();
        assert!(other.expect_err("refused").to_string().contains("augment.own"));
        assert_eq!(resume().run().unwrap().steps, 9);
    }

    #[test]
    fn a_loss_that_is_wrong_is_refused_by_its_name() {
        let refusal =
            |builder: TrainingBuilder| builder.build().err().expect("refused").to_string();
        let unknown = refusal(Training::builder("data").set("loss.name", "dyce"));
        assert!(
            unknown.contains("loss.name = \"dyce\" is no loss; choose one of dice_bce"),
            "{unknown}"
        );
        let range = refusal(Training::builder("data").loss(BrierLoss { power: 11.0 }));
        assert!(range.contains("loss.settings.power = 11"), "{range}");
        let mixed = Training::builder("data").loss(BrierLoss::default());
        let mixed = refusal(mixed.set("loss.region_sum", true));
        assert!(mixed.contains("loss.name = brier"), "{mixed}");
        let beside = refusal(Training::builder("data").set("loss.settings.power", 1.0));
        assert!(beside.contains("loss.settings"), "{beside}");
        let slip = refusal(Training::builder("data").set("loss.regionsum", true));
        assert!(slip.contains("regionsum") && slip.contains("region_sum"), "{slip}");
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let refused = Training::builder("data").set("train.epoks", 3).build();
        assert!(refused.err().expect("refused").to_string().contains("epoks"));
    }
}
