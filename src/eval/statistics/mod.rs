//! Comparison of methods on the same cases, and confidence intervals of means.
//!
//! The order of use: [`paired::case_differences`] averages each method's seeds per case and
//! subtracts; [`wilcoxon::signed_rank`] tests the differences; [`holm::adjust_p_values`] corrects a
//! family of such tests; [`bootstrap::ci95_of_mean`] gives the interval of a mean.

pub mod bootstrap;
pub mod holm;
pub mod paired;
pub mod wilcoxon;
