//! From files to a case's contents: reading, preparing, and both, in fresh memory and in that of the
//! case before. A phantom of 240x240x155, and a patient where `GLIAFLOW_REAL_CASES` names a folder
//! that holds TCGA-FG-6692.
//!
//! `cargo bench --no-default-features --features libdeflate --bench decode` prints divan's wall times
//! and then, on Linux, the CPU time of a case: on a shared machine the second is the figure to quote.
//! Without the feature it is zlib-rs that inflates.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod cpu;

use std::fmt;
use std::hint::black_box;
use std::path::Path;

use divan::Bencher;
use gliaflow::internals::brats::phantom::{PhantomConfig, cohort};
use gliaflow::internals::brats::{CaseFiles, CaseReader, discover_cases};
use gliaflow::internals::buffers::CaseBuffers;
use gliaflow::internals::cache::{PreprocessConfig, prepare_in_buffers};
use gliaflow::internals::volume::Case;

/// Cases per figure of CPU time.
const CASES: u64 = 10;

/// What is measured.
#[derive(Clone, Copy)]
enum Work {
    Read,
    Prepare,
    Both,
}

#[derive(Clone)]
struct Variant {
    source: &'static str,
    files: CaseFiles,
    work: Work,
    recycled: bool,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let work = match self.work {
            Work::Read => "read",
            Work::Prepare => "prepare",
            Work::Both => "read and prepare",
        };
        let memory = if self.recycled { "recycled" } else { "fresh" };
        write!(f, "{}, {work}, {memory}", self.source)
    }
}

impl Variant {
    /// One case after another; each call does the work once.
    fn runner(&self) -> impl FnMut() + use<> {
        let Self { files, work, recycled, .. } = self.clone();
        let shelf = CaseBuffers::default();
        let reader = CaseReader::new(shelf.clone());
        let config = PreprocessConfig::default();
        let whole =
            matches!(work, Work::Prepare).then(|| CaseReader::default().read(&files).unwrap());
        let prepared = move |shelf: &CaseBuffers, case: &Case| {
            black_box(prepare_in_buffers(shelf, case, &config).unwrap()).give_back(shelf);
        };
        move || {
            let fresh = CaseBuffers::default();
            let shelf = if recycled { &shelf } else { &fresh };
            if let Some(case) = &whole {
                return prepared(shelf, case);
            }
            let read =
                if recycled { reader.read(&files) } else { CaseReader::default().read(&files) };
            let case = black_box(read.unwrap());
            if matches!(work, Work::Both) {
                prepared(shelf, &case);
            }
            shelf.give_back_case(case);
        }
    }
}

/// `(name, files)` of what there is to read.
fn sources() -> Vec<(&'static str, CaseFiles)> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("phantom");
    // Written once: what is there already is left alone.
    cohort::write_case(&folder, &PhantomConfig::default(), 0).unwrap();
    let only = |folder: &Path| discover_cases(folder, None).unwrap().cases.swap_remove(0);
    let mut sources = vec![("phantom", only(&folder))];
    if let Some(folder) = std::env::var_os("GLIAFLOW_REAL_CASES") {
        sources.push(("patient", only(&Path::new(&folder).join("TCGA-FG-6692"))));
    } else {
        println!("no patient: set GLIAFLOW_REAL_CASES to a folder with TCGA-FG-6692");
    }
    sources
}

fn variants() -> Vec<Variant> {
    let mut variants = Vec::new();
    for (source, files) in sources() {
        for work in [Work::Read, Work::Prepare, Work::Both] {
            for recycled in [false, true] {
                variants.push(Variant { source, files: files.clone(), work, recycled });
            }
        }
    }
    variants
}

#[divan::bench(args = variants(), sample_count = 20)]
fn case(bencher: Bencher<'_, '_>, variant: &Variant) {
    let mut run = variant.runner();
    run();
    bencher.bench_local(run);
}

fn main() {
    divan::main();
    let by = if cfg!(feature = "libdeflate") { "libdeflate" } else { "zlib-rs" };
    println!("\nCPU ms per case over {CASES} cases, inflated by {by}");
    cpu::table(&variants(), CASES, |variant| {
        let mut run = variant.runner();
        run();
        Box::new(move |_| run())
    });
}
