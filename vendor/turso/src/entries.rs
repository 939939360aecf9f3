//! Entries as files: `FOLDER/<hash of the namespace>/<hash of the key>`.
//!
//! A file holds its namespace and key beside the value, so that two keys of one hash are told apart, and a sum over all
//! of it: what is not whole is not there. It is written beside its place and linked to it, which fails where there is
//! one already: the first of two processes wins, and no reader meets half a file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"kernel 1";

/// Folder of compiled kernels, beside all databases.
const KERNELS: &str = "kernels";

/// Entry of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) namespace: String,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    /// 0 if it was made here, 1 if it was brought.
    pub(crate) origin: i64,
}

impl Entry {
    pub(crate) fn new(namespace: &str, key: &[u8], value: &[u8], origin: i64) -> Self {
        Self { namespace: namespace.into(), key: key.into(), value: value.into(), origin }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.origin.to_le_bytes());
        for part in [self.namespace.as_bytes(), &self.key, &self.value] {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part);
        }
        let sum = hash_of(&bytes);
        bytes.extend(sum.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (content, sum) = bytes.split_last_chunk::<16>()?;
        if hash_of(content) != u128::from_le_bytes(*sum) {
            return None;
        }
        let rest = content.strip_prefix(MAGIC)?;
        let (origin, mut rest) = rest.split_first_chunk::<8>()?;
        let mut parts = Vec::with_capacity(3);
        for _ in 0..3 {
            let (length, behind) = rest.split_first_chunk::<8>()?;
            let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
            let (part, behind) = behind.split_at_checked(length)?;
            parts.push(part.to_vec());
            rest = behind;
        }
        let [namespace, key, value] = <[Vec<u8>; 3]>::try_from(parts).ok()?;
        let namespace = String::from_utf8(namespace).ok()?;
        rest.is_empty().then_some(Self { namespace, key, value, origin: i64::from_le_bytes(*origin) })
    }
}

/// FNV-1a, 128 bits.
fn hash_of(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b)
    })
}

fn name_of(bytes: &[u8]) -> String {
    format!("{:032x}", hash_of(bytes))
}

/// All entries of a folder.
#[derive(Debug)]
pub(crate) struct Entries {
    folder: PathBuf,
    is_read_only: bool,
}

impl Entries {
    pub(crate) fn open(folder: PathBuf, is_read_only: bool) -> Result<Self> {
        let opened = if is_read_only {
            fs::read_dir(&folder).map(drop)
        } else {
            fs::create_dir_all(&folder)
        };
        opened.map_err(|error| Error::of_io(&error, "opening the store of kernels"))?;
        Ok(Self { folder, is_read_only })
    }

    /// The right to change several entries at once; none for those who only read.
    pub(crate) fn lock(&self) -> Result<Option<File>> {
        if self.is_read_only {
            return Ok(None);
        }
        let lock = File::create(self.folder.join("lock"));
        let locked = lock.and_then(|file| file.lock().map(|()| file));
        locked.map(Some).map_err(|error| Error::of_io(&error, "locking the store of kernels"))
    }

    /// Compiled kernels lie beside the folder: they depend on what their namespace says, the architecture, and
    /// on no card or driver, which a database may be named for.
    fn folder_of(&self, namespace: &str) -> PathBuf {
        let kernels = namespace.starts_with("cuda").then(|| self.folder.with_file_name(KERNELS));
        kernels.unwrap_or_else(|| self.folder.clone()).join(name_of(namespace.as_bytes()))
    }

    fn path_of(&self, namespace: &str, key: &[u8]) -> PathBuf {
        self.folder_of(namespace).join(name_of(key))
    }

    pub(crate) fn get(&self, namespace: &str, key: &[u8]) -> Option<Entry> {
        let entry = read_entry(&self.path_of(namespace, key))?;
        (entry.namespace == namespace && entry.key == key).then_some(entry)
    }

