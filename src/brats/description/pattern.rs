//! Patterns of paths and names with named parts, such as `{case}/{case}_{modality}.nii[.gz]`.
//!
//! A pattern is matched against as many last components of a path as it has itself. `{name}` stands
//! for one or more characters without `/`, the same wherever the name comes again, and as many as
//! can be; `{name:form}` only for a text of that form, in which `*` is any text, `#` a number and
//! letters of either case are alike. `*` stands for any text without `/`, `#` for a number, and
//! `[text]` for a text that may be left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Part that stands for the name of a modality in file names.
pub(in crate::brats) const MODALITY: &str = "modality";

/// Texts of a pattern's named parts in a path that it fits.
pub(in crate::brats) type Parts = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(String),
    Part { name: String, form: Option<String> },
    AnyText,
    Number,
    OptionalText(String),
}

/// Pattern with named parts.
#[derive(derive_more::Display, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[display("{text}")]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern {
    text: String,
    tokens: Vec<Token>,
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.text
    }
}

impl TryFrom<String> for NamePattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let tokens = parse_tokens(&text).map_err(|problem| {
            format!("`{text}` is no pattern: {problem}; write one such as {EXAMPLE}")
        })?;
        Ok(Self { text, tokens })
    }
}

const EXAMPLE: &str = "{case}/{case}_{modality}.nii[.gz]";

fn parse_tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    if text.is_empty() || text.starts_with('/') || text.ends_with('/') {
        return Err("it is empty, or begins or ends with /".to_owned());
    }
    while let Some(letter) = rest.chars().next() {
        let end = rest.find(['{', '[', '*', '#', '}', ']']).unwrap_or(rest.len());
        if end > 0 {
            tokens.push(Token::Text(rest[..end].to_owned()));
            rest = &rest[end..];
            continue;
        }
        rest = &rest[1..];
        match letter {
            '*' => tokens.push(Token::AnyText),
            '#' => tokens.push(Token::Number),
            '{' | '[' => {
                let close = if letter == '{' { '}' } else { ']' };
                let Some((inner, after)) = rest.split_once(close) else {
                    return Err(format!("a `{letter}` is not closed"));
                };
                rest = after;
                tokens.push(match letter {
                    '{' => parse_part(inner)?,
                    _ => Token::OptionalText(inner.to_owned()),
                });
            }
            stray => return Err(format!("a `{stray}` closes nothing")),
        }
    }
    Ok(tokens)
}

fn parse_part(inner: &str) -> Result<Token, String> {
    let (name, form) = match inner.split_once(':') {
        Some((name, form)) => (name, Some(form.to_owned())),
        None => (inner, None),
    };
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if is_name {
        Ok(Token::Part { name: name.to_owned(), form })
    } else {
        Err(format!("`{{{inner}}}` names no part"))
    }
}

impl NamePattern {
    /// Number of components of a path that the pattern takes.
    pub(in crate::brats) fn depth(&self) -> usize {
        1 + self.text.matches('/').count()
    }

