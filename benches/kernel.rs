//! The one pass, per profile and kernel, on patches of 128³ from a phantom of 240x240x155.
//!
//! `cargo bench --no-default-features --bench kernel` prints divan's wall times and then, on Linux,
//! the CPU time of a sample: on a shared machine the second is the figure to quote. A part of a
//! variant's name as an argument (`-- "full, avx2"`) measures only that.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod cpu;

use std::fmt;
use std::hint::black_box;
use std::sync::OnceLock;

use divan::Bencher;
use gliaflow::internals::augment::{
    AugmentConfig, Background, CaseView, Kernel, PatchImages, RenderPlan, Window,
};
use gliaflow::internals::base::{Domain, Fingerprint, KeyedRng, SampleKey};
use gliaflow::internals::brats::phantom::{PhantomConfig, generate_phantom};
use gliaflow::internals::buffers::CaseBuffers;
use gliaflow::internals::cache::{CaseContents, PreprocessConfig, prepare_in_buffers};
use gliaflow::internals::volume::{Case, Dims, LabelScheme, Modality, RunChannels, Voxels};
use half::f16;

const PATCH: Dims = Dims::cube(128);
/// Samples per figure of CPU time.
const SAMPLES: u64 = 40;

/// What is measured: a profile and a kernel.
#[derive(Clone)]
struct Variant {
    profile: &'static str,
    config: AugmentConfig,
    kernel: Kernel,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.profile, self.kernel.name())
    }
}

/// Blank patch to render into.
fn blank_patch(dims: Dims) -> (Vec<f16>, Vec<u8>) {
    (vec![f16::ZERO; Modality::COUNT * dims.voxel_count()], vec![0; dims.voxel_count()])
}

fn variants() -> Vec<Variant> {
    let mut bent = AugmentConfig::full_profile();
    bent.gamma.probability = 1.0;
    bent.noise.probability = 1.0;
    let profiles = [
        ("light", AugmentConfig::light_profile()),
        ("full", AugmentConfig::full_profile()),
        ("full + gamma + noise", bent),
    ];
    let kernels = Kernel::ALL.into_iter().filter(|kernel| kernel.is_available());
    let every = kernels.flat_map(|kernel| {
        let variant = move |(profile, config)| Variant { profile, config, kernel };
        profiles.clone().map(variant)
    });
    every.collect()
}

fn case() -> &'static CaseContents {
    static CASE: OnceLock<CaseContents> = OnceLock::new();
    CASE.get_or_init(|| {
        let phantom = generate_phantom(&PhantomConfig::default(), 0);
        let case = Case {
            id: phantom.id,
            source: phantom.source,
            images: phantom.images.map(Voxels::from_whole),
            labels: Some(phantom.labels),
            mask: None,
            scheme: LabelScheme::Brats2018,
            channels: RunChannels::default(),
            fingerprint: Fingerprint([0; 16]),
            bytes_read: 0,
        };
        prepare_in_buffers(&CaseBuffers::default(), &case, &PreprocessConfig::default()).unwrap()
    })
}

/// The recipe of sample `index`: a window drawn evenly over the brain, as `crop` does.
fn recipe(view: &CaseView<'_>, config: &AugmentConfig, index: u64) -> RenderPlan {
    let key = SampleKey { seed: 1, epoch: 0, index };
    let mut rng = KeyedRng::new(key, Domain::Crop);
    let corner = std::array::from_fn(|axis| {
        let slack = view.brain_dims().0[axis] as isize - PATCH.0[axis] as isize;
        if slack < 0 { slack.div_euclid(2) } else { rng.uniform_below(slack as u64 + 1) as isize }
    });
    let window = Window { corner, dims: PATCH };
    RenderPlan::new(view, window, &config.draw_params(key), Background::Zero)
}

#[divan::bench(args = variants(), sample_count = 20)]
fn sample(bencher: Bencher<'_, '_>, variant: &Variant) {
    let view = CaseView::of_contents(case());
    let (mut images, mut labels) = blank_patch(PATCH);
    let mut index = 0;
    bencher.bench_local(|| {
        let recipe = recipe(&view, &variant.config, index);
        variant.kernel.render_labels(&view, &recipe, PatchImages::F16(&mut images), &mut labels);
        index += 1;
        black_box((&images, &labels));
    });
}

fn main() {
    divan::main();
    let view = CaseView::of_contents(case());
    println!("\nCPU ms per sample over {SAMPLES} samples, brain box {}", view.brain_dims());
    cpu::table(&variants(), SAMPLES, |variant| {
        let (mut images, mut labels) = blank_patch(PATCH);
        Box::new(move |index| {
            let recipe = recipe(&view, &variant.config, index);
            variant.kernel.render_labels(
                &view,
                &recipe,
                PatchImages::F16(&mut images),
                &mut labels,
            );
            black_box((&images, &labels));
        })
    });
}
