//! Pieces of work whose instructions are counted: `scripts/count_instructions.py` runs this program under
//! valgrind's callgrind, which collects what [`measured_work`] calls and nothing else.
//!
//! `prepare FOLDER` writes a phantom and its case file, without valgrind; `WORK FOLDER` does one piece of
//! work on them; `list` names the pieces that this build has. One thread, so that a count depends on the
//! program alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::path::Path;

use gliaflow::internals::augment::{
    AugmentConfig, Background, CaseView, Kernel, PatchImages, RenderPlan, Window,
};
use gliaflow::internals::base::SampleKey;
use gliaflow::internals::brats::phantom::{PhantomConfig, cohort};
use gliaflow::internals::brats::{CaseFiles, CaseReader, discover_cases};
use gliaflow::internals::buffers::CaseBuffers;
use gliaflow::internals::cache::{
    CaseStore, MappedCase, PreprocessConfig, Verify, prepare_in_buffers,
};
use gliaflow::internals::volume::{Dims, Modality};
use half::f16;

/// Work that is counted, and the function that does it.
type Work = (&'static str, fn(&Path));

const WORKS: &[Work] = &[
    ("kernel_full", |folder| render_sample(folder, &AugmentConfig::full_profile())),
    ("kernel_light", |folder| render_sample(folder, &AugmentConfig::light_profile())),
    ("kernel_curved", |folder| render_sample(folder, &curved_profile())),
    ("decode", decode_case),
    #[cfg(feature = "train")]
    ("step", network::train_step),
    #[cfg(feature = "train")]
    ("window", network::predict_window),
];

/// Function whose calls callgrind collects (`--toggle-collect`).
#[inline(never)]
fn measured_work(work: &mut dyn FnMut()) {
    work();
    black_box(());
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["list"] => WORKS.iter().for_each(|(name, _)| println!("{name}")),
        ["prepare", folder] => write_inputs(Path::new(folder)),
        [name, folder] => {
            let found = WORKS.iter().find(|(known, _)| *known == name);
            let (_, work) = found.unwrap_or_else(|| panic!("no work is called {name}; see `list`"));
            work(Path::new(folder));
        }
        _ => panic!("give `list`, `prepare FOLDER` or `WORK FOLDER`"),
    }
}

/// Files of the phantom whose patches are rendered.
fn whole_case(folder: &Path) -> CaseFiles {
    only_case(&folder.join("whole"), Dims::BRATS)
}

/// Case of `dims` in `folder`, written where it is absent.
fn only_case(folder: &Path, dims: Dims) -> CaseFiles {
    let config = PhantomConfig { dims, ..PhantomConfig::default() };
    cohort::write_case(folder, &config, 0).unwrap();
    discover_cases(folder, None).unwrap().cases.swap_remove(0)
}

fn case_store(folder: &Path) -> CaseStore {
    CaseStore::open(&folder.join("cache"), PreprocessConfig::default().fingerprint()).unwrap()
}

fn write_inputs(folder: &Path) {
    let files = whole_case(folder);
    let case = CaseReader::default().read(&files).unwrap();
    let buffers = CaseBuffers::default();
    let contents = prepare_in_buffers(&buffers, &case, &PreprocessConfig::default()).unwrap();
    case_store(folder).publish(&contents).unwrap();
    only_case(&folder.join("half"), HALF);
}

/// Grid of the case that is decoded: an eighth of a BraTS case.
const HALF: Dims = Dims([78, 120, 120]);

fn mapped_case(folder: &Path) -> MappedCase {
    let path = case_store(folder).case_path(&whole_case(folder).id).unwrap();
    MappedCase::open(&path, Verify::Full).unwrap()
}

/// Full profile with gamma, noise and a changed background: everything that the pass can do.
fn curved_profile() -> AugmentConfig {
    let mut config = AugmentConfig::full_profile();
    config.gamma.probability = 1.0;
    config.noise.probability = 1.0;
    config.background = Background::Augmented;
    config
}

