//! GPU, driver, compiler; and a step of training on each device that is there.

use crate::experiment::bench_step::{Repeats, bench_step};
use crate::experiment::config;
use crate::experiment::cuda::{Missing, first_gpu};
use crate::experiment::doctor::{Finding, Grade};
use crate::telemetry::gpu::Nvml;

/// A forward and a backward pass of a narrow U-Net in a second or so.
const SMALL: [&str; 4] = [
    "model.name=\"unet\"",
    "model.settings={ base_width = 4, levels = 3 }",
    "crop.patch=[32, 32, 32]",
    "loader.batch=1",
];

pub(super) fn each(mut add: impl FnMut(Finding)) {
    let gpu = first_gpu();
    let has_gpu = gpu.is_ok();
    add(match gpu {
        Ok(gpu) => Finding::good("gpu", format!("{}: driver, NVRTC and headers work", gpu.name)),
        Err(Missing::Feature) => without_cuda(),
        Err(missing) => {
            let grade = if missing.leaves_a_gpu_idle() { Grade::Bad } else { Grade::Limited };
            Finding::good("gpu", "none that can be used").but(grade, missing.to_string())
        }
    });
    add(step("cpu", "a step on the CPU"));
    if has_gpu {
        add(step("cuda", "a step on the GPU"));
    }
}

/// What a program without CUDA leaves idle.
fn without_cuda() -> Finding {
    let cards = Nvml::open().map(|driver| driver.names().join(", "));
    let found = cards.map_or_else(
        || "this program was built without CUDA, and there is no NVIDIA card with a driver".into(),
        |cards| format!("{cards}, idle: this program was built without CUDA"),
    );
    Finding::good("gpu", found).but(Grade::Limited, Missing::Feature.to_string())
}

fn step(device: &str, subject: &'static str) -> Finding {
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
            .but(Grade::Bad, "the device computes wrongly: update its driver, or train on another"),
        Err(failure) => Finding::good(subject, failure.to_string())
            .but(Grade::Bad, "train on another device with --set device=…"),
    }
}
