//! Checks of GPU, driver and compiler, and of a training step on each device that is there.

use crate::run::config;
use crate::run::device::cuda::{Missing, first_gpu};
use crate::run::tools::bench_step::{Repeats, bench_step};
use crate::run::tools::doctor::{Finding, FindingGrade};
use crate::telemetry::gpu::Nvml;

/// A forward and a backward pass of a narrow U-Net in a second or so.
const SMALL: [&str; 4] = [
    "model.name=\"unet\"",
    "model.settings={ base_width = 4, levels = 3 }",
    "crop.patch=[32, 32, 32]",
    "loader.batch=1",
];

pub(super) fn check_devices(mut add: impl FnMut(Finding)) {
    let gpu = first_gpu();
    let has_gpu = gpu.is_ok();
    add(match gpu {
        Ok(gpu) => Finding::good("gpu", format!("{}: driver, NVRTC and headers work", gpu.name)),
        Err(Missing::Feature) => without_cuda(),
        Err(missing) => {
            let grade =
                if missing.leaves_a_gpu_idle() { FindingGrade::Bad } else { FindingGrade::Limited };
            Finding::good("gpu", "none that can be used").with_grade(grade, missing.to_string())
        }
    });
    add(check_training_step("cpu", "a step on the CPU"));
    if has_gpu {
        add(check_training_step("cuda", "a step on the GPU"));
    }
}

/// Names the cards that a program without CUDA leaves idle.
fn without_cuda() -> Finding {
    let cards = Nvml::open().map(|driver| driver.device_names().join(", "));
    let found = cards.map_or_else(
        || "this program was built without CUDA, and there is no NVIDIA card with a driver".into(),
        |cards| format!("{cards}, idle: this program was built without CUDA"),
    );
    Finding::good("gpu", found).with_grade(FindingGrade::Limited, Missing::Feature.to_string())
}

fn check_training_step(device: &str, subject: &'static str) -> Finding {
    let mut settings: Vec<String> = SMALL.map(String::from).to_vec();
    settings.push(format!("device={device}"));
    let measured = config::load(None, &settings)
        .and_then(|config| bench_step(&config, Repeats { warmup: 1, steps: 2, kernel_steps: 0 }));
    match measured {
        Ok(cost) if cost.last_loss.is_finite() => {
            let found = format!(
                "{:.0} ms for 32^3 and {} parameters, the loss falls from {:.3} to {:.3}",
                1e3 * cost.seconds_per_step,
                cost.parameters,
                cost.first_loss,
                cost.last_loss
            );
            Finding::good(subject, found)
        }
        Ok(cost) => Finding::good(subject, format!("the loss became {}", cost.last_loss))
            .with_grade(
                FindingGrade::Bad,
                "the device computes wrongly: update its driver, or train on another",
            ),
        Err(failure) => Finding::good(subject, failure.to_string())
            .with_grade(FindingGrade::Bad, "train on another device with --set device=…"),
    }
}
