//! Parser of the text of `/metrics`: Prometheus' text format, version 0.0.4, which
//! [`recorder`](super::recorder) writes.

/// Series of one scrape, in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scrape(Vec<SeriesValue>);

/// Series and its value: one line of a scrape.
#[derive(Debug, Clone, PartialEq)]
struct SeriesValue {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// Error of text that is not a scrape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no metric: `{text}`")]
pub struct InvalidScrape {
    line: usize,
    text: String,
}

impl Scrape {
    /// Parses the text of a scrape; comments are left out.
    ///
    /// # Errors
    /// If a line is neither a comment nor a sample.
    pub fn parse(text: &str) -> Result<Self, InvalidScrape> {
        let mut samples = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let refused =
                || InvalidScrape { line: index + 1, text: line.chars().take(60).collect() };
            samples.push(parse_sample(line).ok_or_else(refused)?);
        }
        Ok(Self(samples))
    }

    /// Value of the first series of `name` that has all of `labels`.
    pub fn first_value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.matching_series(name, labels).map(|sample| sample.value).next()
    }

    /// Sum over all series of `name` that have all of `labels`; `None` if there is none.
    pub fn sum_values(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let values = self.matching_series(name, labels).map(|sample| sample.value);
        values.reduce(|sum, value| sum + value)
    }

    /// Label values of the series of `name`, with each one's value.
    pub fn values_by_label(&self, name: &str, label: &str) -> Vec<(&str, f64)> {
        let named = self.0.iter().filter(|sample| sample.name == name);
        named.filter_map(|sample| Some((sample.label_value(label)?, sample.value))).collect()
    }

    /// Label of the first series of `name` whose value is not 0.
    pub fn nonzero_label(&self, name: &str, label: &str) -> Option<&str> {
        let named = self.0.iter().filter(|sample| sample.name == name && sample.value != 0.0);
        named.filter_map(|sample| sample.label_value(label)).next()
    }

    /// First value of a label that any series has, such as `run`.
    pub fn any_label(&self, label: &str) -> Option<&str> {
        self.0.iter().find_map(|sample| sample.label_value(label))
    }

    fn matching_series<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a SeriesValue> {
        let named = self.0.iter().filter(move |sample| sample.name == name);
        named.filter(move |sample| {
            labels.iter().all(|(key, value)| sample.label_value(key) == Some(*value))
        })
    }
}

impl SeriesValue {
    fn label_value(&self, key: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }
}

/// Parses `name{key="value",…} value [time]`.
fn parse_sample(line: &str) -> Option<SeriesValue> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let end = line.find(|letter| !is_part(letter))?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|letter: char| letter.is_ascii_digit()) {
        return None;
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => parse_labels(inside)?,
        None => (Vec::new(), rest),
    };
    let mut words = rest.split_ascii_whitespace();
    let value = words.next()?.parse().ok()?;
    Some(SeriesValue { name: name.to_owned(), labels, value })
}

/// Parses the labels up to the closing bracket; returns them and the rest.
fn parse_labels(inside: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut all = Vec::new();
    let mut rest = inside;
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((all, after));
        }
        let (key, quoted) = rest.split_once("=\"")?;
        let (value, after) = unescape_value(quoted)?;
        all.push((key.trim().to_owned(), value));
        rest = after;
    }
}

/// Unescapes text up to the closing quote; returns it and the rest.
fn unescape_value(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            plain => value.push(plain),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::catalog;
    use super::super::recorder::Recorder;
    use super::*;

    #[test]
    fn what_the_recorder_shows_is_read_back_with_every_odd_label() {
        let run = "a\n\nb \"c\" \\ {d=\"e\"},";
        let recorder = Recorder::new(run);
        recorder.within(|| {
            catalog::register_run_series(&["plan", "crop"], &["train"]);
            catalog::TRAIN_LOSS.with_labels(["train", "total"]).set(f64::NAN);
            catalog::TRAIN_DICE.with_labels(["validation", "ET"]).set(0.25);
            catalog::TRAIN_DICE.with_labels(["validation", "WT"]).set(0.75);
            catalog::delivered_samples("train").increment(12);
            catalog::PROCESS_MAX_FDS.with_labels([]).set(f64::INFINITY);
        });
        let scrape = Scrape::parse(&recorder.render()).unwrap();
        assert_eq!(scrape.any_label("run"), Some(run));
        assert!(scrape.first_value("train_loss", &[("part", "total")]).unwrap().is_nan());
        assert_eq!(scrape.first_value("train_loss", &[("part", "kl")]), None);
        let dice = scrape.values_by_label("train_dice_ratio", "region");
        assert_eq!(dice, [("ET", 0.25), ("WT", 0.75)]);
        assert_eq!(scrape.sum_values("loader_samples_total", &[("split", "train")]), Some(12.0));
        assert_eq!(scrape.sum_values("loader_samples_total", &[("split", "test")]), None);
        let buckets = scrape.values_by_label("loader_stage_service_seconds_bucket", "le");
        assert_eq!(buckets.len(), 2 * (catalog::STAGE_BUCKETS.len() + 1));
    }

    #[test]
    fn of_the_runs_of_one_process_the_last_is_what_runs() {
        let recorder = Recorder::new("study");
        recorder.within(|| {
            catalog::show_run_info(["1", "cpu", "unet", "a"]);
            catalog::show_run_info(["1", "cpu", "cascaded", "b"]);
        });
        let scrape = Scrape::parse(&recorder.render()).unwrap();
        let shown = scrape.values_by_label("train_run_info", "model");
        assert!(shown.contains(&("unet", 0.0)) && shown.contains(&("cascaded", 1.0)), "{shown:?}");
        assert_eq!(scrape.nonzero_label("train_run_info", "model"), Some("cascaded"));
    }

    #[test]
    fn a_time_behind_the_value_and_a_metric_without_labels_are_read() {
        let text = "# HELP up x\n\nup 1 1700000000\nlimit{} +Inf\nodd{ a=\"1\", b=\"2\", } -2e3\n";
        let scrape = Scrape::parse(text).unwrap();
        assert_eq!(scrape.first_value("up", &[]), Some(1.0));
        assert_eq!(scrape.first_value("limit", &[]), Some(f64::INFINITY));
        assert_eq!(scrape.first_value("odd", &[("b", "2"), ("a", "1")]), Some(-2000.0));
        assert_eq!(scrape.nonzero_label("odd", "a"), Some("1"));
    }

    #[test]
    fn a_page_that_is_not_metrics_is_refused_by_its_line() {
        for text in ["up 1\n<!doctype html>", "x\n1x 2", "up 1\nup{a=\"b} 2", "up 1\nup{a} 2"] {
            assert!(Scrape::parse(text).is_err(), "{text}");
        }
        let refused = Scrape::parse("up 1\n<!doctype html>").unwrap_err();
        assert_eq!(refused.to_string(), "line 2 is no metric: `<!doctype html>`");
        assert!(Scrape::parse("up one").is_err());
    }
}