/// Renders a patch of 128 cubed about the middle of the brain.
fn render_sample(folder: &Path, config: &AugmentConfig) {
    let case = mapped_case(folder);
    let view = CaseView::of_mapped(&case);
    let dims = Dims::cube(128);
    let middle = |axis: usize| view.brain_dims().0[axis] as isize / 2 - dims.0[axis] as isize / 2;
    let window = Window { corner: std::array::from_fn(middle), dims };
    let drawn = config.draw_params(SampleKey { seed: 1, epoch: 0, index: 0 });
    let mut images = vec![f16::ZERO; Modality::COUNT * dims.voxel_count()];
    let mut labels = vec![0; dims.voxel_count()];
    let kernel = Kernel::fastest_available();
    measured_work(&mut || {
        let plan = RenderPlan::new(&view, window, &drawn, config.background);
        kernel.render_labels(&view, &plan, PatchImages::F16(&mut images), &mut labels);
    });
    black_box((&images, &labels));
}

/// Reads a case and prepares it, in memory that the case before has left.
fn decode_case(folder: &Path) {
    let files = only_case(&folder.join("half"), HALF);
    let buffers = CaseBuffers::default();
    let reader = CaseReader::new(buffers.clone());
    let decode = || {
        let case = reader.read(&files).unwrap();
        prepare_in_buffers(&buffers, &case, &PreprocessConfig::default())
            .unwrap()
            .give_back(&buffers);
        buffers.give_back_case(case);
    };
    decode();
    measured_work(&mut || decode());
}

/// Work of the networks, on the CPU.
#[cfg(feature = "train")]
mod network {
    use std::ops::ControlFlow;
    use std::path::Path;

    use burn::tensor::{Device, Tensor, TensorData};
    use gliaflow::internals::eval::{SlidingConfig, predict_case};
    use gliaflow::internals::nets::registry::ArchitectureEntry;
    use gliaflow::internals::nets::{Learner, OptimiserConfig};
    use gliaflow::internals::train::{DiceBceLoss, region_targets};
    use gliaflow::internals::volume::{Dims, RunChannels};

    use super::measured_work;

    const SIDE: usize = 32;

    /// U-Net of base 8 and four levels on one thread, this one.
    fn small_learner() -> Box<dyn Learner> {
        rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global().unwrap();
        let settings = serde_json::json!({ "base_width": 8, "levels": 4 });
        let blueprint =
            ArchitectureEntry::find_by_name("unet").unwrap().parse_settings(&settings).unwrap();
        blueprint.new_learner(&OptimiserConfig::default(), 1, &Device::flex())
    }

    /// Images of `voxels` values, the same every time.
    fn drawn_values(count: usize) -> Vec<f32> {
        (0..count as u32)
            .map(|place| (place.wrapping_mul(2_654_435_761) >> 16) as f32 / 65_536.0)
            .collect()
    }

    /// Takes a step: forward pass, loss, backward pass, optimiser.
    pub(super) fn train_step(_: &Path) {
        let mut learner = small_learner();
        let channels = RunChannels::default();
        let mut step = |number| {
            let device = learner.device().clone();
            let values = drawn_values(channels.modalities.len() * SIDE.pow(3));
            let shape = [1, channels.modalities.len(), SIDE, SIDE, SIDE];
            let images = Tensor::from_data(TensorData::new(values, shape), &device);
            let labels: Vec<i32> = (0..SIDE.pow(3) as i32).map(|place| place / 512 % 4).collect();
            let labels = TensorData::new(labels, [1, SIDE, SIDE, SIDE]);
            let targets = region_targets(channels.regions, Tensor::from_data(labels, &device));
            let loss = DiceBceLoss::default().total_loss(learner.forward(images, number), targets);
            learner.backward_and_step(loss.total, 1e-4);
            device.sync().unwrap();
        };
        measured_work(&mut || step(0));
    }

    /// Predicts a case of one window.
    pub(super) fn predict_window(_: &Path) {
        let learner = small_learner();
        let network = learner.inference_network();
        let channels = RunChannels::default();
        let case = Dims::cube(SIDE);
        let images = drawn_values(channels.modalities.len() * case.voxel_count());
        let config = SlidingConfig::default();
        let predict = || {
            predict_case(&*network, &images, case, case, channels, &config, |_, _| {
                ControlFlow::Continue(())
            })
        };
        measured_work(&mut || assert!(predict().is_some()));
    }
}
