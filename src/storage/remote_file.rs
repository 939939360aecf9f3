//! Object as a server describes it.

/// Object as it was listed: its place, and what tells it from a later one of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteFile {
    /// Key in its store.
    pub(super) key: String,
    /// Length in bytes.
    pub(super) bytes: u64,
    /// Time of modification in nanoseconds since 1970.
    pub(super) modified_ns: i64,
    /// ETag; some servers have none.
    pub(super) tag: Option<String>,
    /// Version, in stores that keep several.
    pub(super) version: Option<String>,
}

#[cfg(feature = "object-store")]
impl RemoteFile {
    /// True if `now` is the same object in the same state. Servers do not name the version in a listing, and
    /// answer in whole seconds in some places and in fractions in others.
    pub(super) fn is_unchanged(&self, now: &Self) -> bool {
        const SECOND: i64 = 1_000_000_000;
        self.bytes == now.bytes
            && match (&self.tag, &now.tag) {
                (Some(then), Some(now)) => then.trim_matches('"') == now.trim_matches('"'),
                _ => self.modified_ns / SECOND == now.modified_ns / SECOND,
            }
    }
}

#[cfg(all(test, feature = "object-store"))]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_known_by_its_tag_or_else_by_length_and_time() {
        let listed = RemoteFile {
            key: "a".to_owned(),
            bytes: 7,
            modified_ns: 5_000_000_000,
            tag: Some("\"one\"".to_owned()),
            version: None,
        };
        let answered = RemoteFile {
            modified_ns: 5_900_000_000,
            tag: Some("one".to_owned()),
            version: Some("v1".to_owned()),
            ..listed.clone()
        };
        assert!(listed.is_unchanged(&answered));
        let rewritten = RemoteFile { tag: Some("two".to_owned()), ..answered.clone() };
        assert!(!listed.is_unchanged(&rewritten));
        let untagged = RemoteFile { tag: None, ..answered };
        assert!(listed.is_unchanged(&untagged));
        assert!(
            !listed.is_unchanged(&RemoteFile { modified_ns: 6_000_000_000, ..untagged.clone() })
        );
        assert!(!listed.is_unchanged(&RemoteFile { bytes: 8, ..untagged }));
    }
}
