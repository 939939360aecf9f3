//! Drills: runs with one actor, or the trainer, slowed on purpose, to test that clocks, verdict and
//! alerts name it. Samples, batches and weights stay the same.

use std::thread;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::{Outcome, Sink, Source, Stage};
use crate::base::{CaseError, ConfigError};
use crate::pipeline::progress_watch::HealthLimits;

/// Settings of a drill: the actor that is slow on purpose. Off by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DrillConfig {
    /// Actor of the loader, by name, whose items take `slow_stage_ms` longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub slow_stage: Option<String>,
    /// Delay of each of its items, in milliseconds.
    #[schemars(range(max = 60_000), extend("x-unit" = "ms"))]
    pub slow_stage_ms: u64,
    /// Delay of each optimiser step in milliseconds, unless a stop is requested.
    #[schemars(range(max = 86_400_000), extend("x-unit" = "ms"))]
    pub slow_step_ms: u64,
    /// Time without progress after which `/healthz` complains, in milliseconds; minutes by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", range(min = 1, max = 86_400_000), extend("x-unit" = "ms"))]
    pub unhealthy_after_ms: Option<u64>,
}

impl DrillConfig {
    /// Returns true if no actor is slowed.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }

    /// Checks that the slow actor is one of `actors`.
    ///
    /// # Errors
    /// If it is not; lists them.
    pub fn check_stage(&self, actors: &[&str]) -> Result<(), ConfigError> {
        match &self.slow_stage {
            Some(stage) if !actors.contains(&stage.as_str()) => {
                let way_out = format!("write one of {}", actors.join(", "));
                Err(ConfigError::new("slow_stage", format!("{stage:?}"), "no stage", way_out))
            }
            _ => Ok(()),
        }
    }

    /// Delay of each optimiser step.
    pub const fn slow_step(&self) -> Duration {
        Duration::from_millis(self.slow_step_ms)
    }

    /// Times without progress after which the run is no longer healthy.
    pub fn health_limits(&self) -> HealthLimits {
        self.unhealthy_after_ms.map(Duration::from_millis).map_or_else(
            HealthLimits::default,
            |limit| HealthLimits { loader: limit, trainer: limit },
        )
    }

    fn delay_of(&self, name: &str) -> Duration {
        let is_it = self.slow_stage.as_deref() == Some(name);
        Duration::from_millis(if is_it { self.slow_stage_ms } else { 0 })
    }

    pub(super) fn delay_source<S: Source>(&self, source: S) -> DelayedActor<S> {
        DelayedActor { actor: source, delay: self.delay_of(S::NAME) }
    }

    pub(super) fn delay_stage<S: Stage>(&self, stage: S) -> DelayedActor<S> {
        DelayedActor { actor: stage, delay: self.delay_of(S::NAME) }
    }

    pub(super) fn delay_sink<S: Sink>(&self, sink: S) -> DelayedActor<S> {
        DelayedActor { actor: sink, delay: self.delay_of(S::NAME) }
    }
}

/// Actor with a delay before each item, otherwise unchanged.
pub(super) struct DelayedActor<A> {
    actor: A,
    delay: Duration,
}

impl<A> DelayedActor<A> {
    fn sleep_delay(&self) {
        if !self.delay.is_zero() {
            thread::sleep(self.delay);
        }
    }
}

impl<A: Source> Source for DelayedActor<A> {
    const NAME: &'static str = A::NAME;
    type Item = A::Item;

    fn next(&mut self) -> Option<Self::Item> {
        self.sleep_delay();
        self.actor.next()
    }
}

impl<A: Stage> Stage for DelayedActor<A> {
    const NAME: &'static str = A::NAME;
    type In = A::In;
    type Out = A::Out;

    fn process(&mut self, item: Self::In) -> Result<Self::Out, CaseError> {
        self.sleep_delay();
        self.actor.process(item)
    }
}

impl<A: Sink> Sink for DelayedActor<A> {
    const NAME: &'static str = A::NAME;
    type In = A::In;
    type Out = A::Out;

    fn accept_outcome(&mut self, outcome: Outcome<Self::In>) -> Option<Self::Out> {
        self.sleep_delay();
        self.actor.accept_outcome(outcome)
    }

    fn finish(&mut self) -> Option<Self::Out> {
        self.actor.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stage_that_is_named_is_slow() {
        let stage = |name: &str| DrillConfig {
            slow_stage: Some(name.into()),
            slow_stage_ms: 40,
            ..DrillConfig::default()
        };
        assert_eq!(stage("crop").delay_of("crop"), Duration::from_millis(40));
        assert_eq!(stage("crop").delay_of("augment"), Duration::ZERO);
        assert_eq!(DrillConfig::default().delay_of("crop"), Duration::ZERO);
        assert!(DrillConfig::default().is_off() && !stage("crop").is_off());
        assert_eq!(stage("crop").check_stage(&["plan", "crop"]), Ok(()));
        let problem = stage("corp").check_stage(&["plan", "crop"]).unwrap_err().to_string();
        assert_eq!(problem, "slow_stage = \"corp\" is no stage; write one of plan, crop");
    }
}
