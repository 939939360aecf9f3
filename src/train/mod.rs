//! Floor 6: the trainer.

pub mod loss;
