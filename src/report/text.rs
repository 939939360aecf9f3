//! Durations, percentages, dates and counts as text.

/// Formats a duration in two units at most: `3 d 4 h`, `12 min 5 s`, `4.2 s`.
pub(super) fn format_duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let days = whole / 86_400;
    let hours = whole / 3600 % 24;
    let minutes = whole / 60 % 60;
    match (days, hours) {
        (0, 0) => format!("{minutes} min {} s", whole % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Formats a share as a percentage with one decimal.
pub(super) fn format_percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Formats seconds since the Unix epoch as a date and a time, UTC.
pub(super) fn format_date(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (year, month, day) = civil_date(whole / 86_400);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", whole / 3600 % 24, whole / 60 % 60)
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar. Years are
/// counted from March, so that a leap day is the last of its year.
fn civil_date(days: u64) -> (u64, u64, u64) {
    // 719468 days from 0000-03-01 to 1970-01-01; 146097 in 400 years.
    let since_march = days + 719_468;
    let era = since_march / 146_097;
    let in_era = since_march % 146_097;
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let is_next = month >= 10;
    let month = if is_next { month - 9 } else { month + 3 };
    (400 * era + year + u64::from(is_next), month, day)
}

/// Formats a whole number with thousands separators.
pub(super) fn format_thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_two_units_that_matter() {
        let texts = [0.04, 59.0, 61.0, 7265.0, 300_000.0].map(format_duration);
        assert_eq!(texts, ["0.0 s", "59.0 s", "1 min 1 s", "2 h 1 min", "3 d 11 h"]);
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
}
