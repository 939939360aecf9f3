//! A damaged case file is built again from its source files, and a run does not notice.

use std::fs;

use gliaflow::internals::base::Reason;
use gliaflow::internals::cache::{MappedCase, Verify};

use super::setting::{Setting, hash, replace, replace_in_secret};
use crate::deadline::{LIMIT, within};

/// What is lost of a file, and how.
type Damage = (&'static str, fn(&mut Vec<u8>));

/// Ways in which a disk or a half-done copy spoils a file.
const DAMAGES: [Damage; 6] = [
    ("a byte of the magic", |bytes| bytes[0] ^= 1),
    ("a byte of the header", |bytes| bytes[40] ^= 0x10),
    ("a byte of the first voxel", |bytes| bytes[4096] ^= 1),
    ("half of the file", |bytes| bytes.truncate(bytes.len() / 2)),
    ("all but the first page", |bytes| bytes.truncate(4096)),
    ("all of it", |bytes| bytes.clear()),
];

#[test]
fn a_damaged_case_file_is_repaired_and_the_batches_are_the_same() {
    within(LIMIT, |watch| {
        let setting = Setting::of_cases(3);
        let whole = setting.take(watch, "cache", 0, 6);
        let reference: Vec<_> = whole.iter().map(hash).collect();
        let id = setting.cohort()[1].id.clone();
        let path = setting.store("cache").case_path(&id).unwrap();
        let sound = fs::read(&path).unwrap();
        for (what, damage) in DAMAGES {
            replace(&path, damage);
            let hashes: Vec<_> = setting.take(watch, "cache", 0, 6).iter().map(hash).collect();
            assert_eq!(hashes, reference, "{what}");
            assert!(MappedCase::open(&path, Verify::Full).is_ok(), "{what}");
            assert!(fs::read(&path).unwrap() == sound, "{what}: built again, it is the same file");
        }
        assert_eq!(setting.skips(), []);
    });
}

#[test]
fn a_damaged_case_file_whose_sources_are_bad_too_is_skipped_and_stays() {
    within(LIMIT, |watch| {
        let mut setting = Setting::of_cases(4);
        // A quarter of all samples is the victim's.
        setting.loader.skip_share = 0.9;
        setting.take(watch, "cache", 0, 4);
        let cohort = setting.cohort();
        let victim = &cohort[2];
        let path = setting.store("cache").case_path(&victim.id).unwrap();
        replace(&path, |bytes| bytes[4096] ^= 1);
        // By size and time its sources are the ones that it was built from.
        replace_in_secret(&victim.images[0], |bytes| bytes[12..].fill(0xff));
        // As many samples as an epoch has, so that its turn has come whatever the order.
        let batches = setting.take(watch, "cache", 0, 4);
        let mut cases = batches.iter().flat_map(|batch| &batch.provenance).map(|from| &from.case);
        assert!(cases.all(|case| *case != victim.id));
        let skips = setting.skips();
        assert!(!skips.is_empty(), "its turn came and was skipped");
        for skip in skips {
            let text = skip.error.to_string();
            assert_eq!(skip.error.reason, Reason::Format, "{text}");
            assert!(text.contains(victim.images[0].to_str().unwrap()), "{text}");
        }
        assert!(path.is_file(), "what cannot be built again is not deleted");
    });
}
