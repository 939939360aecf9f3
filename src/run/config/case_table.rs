//! Tables of cases that a setting names: CSV files whose first line names the columns.

use std::fmt::Display;
use std::path::Path;

use crate::base::{ConfigError, fs};

/// Names listed in an error before the rest is counted.
const LISTED: usize = 5;

/// Reads the columns of these names from the CSV file of the setting `field`, one row a line.
/// Other columns are passed over.
///
/// # Errors
/// If the file cannot be read, a column is missing, or a line has too few values.
pub fn read_columns<const N: usize>(
    field: &str,
    path: &Path,
    columns: [&str; N],
) -> Result<Vec<[String; N]>, ConfigError> {
    parse_columns(&read_text(field, path)?, columns).map_err(|(problem, way_out)| {
        ConfigError::new(field, path.display(), format!("no table of cases: {problem}"), way_out)
    })
}

/// Reads the text file of the setting `field`, without a byte order mark.
///
/// # Errors
/// If it cannot be read.
pub fn read_text(field: &str, path: &Path) -> Result<String, ConfigError> {
    let text = fs::read_to_string(path).map_err(|error| {
        let problem = format!("a file that cannot be read: {}", error.cause);
        ConfigError::new(field, path.display(), problem.to_lowercase(), "name a text file")
    })?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// Finds the columns of these names in a CSV text; the error is the problem and the way out.
pub(super) fn parse_columns<const N: usize>(
    text: &str,
    columns: [&str; N],
) -> Result<Vec<[String; N]>, (String, String)> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let head = lines.next().map(|(_, line)| split_line(line)).unwrap_or_default();
    let mut places = [0; N];
    for (place, column) in places.iter_mut().zip(columns) {
        let mut named = (0..head.len()).filter(|&at| head[at].eq_ignore_ascii_case(column));
        let found = named.next();
        if named.next().is_some() {
            let problem = format!("its first line names two columns `{column}`");
            return Err((problem, "rename or delete all but one".to_owned()));
        }
        *place = found.ok_or_else(|| {
            let example = columns.join(",");
            let problem = format!("its first line names no column `{column}`");
            (problem, format!("begin it with the line {example}"))
        })?;
    }
    lines
        .map(|(number, line)| {
            let values = split_line(line);
            let own = places.map(|place| values.get(place).cloned().unwrap_or_default());
            match own.iter().position(String::is_empty) {
                None => Ok(own),
                Some(empty) => {
                    let problem = format!("line {} has no {}", number + 1, columns[empty]);
                    Err((problem, "give it one, or take the line out".to_owned()))
                }
            }
        })
        .collect()
}

/// Values of a line, without quotation marks and blanks around them.
fn split_line(line: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let mut is_quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => values.push(String::new()),
            letter => values.last_mut().expect("never empty").push(letter),
        }
    }
    values.iter().map(|value| value.trim().to_owned()).collect()
}

/// Text of a list of names, such as `a, b, c, d, e and 7 more`.
pub fn list_names(names: &[impl Display]) -> String {
    let mut shown: Vec<String> = names.iter().take(LISTED).map(ToString::to_string).collect();
    let more = names.len() - shown.len();
    if more == 0 {
        return shown.join(", ");
    }
    let last = shown.pop().unwrap_or_default();
    shown.push(format!("{last} and {more} more"));
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_in_what_spreadsheets_write() {
        let text = "age,\"Part\",case\r\n61,train,\"a, b\"\r\n\r\n,test , c\r\n";
        let rows = parse_columns(text, ["case", "part"]).unwrap();
        assert_eq!(rows, [["a, b", "train"], ["c", "test"]]);
    }

    #[test]
    fn a_table_without_a_column_or_a_value_is_refused_by_name() {
        let refused = |text| parse_columns(text, ["case", "patient"]).unwrap_err();
        for text in ["", "case;patient\na;b", "a,b\n"] {
            assert!(refused(text).0.contains("no column"), "{text}");
            assert!(refused(text).1.contains("case,patient"), "{text}");
        }
        assert_eq!(refused("case,patient\na,b\nc\n").0, "line 3 has no patient");
        let (problem, way_out) = refused("case,patient, Case\na,b,c\n");
        assert_eq!(problem, "its first line names two columns `case`");
        assert!(way_out.contains("all but one"), "{way_out}");
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        assert_eq!(list_names(&["a", "b"]), "a, b");
        assert_eq!(list_names(&[1, 2, 3, 4, 5, 6, 7]), "1, 2, 3, 4, 5 and 2 more");
    }
}
