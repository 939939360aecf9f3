//! Floor 6: the trainer.
