//! Floor 11: builders for programs that embed the crate: a [`Loader`] of batches, and a training run.

mod loader;
mod loader_builder;
mod phantoms;
mod stop_handle;
pub use loader::{Loader, LoaderPosition};
pub use loader_builder::LoaderBuilder;
pub use phantoms::write_phantom_cases;
pub use stop_handle::StopHandle;

cfg_if::cfg_if! {
    if #[cfg(feature = "train")] {
        mod training;
        mod training_builder;

        pub use training::Training;
        pub use training_builder::TrainingBuilder;
    }
}
