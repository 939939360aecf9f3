//! File that announces a process to Prometheus: its name says whose it is, its date that the process lives.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::endpoint::Endpoint;
use crate::base::fs::{self, AtPath, FileError};
use crate::base::replace_file_with;

/// Age from which on a file of another machine is one of a process that has ended.
const SILENCE: Duration = Duration::from_secs(600);

/// Begin of a file's name; `HOST-PROCESS-INSTANCE.json` follows.
const PREFIX: &str = "gliaflow-";

/// Digits of the endpoint's identifier in a file's name.
const DIGITS: usize = 6;

/// Host name as part of a file's name.
fn host_part(endpoint: &Endpoint) -> String {
    let host = endpoint.host.as_deref().unwrap_or("localhost");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    host.chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
}

/// Name of a file, which says whose it is.
#[derive(Debug, PartialEq, Eq)]
struct FileName {
    host: String,
    process: u32,
    instance: String,
}

impl FileName {
    fn of_endpoint(endpoint: &Endpoint) -> Self {
        let instance = endpoint.instance.chars().take(DIGITS).collect();
        Self { host: host_part(endpoint), process: endpoint.process, instance }
    }

    fn to_text(&self) -> String {
        format!("{PREFIX}{}-{}-{}.json", self.host, self.process, self.instance)
    }

    /// Reads the name of a file that some process announced itself by.
    fn parse_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let mut parts = name.strip_prefix(PREFIX)?.strip_suffix(".json")?.rsplitn(3, '-');
        let instance = parts.next()?;
        let process = parts.next()?.parse().ok()?;
        let host = parts.next()?;
        Some(Self { host: host.to_owned(), process, instance: instance.to_owned() })
    }
}

/// File that announces a process.
pub(super) struct TargetFile {
    path: PathBuf,
    folder: PathBuf,
    host: String,
    text: String,
}

impl TargetFile {
    /// File of the process with that endpoint, with `text`; nothing is written yet.
    pub(super) fn of_endpoint(folder: &Path, endpoint: &Endpoint, text: String) -> Self {
        let path = folder.join(FileName::of_endpoint(endpoint).to_text());
        Self { path, folder: folder.to_path_buf(), host: host_part(endpoint), text }
    }

    /// Shows that the process lives: writes the file anew, and so gives it a new date; another machine may
    /// have taken the process for one that has ended. Removes the files of processes that have.
    pub(super) fn show_life(&self) -> Result<(), FileError> {
        fs::create_dir_all(&self.folder)?;
        // Not synced: after a power failure the process is gone as well.
        replace_file_with(&self.path, |file| file.write_all(self.text.as_bytes()))?;
        let date = self.path.metadata().and_then(|file| file.modified()).at_path(&self.path)?;
        self.remove_ended(date)
    }

    /// Removes files of processes that have ended: on this machine by the process id, elsewhere by the
    /// age, both dates by the clock of whoever keeps the folder.
    fn remove_ended(&self, date: SystemTime) -> Result<(), FileError> {
        for path in fs::list_dir(&self.folder)? {
            let Some(name) = FileName::parse_path(&path).filter(|_| path != self.path) else {
                continue;
            };
            let silent = || {
                let modified = path.metadata().and_then(|file| file.modified());
                let age = modified.ok().and_then(|modified| date.duration_since(modified).ok());
                age.is_some_and(|age| age > SILENCE)
            };
            let is_here = name.host == self.host && Path::new("/proc/self").exists();
            let is_gone = is_here && !Path::new("/proc").join(name.process.to_string()).exists();
            if is_gone || silent() {
                // Another process may have been quicker.
                fs::if_present(fs::remove_file(&path))?;
            }
        }
        Ok(())
    }

    pub(super) fn remove_own(&self) {
        if let Err(error) = fs::if_present(fs::remove_file(&self.path)) {
            tracing::warn!(
                "{error}: Prometheus goes on asking for a run that has ended; remove the file"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    /// Gives a file an earlier date.
    fn set_date(path: &Path, date: SystemTime) {
        let file = fs::open_with(path, OpenOptions::new().write(true)).unwrap();
        file.set_modified(date).unwrap();
    }

    fn files_in(folder: &Path) -> Vec<PathBuf> {
        fs::list_dir(folder).unwrap()
    }

    #[test]
    fn a_name_says_whose_file_it_is() {
        let own = Endpoint { host: Some("node-7 a".into()), ..Endpoint::of_this_process() };
        let name = FileName::of_endpoint(&own);
        let path = PathBuf::from(name.to_text());
        assert!(name.to_text().starts_with("gliaflow-node-7_a-"), "{name:?}");
        assert_eq!(FileName::parse_path(&path), Some(name));
        for other in ["notes.json", "gliaflow-a-b-c.json", "gliaflow-1-a.json"] {
            assert_eq!(FileName::parse_path(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn files_of_processes_that_have_ended_are_removed_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let host = host_part(&Endpoint::of_this_process());
        // A process that has ended and was waited for has no number.
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let own = std::process::id();
        let dead = at(&format!("gliaflow-{host}-{}-abcdef.json", ended.id()));
        let living = at(&format!("gliaflow-{host}-{own}-abcdef.json"));
        let [recent, silent] =
            ["1", "2"].map(|n| at(&format!("gliaflow-else-where-{n}-abcdef.json")));
        let [foreign, other] = ["notes.json", "gliaflow-x.json"].map(at);
        for file in [&dead, &living, &recent, &silent, &foreign, &other] {
            fs::write(file, "[]").unwrap();
        }
        let long_ago = SystemTime::now() - 2 * SILENCE;
        for file in [&silent, &foreign] {
            set_date(file, long_ago);
        }
        let file =
            TargetFile::of_endpoint(folder.path(), &Endpoint::of_this_process(), "[]".into());
        file.show_life().unwrap();
        assert!(file.path.exists() && !dead.exists() && !silent.exists());
        file.remove_own();
        let mut left = files_in(folder.path());
        left.sort();
        let mut expected = [living, recent, foreign, other];
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_file_that_another_machine_removed_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = TargetFile {
            path: folder.path().join("gliaflow-a-1-abcdef.json"),
            folder: folder.path().to_path_buf(),
            host: "a".into(),
            text: "[]\n".into(),
        };
        file.show_life().unwrap();
        let date = |file: &TargetFile| file.path.metadata().unwrap().modified().unwrap();
        let long_ago = SystemTime::now() - SILENCE;
        set_date(&file.path, long_ago);
        file.show_life().unwrap();
        assert!(date(&file) > long_ago + SILENCE / 2, "a beat gives it a new date");
        fs::remove_file(&file.path).unwrap();
        file.show_life().unwrap();
        assert_eq!(fs::read_to_string(&file.path).unwrap(), "[]\n");
        file.remove_own();
        assert!(files_in(folder.path()).is_empty());
    }
}