    /// Writes an entry where there is none, or one that was brought in place of one that was made here. True if
    /// it did.
    pub(crate) fn insert(&self, entry: &Entry) -> Result<bool> {
        let path = self.path_of(&entry.namespace, &entry.key);
        let part = self.write_beside(&path, entry)?;
        let linked = fs::hard_link(&part, &path);
        let stored = match linked {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let known = read_entry(&path);
                // One that cannot be read, or of another key with the same hash, is as good as none.
                let known = known.filter(|one| (&one.namespace, &one.key) == (&entry.namespace, &entry.key));
                let is_replaced = known.is_none_or(|one| one.origin == 1 && entry.origin == 0);
                if is_replaced { fs::rename(&part, &path).map(|()| true) } else { Ok(false) }
            }
            // A file system without links: the later of two processes wins there, which is as well.
            Err(_) => fs::rename(&part, &path).map(|()| true),
        };
        // Gone already where it was renamed.
        let _ = fs::remove_file(&part);
        stored.map_err(|error| Error::of_io(&error, "writing to the store of kernels"))
    }

    pub(crate) fn replace(&self, entry: &Entry) -> Result<()> {
        let path = self.path_of(&entry.namespace, &entry.key);
        let part = self.write_beside(&path, entry)?;
        let renamed = fs::rename(&part, &path);
        renamed.map_err(|error| Error::of_io(&error, "writing to the store of kernels"))
    }

    fn write_beside(&self, path: &Path, entry: &Entry) -> Result<PathBuf> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        if self.is_read_only {
            return Err(Error::Error("the store of kernels is open for reading only".into()));
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let part = path.with_extension(format!("{}-{count}.part", std::process::id()));
        let write = || {
            fs::create_dir_all(self.folder_of(&entry.namespace))?;
            File::create(&part)?.write_all(&entry.to_bytes())
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&part);
            Error::of_io(&error, "writing to the store of kernels")
        })?;
        Ok(part)
    }

    pub(crate) fn of_namespace(&self, namespace: &str) -> Vec<Entry> {
        let mut entries = read_folder(&self.folder_of(namespace));
        entries.retain(|entry| entry.namespace == namespace);
        entries
    }

    pub(crate) fn all(&self) -> Vec<Entry> {
        let folders = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        folders.flat_map(|folder| read_folder(&folder.path())).collect()
    }

    pub(crate) fn remove(&self, namespace: &str, key: &[u8]) -> Result<u64> {
        match fs::remove_file(self.path_of(namespace, key)) {
            Ok(()) => Ok(1),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(Error::of_io(&error, "removing from the store of kernels")),
        }
    }

    pub(crate) fn remove_namespace(&self, namespace: &str) -> Result<u64> {
        let mut count = 0;
        for entry in self.of_namespace(namespace) {
            count += self.remove(namespace, &entry.key)?;
        }
        Ok(count)
    }

    pub(crate) fn remove_all_but(&self, kept: &str) -> Result<u64> {
        let mut count = 0;
        for entry in self.all().into_iter().filter(|entry| entry.namespace != kept) {
            count += self.remove(&entry.namespace, &entry.key)?;
        }
        Ok(count)
    }
}

fn read_entry(path: &Path) -> Option<Entry> {
    fs::read(path).ok().and_then(|bytes| Entry::from_bytes(&bytes))
}

