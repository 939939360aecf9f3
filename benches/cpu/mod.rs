//! CPU time where divan tells wall time: on a shared machine the figure to quote.

use gliaflow::internals::base::fs;
use std::fmt::Display;

/// Times that a variant is measured: the least disturbed round is the work, the others its neighbours.
const ROUNDS: usize = 9;

/// CPU time of this thread so far, in ms.
fn cpu_ms() -> Option<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split_ascii_whitespace().next()?.parse::<f64>().ok()? / 1e6)
}

/// Prints the CPU ms of one call of each variant's work, over `calls` of them, numbered on; only of
/// variants whose name contains the command line's argument, if there is one.
pub(crate) fn table<V: Display>(
    variants: &[V],
    calls: u64,
    start: impl for<'a> Fn(&'a V) -> Box<dyn FnMut(u64) + 'a>,
) {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    println!("{:36} {:>9} {:>9}", "", "fastest", "median");
    for variant in variants {
        let name = variant.to_string();
        if filter.as_ref().is_some_and(|part| !name.contains(part)) {
            continue;
        }
        let mut work = start(variant);
        let mut rounds: Vec<f64> = (0..ROUNDS)
            .filter_map(|_| {
                let before = cpu_ms()?;
                (0..calls).for_each(&mut work);
                Some((cpu_ms()? - before) / calls as f64)
            })
            .collect();
        rounds.sort_by(f64::total_cmp);
        if let (Some(least), Some(median)) = (rounds.first(), rounds.get(rounds.len() / 2)) {
            println!("{name:36} {least:9.2} {median:9.2}");
        }
    }
}