    /// Names of the parts, each as often as it comes.
    pub(in crate::brats) fn part_names(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().filter_map(|token| match token {
            Token::Part { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// Matches a whole text; `{modality}` is one of `modalities`.
    pub(in crate::brats) fn match_text(&self, text: &str, modalities: &[&str]) -> Option<Parts> {
        let mut parts = Parts::new();
        match_tokens(&self.tokens, text, modalities, &mut parts).then_some(parts)
    }

    /// Text in which named parts are as in `parts`, texts that may be left out are there, and what is
    /// not known stays as in the pattern.
    pub(in crate::brats) fn fill_in(&self, parts: &Parts) -> String {
        let text_of = |token: &Token| match token {
            Token::Text(text) | Token::OptionalText(text) => text.clone(),
            Token::AnyText => "*".to_owned(),
            Token::Number => "#".to_owned(),
            Token::Part { name, .. } => {
                parts.get(name).cloned().unwrap_or_else(|| format!("{{{name}}}"))
            }
        };
        self.tokens.iter().map(text_of).collect()
    }

    /// Text for users: `CASE/CASE_{t1,t1ce,t2,flair}.nii[.gz]`.
    pub(in crate::brats) fn to_shown(&self, modalities: &[&str]) -> String {
        let text_of = |token: &Token| match token {
            Token::Text(text) => text.clone(),
            Token::OptionalText(text) => format!("[{text}]"),
            Token::AnyText => "*".to_owned(),
            Token::Number => "N".to_owned(),
            Token::Part { name, .. } if name == MODALITY => format!("{{{}}}", modalities.join(",")),
            Token::Part { name, .. } => name.to_uppercase(),
        };
        self.tokens.iter().map(text_of).collect()
    }
}

/// Lengths of the starts of `text` that hold no `/`, the longest first.
fn start_lengths(text: &str) -> impl Iterator<Item = usize> {
    let component = &text[..text.find('/').unwrap_or(text.len())];
    let places = component.char_indices().map(|(place, _)| place);
    places.chain([component.len()]).collect::<Vec<_>>().into_iter().rev()
}

/// Lengths of the starts of `text` that are numbers, the longest first.
fn number_lengths(text: &str) -> impl Iterator<Item = usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (1..=digits).rev()
}

fn match_tokens(tokens: &[Token], text: &str, modalities: &[&str], parts: &mut Parts) -> bool {
    let Some((token, others)) = tokens.split_first() else { return text.is_empty() };
    match token {
        Token::Text(wanted) => text
            .strip_prefix(wanted.as_str())
            .is_some_and(|rest| match_tokens(others, rest, modalities, parts)),
        Token::OptionalText(wanted) => {
            let with = text.strip_prefix(wanted.as_str());
            with.is_some_and(|rest| match_tokens(others, rest, modalities, parts))
                || match_tokens(others, text, modalities, parts)
        }
        Token::AnyText => start_lengths(text)
            .any(|length| match_tokens(others, &text[length..], modalities, parts)),
        Token::Number => number_lengths(text)
            .any(|length| match_tokens(others, &text[length..], modalities, parts)),
        Token::Part { name, form } => {
            if let Some(known) = parts.get(name) {
                let rest = text.strip_prefix(known.as_str());
                return rest.is_some_and(|rest| match_tokens(others, rest, modalities, parts));
            }
            let is_modality = name == MODALITY && !modalities.is_empty();
            start_lengths(text).filter(|length| *length > 0).any(|length| {
                let (own, rest) = text.split_at(length);
                let is_fitting = (!is_modality || modalities.contains(&own))
                    && form.as_ref().is_none_or(|form| has_form(form, own));
                if !is_fitting {
                    return false;
                }
                parts.insert(name.clone(), own.to_owned());
                let matches = match_tokens(others, rest, modalities, parts);
                if !matches {
                    parts.remove(name);
                }
                matches
            })
        }
    }
}

/// True if a text has a form: `*` is any text, `#` a number, letters of either case are alike.
fn has_form(form: &str, text: &str) -> bool {
    let Some(first) = form.chars().next() else { return text.is_empty() };
    let rest = &form[first.len_utf8()..];
    match first {
        '*' => start_lengths(text).any(|length| has_form(rest, &text[length..])),
        '#' => number_lengths(text).any(|length| has_form(rest, &text[length..])),
        letter => text.chars().next().is_some_and(|own| {
            own.eq_ignore_ascii_case(&letter) && has_form(rest, &text[own.len_utf8()..])
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> NamePattern {
        NamePattern::try_from(text.to_owned()).unwrap()
    }

    fn found(pattern_text: &str, path: &str) -> Option<String> {
        let parts = pattern(pattern_text).match_text(path, &["t1", "t1ce"])?;
        Some(parts.iter().map(|(name, text)| format!("{name}={text} ")).collect())
    }

    #[test]
    fn parts_are_the_same_wherever_they_come_and_modalities_are_those_that_are_known() {
        let usual = "{case}/{case}_{modality}.nii[.gz]";
        assert_eq!(found(usual, "a_1/a_1_t1ce.nii").unwrap(), "case=a_1 modality=t1ce ");
        assert_eq!(found(usual, "a/a_t1.nii.gz").unwrap(), "case=a modality=t1 ");
        for other in ["a/b_t1.nii", "a/a_t2.nii", "a/a_t1.nii.gz.part", "b/a/a_t1.nii", "/_t1.nii"]
        {
            assert_eq!(found(usual, other), None, "{other}");
        }
        assert_eq!(found("{patient}_{scan}", "a_b_c").unwrap(), "patient=a_b scan=c ");
        assert_eq!(
            found("{case}/*_{modality}.nii", "ä/x_y_t1.nii").unwrap(),
            "case=ä modality=t1 "
        );
        assert_eq!((pattern(usual).depth(), pattern("{case}").depth()), (2, 1));
    }

    #[test]
    fn a_form_tells_names_of_one_kind_from_others() {
        let brats = "{patient:BraTS-*-#}-#";
        assert_eq!(found(brats, "brats-GLI-00012-003").unwrap(), "patient=brats-GLI-00012 ");
        for other in ["BraTS-GLI-00012", "BraTS-GLI-00012-b", "Brats-x-1-", "UPENN-GBM-1-2"] {
            assert_eq!(found(brats, other), None, "{other}");
        }
    }

    #[test]
    fn a_filled_in_pattern_is_a_path_and_what_is_unknown_stays_visible() {
        let parts = Parts::from([("case".to_owned(), "a".to_owned())]);
        let text = pattern("{case}/*_{modality}.nii[.gz]");
        assert_eq!(text.fill_in(&parts), "a/*_{modality}.nii.gz");
        assert_eq!(text.to_shown(&["t1", "t2"]), "CASE/*_{t1,t2}.nii[.gz]");
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_an_example() {
        for (text, words) in [
            ("", "it is empty"),
            ("/a", "begins or ends with /"),
            ("{case", "`{` is not closed"),
            ("a}", "`}` closes nothing"),
            ("{a b}", "`{a b}` names no part"),
            ("[.gz", "`[` is not closed"),
        ] {
            let refused = NamePattern::try_from(text.to_owned()).unwrap_err();
            assert!(refused.contains(words) && refused.contains(EXAMPLE), "{refused}");
        }
    }
}
