//! Batches of augmented patches for a program of one's own, and how to go on after a stop.
//!
//! `cargo run --example stream_batches -- DATA CACHE` with a dataset in any layout that `gliaflow
//! inspect` finds; without arguments on phantoms, in a folder for the time being. The checksums are the same
//! in every run, on any number of threads, and in Python (`python/tests/test_same_batches.py`).
#![allow(clippy::print_stdout, reason = "an example shows what it has")]

use std::path::PathBuf;

use gliaflow::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let given = arguments.next().zip(arguments.next());
    let (data, cache) = match given {
        Some(folders) => folders,
        None => {
            let data = scratch.path().join("data");
            write_phantom_cases(&data, 4, [48, 64, 64])?;
            (data, scratch.path().join("cache"))
        }
    };
    let builder = || {
        let builder = Loader::builder(&data).cache(&cache).patch([32, 32, 32]).batch(2);
        builder.patches_per_case(4).seed(7)
    };

    let mut loader = builder().start()?;
    println!("{} cases, {} samples an epoch", loader.cases().len(), loader.samples_per_epoch());
    for batch in loader.by_ref().take(4) {
        let batch = batch?;
        let names: Vec<&str> = batch.provenance.iter().map(|from| from.case.as_str()).collect();
        let (images, labels) = (checksum(batch.images.as_ref()), checksum(&batch.labels));
        println!(
            "batch {}: CRC-32 {images:08x} of {} image values, {labels:08x} of the labels, from {}",
            batch.number,
            batch.images.len(),
            names.join(", ")
        );
    }

    // A position is all that has to be kept: it is plain data, so any format will do.
    let kept = serde_json::to_string(&loader.next_position())?;
    drop(loader);
    let mut resumed = builder().resume_at(serde_json::from_str(&kept)?).start()?;
    let batch = resumed.next().ok_or("a loader has no end")??;
    println!("resumed with batch {}", batch.number);
    Ok(())
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut checksum = flate2::Crc::new();
    checksum.update(bytes);
    checksum.sum()
}
