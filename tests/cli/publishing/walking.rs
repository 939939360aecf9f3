//! Every call of a short ingest and of a short training from an empty cache, among them those that
//! only read: each fails once with EIO or ENOSPC.

#[cfg(feature = "train")]
use super::remove;
#[cfg(feature = "train")]
use super::training::TRAIN;
use super::{INGEST, Sequence};

const ALL: &str = "data/:cache/:run/";

#[test]
fn an_ingest_survives_every_file_that_does_not_open_once() {
    let tried = Sequence { disk: ALL, reads: true, ..INGEST }.try_every_fault();
    assert!(tried >= 25, "{tried}");
}

#[cfg(feature = "train")]
#[test]
fn a_training_from_an_empty_cache_survives_every_file_that_does_not_open_once() {
    let walk = Sequence {
        prepare: |desk| {
            drop(desk.run("phantom --out data --cases 3 --seed 3 --shape 24x26x25").ok())
        },
        reset: |desk| remove(desk, &["run", "cache"]),
        disk: ALL,
        reads: true,
        ..TRAIN
    };
    let tried = walk.try_every_fault();
    assert!(tried >= 60, "{tried}");
}
