//! Errors of object storage in words: what the server said, and which setting to look at.

use std::error::Error as _;

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

use crate::base::{CaseError, Reason};
use crate::storage::object_url::ObjectUrl;

/// Characters of a server's message that are shown.
const SHOWN: usize = 200;

/// Address at which machines of Amazon's cloud ask for their own credentials: what is asked last, if no
/// others are there.
const MACHINE_CREDENTIALS: &str = "169.254.169.254";

/// True if another request would meet the same error.
pub(super) const fn is_final(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::UnknownConfigurationKey { .. }
    )
}

/// True if an answer broke off. The client repeats a request that is refused for now or finds nobody, but not
/// one whose answer had begun.
pub(super) fn is_interrupted(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return error.kind() != HttpErrorKind::Connect;
        }
        cause = error.source();
    }
    false
}

/// Converts an error about an object or a prefix.
pub(super) fn to_case_error(url: &ObjectUrl, error: &Error) -> CaseError {
    let said = server_message(error);
    let whole = error.to_string();
    // Errors of a listing are of no kind to the client; their text has the status.
    let has_status = |status: &str| whole.contains(&format!("status code: {status}"));
    let is_refused = has_status("403") || has_status("401");
    let (reason, problem, remedy) = match error {
        _ if whole.contains(MACHINE_CREDENTIALS) => {
            (Reason::Io, "there are no credentials for it".to_owned(), credentials_remedy(url))
        }
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => refused(url, &said),
        _ if is_refused => refused(url, &said),
        _ if matches!(error, Error::NotFound { .. }) || has_status("404") => (
            Reason::Missing,
            format!("is not there ({said})"),
            "check the bucket and the path".to_owned(),
        ),
        Error::InvalidPath { .. } => (
            Reason::Format,
            format!("an object has a key that is no path ({said})"),
            "rename that object, or name a prefix without it".to_owned(),
        ),
        _ if said.contains("configured region") => (
            Reason::Io,
            format!("the server sends elsewhere ({said})"),
            "set AWS_REGION to the bucket's region".to_owned(),
        ),
        _ => (
            Reason::Io,
            format!("the server does not deliver ({said})"),
            "check the endpoint and the network, and start again: what is done stays".to_owned(),
        ),
    };
    CaseError::new(reason, url, problem, remedy)
}

fn refused(url: &ObjectUrl, said: &str) -> (Reason, String, String) {
    (Reason::Io, format!("the server refuses access ({said})"), credentials_remedy(url))
}

/// Way out for missing or refused credentials.
fn credentials_remedy(url: &ObjectUrl) -> String {
    let setting = match url.scheme() {
        "gs" => "GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`",
        "az" | "abfs" | "abfss" => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        "http" | "https" => "the server, which must let this machine in without a password",
        _ => {
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile AWS_PROFILE in \
             ~/.aws/credentials"
        }
    };
    format!("check {setting} (docs/object-storage.md)")
}

/// Message of the server, or else the innermost cause.
fn server_message(error: &Error) -> String {
    let whole = error.to_string();
    if let Some(code) = text_between(&whole, "<Code>", "</Code>") {
        return match text_between(&whole, "<Message>", "</Message>") {
            Some(message) => format!("{code}: {message}"),
            None => code.to_owned(),
        };
    }
    let mut innermost = error.source();
    while let Some(next) = innermost.and_then(|error| error.source()) {
        innermost = Some(next);
    }
    let text = innermost.map_or(whole, ToString::to_string);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().chars().take(SHOWN).collect()
}

fn text_between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn url(text: &str) -> ObjectUrl {
        ObjectUrl::of_path(Path::new(text)).unwrap()
    }

    #[test]
    fn the_words_of_the_server_and_the_setting_are_named() {
        let body = "status 403: <?xml?><Error><Code>InvalidAccessKeyId</Code><Message>No such key</Message>";
        let refused = || Error::PermissionDenied { path: "a".into(), source: body.into() };
        let error = to_case_error(&url("s3://bucket/a"), &refused()).to_string();
        let wanted = "s3://bucket/a: the server refuses access (InvalidAccessKeyId: No such key); check \
                      AWS_ACCESS_KEY_ID";
        assert!(error.starts_with(wanted), "{error}");
        assert!(to_case_error(&url("gs://bucket/a"), &refused()).remedy.contains("gcloud"));
        assert!(is_final(&refused()));
        let listed =
            format!("GET http://x - Server returned non-2xx status code: 403 Forbidden: {body}");
        let listed = Error::Generic { store: "S3", source: listed.into() };
        assert_eq!(to_case_error(&url("s3://bucket/a"), &listed).to_string(), error);
        let asked = "PUT http://169.254.169.254/latest/api/token: connection refused";
        let none = Error::Generic { store: "S3", source: asked.into() };
        assert!(to_case_error(&url("s3://b"), &none).problem.contains("no credentials"));
        assert!(!is_final(&none));
    }
}
