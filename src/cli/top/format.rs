//! Sparklines, bars and wrapped rows as text.

/// Marks of a sparkline, from low to high.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws a sparkline of at most `width` marks, from the lowest to the highest value. With more
/// values than marks, each mark is a mean. The terminal library's own starts at zero and shows the
/// end only, which does not fit a loss.
pub(super) fn draw_sparkline(values: &[f64], width: usize) -> String {
    let means = interval_means(values, width);
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let span = high - low;
    let mark = |mean: &f64| {
        let height = if span > 0.0 { (mean - low) / span } else { 0.0 };
        HEIGHTS[(height * (HEIGHTS.len() - 1) as f64).round() as usize]
    };
    means.iter().map(mark).collect()
}

/// Means of at most `count` equally long intervals.
fn interval_means(values: &[f64], count: usize) -> Vec<f64> {
    if values.len() <= count {
        return values.to_vec();
    }
    let bound = |index: usize| index * values.len() / count;
    let mean = |index: usize| {
        let stretch = &values[bound(index)..bound(index + 1)];
        stretch.iter().sum::<f64>() / stretch.len() as f64
    };
    (0..count).map(mean).collect()
}

/// Number of the `width` marks of each share. Together they are `width` if the shares add up to 1;
/// the rounding error goes to the largest.
pub(super) fn split_bar(shares: [f64; 3], width: usize) -> [usize; 3] {
    let mut parts = shares.map(|share| (share * width as f64).round() as usize);
    let whole = (shares.iter().sum::<f64>().min(1.0) * width as f64).round() as usize;
    let largest = (0..3).max_by(|a, b| shares[*a].total_cmp(&shares[*b])).unwrap_or(0);
    let others: usize = (0..3).filter(|part| *part != largest).map(|part| parts[part]).sum();
    parts[largest] = whole.saturating_sub(others);
    parts
}

/// Wraps pieces into rows of at most `width` letters, separated by `gap`. A longer piece has a row
/// of its own, which the terminal cuts.
pub(super) fn wrap_pieces(pieces: &[String], gap: &str, width: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        let length = |text: &str| text.chars().count();
        match rows.last_mut() {
            Some(row) if length(row) + length(gap) + length(piece) <= width => {
                row.push_str(gap);
                row.push_str(piece);
            }
            _ => rows.push(piece.clone()),
        }
    }
    rows
}

/// Wraps a sentence into rows.
pub(super) fn wrap_words(sentence: &str, width: usize) -> Vec<String> {
    let words: Vec<String> = sentence.split_whitespace().map(ToOwned::to_owned).collect();
    wrap_pieces(&words, " ", width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_reach_from_the_lowest_to_the_highest_and_fit_the_width() {
        assert_eq!(draw_sparkline(&[1.0, 1.5, 2.0], 10), "▁▅█");
        assert_eq!(draw_sparkline(&[3.0, 3.0], 10), "▁▁");
        let falling: Vec<f64> = (0..1000).rev().map(f64::from).collect();
        assert_eq!(draw_sparkline(&falling, 8), "█▇▆▅▄▃▂▁");
        assert_eq!(draw_sparkline(&[], 8), "");
    }

    #[test]
    fn a_bar_is_as_long_as_the_time_and_no_longer() {
        for width in 0..40 {
            for shares in [[0.335, 0.335, 0.33], [0.005, 0.99, 0.005], [0.5, 0.5, 0.0]] {
                assert_eq!(
                    split_bar(shares, width).iter().sum::<usize>(),
                    width,
                    "{shares:?} {width}"
                );
            }
        }
        assert_eq!(split_bar([0.5, 0.0, 0.0], 10), [5, 0, 0]);
        assert_eq!(split_bar([0.0; 3], 10), [0; 3]);
    }

    #[test]
    fn sentences_are_wrapped_between_words() {
        assert_eq!(wrap_words("the loader waits for it", 10), ["the loader", "waits for", "it"]);
        assert_eq!(wrap_words("extraordinarily long", 5), ["extraordinarily", "long"]);
    }
}
