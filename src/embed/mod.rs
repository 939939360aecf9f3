//! Floor 11: what programs that embed the crate use. A [`Loader`] of batches and a [`Training`] run, from
//! builders; and by subject the types that they take and give, and the traits of what may be one's own.
//!
//! The most used are in the [`prelude`](crate::prelude).

pub mod augmentation;
pub mod batches;
pub mod dataset;
pub mod errors;
mod loader;
mod loader_builder;
mod phantoms;
pub mod scoring;
mod stop_handle;
pub use loader::{Loader, LoaderPosition};
pub use loader_builder::LoaderBuilder;
pub use phantoms::write_phantom_cases;
pub use stop_handle::StopHandle;

cfg_if::cfg_if! {
    if #[cfg(feature = "train")] {
        pub mod events;
        pub mod loss;
        pub mod network;
        mod training;
        mod training_builder;

        pub use training::Training;
        pub use training_builder::TrainingBuilder;
    }
}