/// Entries of a namespace's folder; what is still being written has an extension.
fn read_folder(folder: &Path) -> Vec<Entry> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = files.map(|file| file.path()).filter(|path| path.extension().is_none());
    paths.filter_map(|path| read_entry(&path)).collect()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn opened(folder: &Path) -> Entries {
        Entries::open(folder.to_path_buf(), false).unwrap()
    }

    #[test]
    fn the_first_of_two_that_were_made_here_stays_and_one_that_was_brought_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let entries = opened(folder.path());
        let brought = Entry::new("ptx", b"key", b"brought", 1);
        let made = Entry::new("ptx", b"key", b"made", 0);
        assert!(entries.insert(&brought).unwrap());
        assert!(!entries.insert(&Entry::new("ptx", b"key", b"another", 1)).unwrap());
        assert!(entries.insert(&made).unwrap());
        assert!(!entries.insert(&Entry::new("ptx", b"key", b"later", 0)).unwrap());
        assert!(!entries.insert(&brought).unwrap());
        assert_eq!(entries.get("ptx", b"key"), Some(made.clone()));
        assert_eq!((entries.get("ptx", b"other"), entries.get("other", b"key")), (None, None));
        assert_eq!((entries.of_namespace("ptx"), entries.remove_all_but("ptx").unwrap()), (vec![made], 0));
        assert_eq!(entries.remove("ptx", b"key").unwrap(), 1);
        assert!(entries.get("ptx", b"key").is_none() && entries.all().is_empty());
    }

    #[test]
    fn an_entry_that_was_cut_or_changed_is_none_and_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let entries = opened(folder.path());
        let entry = Entry::new("ptx", b"key", &[7; 1000], 0);
        entries.insert(&entry).unwrap();
        let path = entries.path_of("ptx", b"key");
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        changed[500] ^= 1;
        for broken in [&whole[..whole.len() / 2], &[], &changed] {
            fs::write(&path, broken).unwrap();
            assert_eq!(entries.get("ptx", b"key"), None);
            assert!(entries.insert(&entry).unwrap());
            assert_eq!(entries.get("ptx", b"key"), Some(entry.clone()));
        }
    }

    #[test]
    fn writers_at_once_leave_one_whole_value_and_each_learns_whether_it_was_its_own() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..20u8 {
            let key = [round];
            let stored: Vec<bool> = thread::scope(|scope| {
                let write = |writer: u8| {
                    // Opened anew, as by another process.
                    let entries = opened(folder.path());
                    entries.insert(&Entry::new("ptx", &key, &vec![writer; 100_000], 0)).unwrap()
                };
                let writers: Vec<_> = (0..8).map(|writer| scope.spawn(move || write(writer))).collect();
                writers.into_iter().map(|writer| writer.join().unwrap()).collect()
            });
            assert_eq!(stored.iter().filter(|stored| **stored).count(), 1);
            let winner = stored.iter().position(|stored| *stored).unwrap();
            let found = opened(folder.path()).get("ptx", &key).unwrap();
            assert_eq!(found.value, vec![u8::try_from(winner).unwrap(); 100_000]);
        }
        let leftover = read_folder(&opened(folder.path()).folder_of("ptx"));
        assert_eq!(leftover.len(), 20);
        let files = fs::read_dir(opened(folder.path()).folder_of("ptx")).unwrap().count();
        assert_eq!(files, 20, "parts are left");
    }

    #[test]
    fn databases_side_by_side_share_their_kernels_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one.db", "other.db"].map(|name| opened(&folder.path().join(name)));
        for namespace in ["cuda/0.11.3/ptx_sm90-cpp", "cuda-second-line/0.11.3/ptx_sm90-cpp", "autotune/0.11.3/cuda-0"] {
            one.insert(&Entry::new(namespace, b"key", b"value", 0)).unwrap();
            assert_eq!(other.get(namespace, b"key").is_some(), namespace.starts_with("cuda"), "{namespace}");
        }
    }

    #[test]
    fn a_store_for_reading_is_not_written_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        opened(folder.path()).insert(&Entry::new("ptx", b"key", b"value", 0)).unwrap();
        let reading = Entries::open(folder.path().to_path_buf(), true).unwrap();
        assert!(reading.get("ptx", b"key").is_some() && reading.lock().unwrap().is_none());
        assert!(reading.insert(&Entry::new("ptx", b"new", b"value", 0)).is_err());
        assert!(Entries::open(folder.path().join("none"), true).is_err());
    }
}
