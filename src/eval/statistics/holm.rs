//! Correction of p-values for multiple tests.

/// P-values adjusted for a family of tests, in the order given: with each compared to `alpha`, the
/// chance of even one false rejection stays below `alpha`, however the tests depend on each other
/// (Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979).
///
/// # Panics
/// If a value is no probability.
pub fn adjust_p_values(p: &[f64]) -> Vec<f64> {
    assert!(p.iter().all(|value| (0.0..=1.0).contains(value)), "{p:?}: not all are probabilities");
    let mut ascending: Vec<usize> = (0..p.len()).collect();
    ascending.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest_so_far = 0.0_f64;
    for (rank, &place) in ascending.iter().enumerate() {
        let still_open = (p.len() - rank) as f64;
        largest_so_far = largest_so_far.max((p[place] * still_open).min(1.0));
        adjusted[place] = largest_so_far;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_worked_out_by_hand() {
        // Ascending 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1; the last may not fall below the third.
        assert_eq!(adjust_p_values(&[0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]);
        assert_eq!(adjust_p_values(&[]), [0.0; 0]);
    }

    #[test]
    fn a_test_alone_is_left_as_it_is_and_no_value_exceeds_one() {
        assert_eq!(adjust_p_values(&[0.049]), [0.049]);
        assert_eq!(adjust_p_values(&[0.6, 0.6]), [1.0, 1.0]);
    }
}
