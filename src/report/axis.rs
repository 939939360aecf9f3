//! An axis of a chart, with round labels.

/// Approximate number of labels of an axis.
const TICKS: f64 = 5.0;

/// An axis with round labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ChartAxis {
    pub(super) low: f64,
    pub(super) high: f64,
    step: f64,
}

impl ChartAxis {
    /// Covers `low` to `high` or a little beyond, so that both ends are round.
    pub(super) fn around(low: f64, high: f64) -> Self {
        let span = if high > low { high - low } else { low.abs().max(1.0) };
        let step = round_step(span / TICKS);
        let below = (low / step).floor() * step;
        let above = ((below + span.max(high - below)) / step - 1e-9).ceil() * step;
        Self { low: below, high: above, step }
    }

    /// Covers exactly `low` to `high`, with round labels inside.
    pub(super) fn exactly(low: f64, high: f64) -> Self {
        let span = if high > low { high - low } else { 1.0 };
        Self { low, high: low + span, step: round_step(span / TICKS) }
    }

    /// Restricts the labels to whole numbers.
    pub(super) fn of_counts(self) -> Self {
        Self { step: self.step.max(1.0), ..self }
    }

    /// Values of the axis labels.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step - 1e-9).ceil() as i64;
        let last = (self.high / self.step + 1e-9).floor() as i64;
        (first..=last).map(|number| number as f64 * self.step).collect()
    }

    /// Text of a label, with as many decimals as distinguish it from its neighbours.
    pub(super) fn tick_label(&self, value: f64) -> String {
        if value == 0.0 {
            return "0".to_owned();
        }
        if self.high.abs() < 1e-2 {
            let exponent = self.high.abs().log10().floor();
            let scaled = value / 10f64.powf(exponent);
            let finer = (self.step / 10f64.powf(exponent)) < 0.999;
            let digits = usize::from(finer);
            return format!("{scaled:.digits$}e{exponent}");
        }
        let decimals = (-self.step.log10() - 1e-9).ceil().max(0.0) as usize;
        format!("{value:.decimals$}")
    }

    /// Position of `value` between `from` (for the low end) and `to`.
    pub(super) fn position_of(&self, value: f64, from: f64, to: f64) -> f64 {
        from + (to - from) * (value - self.low) / (self.high - self.low)
    }
}

/// Rounds `step` up to 1, 2 or 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let magnitude = 10f64.powf(step.log10().floor());
    let fits = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * magnitude >= step * 0.999);
    fits.unwrap_or(10.0) * magnitude
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(axis: &ChartAxis) -> Vec<String> {
        axis.ticks().into_iter().map(|tick| axis.tick_label(tick)).collect()
    }

    #[test]
    fn figures_are_round_and_enclose_what_is_shown() {
        assert_eq!(figures(&ChartAxis::around(0.0, 1.0)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(figures(&ChartAxis::around(0.21, 1.73)), ["0", "0.5", "1.0", "1.5", "2.0"]);
        assert_eq!(
            figures(&ChartAxis::around(0.0, 2e-3)),
            ["0", "0.5e-3", "1.0e-3", "1.5e-3", "2.0e-3"]
        );
        assert_eq!(figures(&ChartAxis::around(10.6, 17.1)), ["10", "12", "14", "16", "18"]);
        assert_eq!(figures(&ChartAxis::exactly(0.0, 10.0)), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(figures(&ChartAxis::exactly(0.0, 2.0).of_counts()), ["0", "1", "2"]);
        for (low, high) in [(-3.2, 8.9), (0.0, 1e-7), (5.0, 5.0), (0.0, 0.0), (1e6, 1.1e6)] {
            let axis = ChartAxis::around(low, high);
            assert!(axis.low <= low && axis.high >= high && axis.low < axis.high, "{axis:?}");
            assert!((2..=8).contains(&axis.ticks().len()), "{axis:?}: {:?}", axis.ticks());
        }
    }

    #[test]
    fn places_go_from_end_to_end() {
        let axis = ChartAxis::around(0.0, 2.0);
        assert_eq!(
            (axis.position_of(0.0, 100.0, 20.0), axis.position_of(2.0, 100.0, 20.0)),
            (100.0, 20.0)
        );
        assert_eq!(axis.position_of(1.0, 100.0, 20.0), 60.0);
    }
}
