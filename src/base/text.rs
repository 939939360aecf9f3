//! Durations, percentages, dates, sizes and counts as text: one rounding for terminal, page and
//! report. And text that comes from elsewhere, made harmless for a terminal.

use std::borrow::Cow;

use jiff::Timestamp;

/// Formats a duration in two units at most: `3 d 4 h`, `12 min 5 s`, `4.2 s`.
pub fn format_duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    let (hours, minutes) = (whole / 3600 % 24, whole / 60 % 60);
    match whole {
        0..60 => format!("{:.1} s", seconds.clamp(0.0, 59.9)),
        60..3600 => format!("{minutes} min {} s", whole % 60),
        3600..86_400 => format!("{hours} h {minutes} min"),
        _ => format!("{} d {hours} h", whole / 86_400),
    }
}

/// Formats the time of one step or item, which may be far below a second: `4.32 ms`, `250 ms`; from a second on
/// like [`format_duration`].
pub fn format_step_time(seconds: f64) -> String {
    if seconds > 0.0 && seconds < 0.9995 {
        return format!("{} ms", format_digits(1000.0 * seconds));
    }
    format_duration(seconds)
}

/// Formats a share as a percentage, with a decimal where it is small: `1.2 %`, `12 %`.
pub fn format_percent(share: f64) -> String {
    let percent = 100.0 * share;
    let decimals = usize::from((0.05..9.95).contains(&percent));
    format!("{percent:.decimals$} %")
}

/// Formats a rate in three digits, a slow one by the time for one: `12.3/s`, `9.8 s each`.
pub fn format_rate(per_second: f64) -> String {
    match per_second {
        rate if !rate.is_finite() || rate <= 0.0 => "–".to_owned(),
        rate if rate < 0.2 => format!("{} each", format_duration(1.0 / rate)),
        rate => format!("{}/s", format_digits(rate)),
    }
}

/// Formats a number that is not negative in three digits.
pub fn format_digits(value: f64) -> String {
    let decimals = (2.0 - value.max(1e-9).log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}")
}

/// Formats seconds since the Unix epoch as a date and a time, UTC.
pub fn format_date(seconds: f64) -> String {
    let time = Timestamp::from_second(seconds.max(0.0) as i64).unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Formats a size in MiB or GiB.
pub fn format_bytes(bytes: f64) -> String {
    match bytes / f64::from(1 << 20) {
        mebibytes if mebibytes < 1024.0 => format!("{mebibytes:.0} MiB"),
        mebibytes => format!("{:.1} GiB", mebibytes / 1024.0),
    }
}

/// Formats a whole number with thousands separators.
pub fn format_thousands(value: u64) -> String {
    let digits = value.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// Turns the first letter of a sentence into a capital.
pub fn capitalize_first(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Replaces control characters other than the line's end and the tab by pictures of them (U+2400), so
/// that a name from a file or a folder gives a terminal no orders.
pub fn without_control_characters(text: &str) -> Cow<'_, str> {
    let is_order = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    if !text.contains(is_order) {
        return Cow::Borrowed(text);
    }
    let shown = |letter: char| match letter as u32 {
        _ if !is_order(letter) => letter,
        code @ ..0x20 => char::from_u32(0x2400 + code).unwrap_or(char::REPLACEMENT_CHARACTER),
        0x7f => '\u{2421}',
        _ => char::REPLACEMENT_CHARACTER,
    };
    Cow::Owned(text.chars().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_two_units_that_matter() {
        let texts = [0.04, 7.9, 59.0, 59.97, 61.0, 119.0, 3661.0, 7265.0, 300_000.0, 938_408.0]
            .map(format_duration);
        assert_eq!(
            texts,
            [
                "0.0 s",
                "7.9 s",
                "59.0 s",
                "1 min 0 s",
                "1 min 1 s",
                "1 min 59 s",
                "1 h 1 min",
                "2 h 1 min",
                "3 d 11 h",
                "10 d 20 h"
            ]
        );
    }

    #[test]
    fn a_step_of_a_tiny_network_has_a_time() {
        let texts = [0.0, 0.000_432, 0.0043, 0.25, 0.9996, 75.0].map(format_step_time);
        assert_eq!(texts, ["0.0 s", "0.432 ms", "4.30 ms", "250 ms", "1.0 s", "1 min 15 s"]);
    }

    #[test]
    fn percentages_and_sizes_are_told_in_the_unit_that_fits() {
        assert_eq!(
            [0.0, 0.0004, 0.012, 0.0996, 1.0].map(format_percent),
            ["0 %", "0 %", "1.2 %", "10 %", "100 %"]
        );
        assert_eq!([33e6, 85_520_809_984.0].map(format_bytes), ["31 MiB", "79.6 GiB"]);
    }

    #[test]
    fn dates_are_the_calendars() {
        assert_eq!(format_date(0.0), "1970-01-01 00:00 UTC");
        assert_eq!(format_date(951_782_399.9), "2000-02-28 23:59 UTC");
        assert_eq!(format_date(951_782_400.0), "2000-02-29 00:00 UTC");
        assert_eq!(format_date(1_795_510_393.7), "2026-11-24 08:53 UTC");
        assert_eq!(format_date(4_107_542_400.0), "2100-03-01 00:00 UTC");
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(
            [0, 999, 1000, 14_493_063].map(format_thousands),
            ["0", "999", "1,000", "14,493,063"]
        );
    }

    #[test]
    fn no_control_character_is_left_and_nothing_else_is_changed() {
        let text = "a\tb\n\u{1b}[2J\r\u{7}\u{7f}\u{9b}31m é 脑";
        let shown = without_control_characters(text);
        assert_eq!(shown, "a\tb\n\u{241b}[2J\u{240d}\u{2407}\u{2421}\u{fffd}31m é 脑");
        assert!(matches!(without_control_characters("plain é\n"), Cow::Borrowed(_)));
        for code in 0..0x11_0000 {
            let Some(letter) = char::from_u32(code) else { continue };
            let own = letter.to_string();
            let kept = !letter.is_control() || "\n\t".contains(letter);
            assert_eq!(without_control_characters(&own) == own, kept, "{letter:?}");
        }
    }
}
