//! The binary in a folder of its own: run a line, watch it, send it signals, and never wait for ever.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::metrics::get;

/// Far more than any line here needs, even on a machine that does something else.
const DEADLINE: Duration = Duration::from_secs(120);

/// How often something outside is looked at.
const LOOK: Duration = Duration::from_millis(5);

const LONG_VERBS: [&str; 10] = [
    "demo",
    "phantom",
    "ingest",
    "drain",
    "tune",
    "train",
    "evaluate",
    "predict",
    "label",
    "experiment",
];

/// A run so small that a step takes milliseconds.
#[cfg(feature = "train")]
pub(crate) const TINY: &str = "--set device=cpu --set data.cache=cache --set crop.patch=[16,16,16] \
     --set model.settings={base_width=2,levels=2} --set loader.memory_mib=64 \
     --set train.epochs=2 --set train.steps_per_epoch=2";

/// A temporary folder to work in, gone with the test.
pub(crate) struct Desk(TempDir);

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A desk with a small phantom cohort in `data`.
    pub(crate) fn with_cohort(cases: usize) -> Self {
        let desk = Self::new();
        desk.run(&format!("phantom --out data --cases {cases} --seed 3 --shape 24x28x26")).ok();
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    #[cfg(feature = "train")]
    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    /// The lines of a `.jsonl` file.
    pub(crate) fn json_lines(&self, name: &str) -> Vec<Value> {
        let text = self.text(name);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Names of the entries of a folder, sorted.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }

    /// Flips one byte of a file, counted from its end. The last eight of a `.gz` are its checksum
    /// and its length.
    pub(crate) fn flip(&self, name: &str, from_end: usize) {
        let path = self.path(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let place = bytes.len() - from_end;
        bytes[place] = !bytes[place];
        std::fs::write(&path, bytes).unwrap();
    }

    /// Runs a line, split at blanks, to its end.
    pub(crate) fn run(&self, line: &str) -> Outcome {
        self.start(line).wait()
    }

    /// Starts a line. It serves metrics only if it says so: tests run side by side.
    pub(crate) fn start(&self, line: &str) -> Process {
        self.start_with(line, &[])
    }

    /// Starts a line with these variables in its environment.
    pub(crate) fn start_with(&self, line: &str, variables: &[(&str, &str)]) -> Process {
        // Tests may have been started to outlive a terminal themselves.
        let mut program = Command::new("env");
        program.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_gliaflow")]);
        self.start_as(program, line, variables)
    }

    /// Starts a line as `nohup` does.
    #[cfg(feature = "train")]
    pub(crate) fn start_deaf_to_hangups(&self, line: &str) -> Process {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"trap "" HUP; exec "$0" "$@""#, env!("CARGO_BIN_EXE_gliaflow")]);
        self.start_as(shell, line, &[])
    }

    fn start_as(&self, mut program: Command, line: &str, variables: &[(&str, &str)]) -> Process {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let is_long = words.first().is_some_and(|verb| LONG_VERBS.contains(verb));
        if is_long && !line.contains("--metrics-addr") && !line.contains("--help") {
            words.extend(["--metrics-addr", "off"]);
        }
        let mut child = program
            .args(&words)
            .current_dir(self.0.path())
            .env("RUST_BACKTRACE", "0")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Stream::follow(child.stdout.take().unwrap());
        let stderr = Stream::follow(child.stderr.take().unwrap());
        Process { child, line: words.join(" "), stdout, stderr, started: Instant::now() }
    }
}

/// What a process has written so far to one of its streams.
struct Stream {
    text: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Stream {
    fn follow(mut pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&text);
        let thread = thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut part) {
                let mut text = written.lock().unwrap_or_else(PoisonError::into_inner);
                text.extend_from_slice(&part[..length]);
            }
        });
        Self { text, thread }
    }

    fn so_far(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// A running line. Dropped, it is killed: a failed test leaves nothing behind.
pub(crate) struct Process {
    child: Child,
    line: String,
    stdout: Stream,
    stderr: Stream,
    started: Instant,
}

impl Process {
    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Outcome {
        let status = self.until("the end", Self::ended);
        while !(self.stdout.thread.is_finished() && self.stderr.thread.is_finished()) {
            thread::sleep(LOOK);
        }
        let (stdout, stderr) = (self.stdout.so_far(), self.stderr.so_far());
        let line = std::mem::take(&mut self.line);
        Outcome { line, code: status.code(), stdout, stderr }
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// What `look` finds, as soon as it finds something.
    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let late = self.started.elapsed() > DEADLINE;
            assert!(!late, "no sign of {what}: {}\n{}", self.line, self.stderr.so_far());
            thread::sleep(LOOK);
        }
    }

    /// Waits for something to happen while it runs.
    pub(crate) fn wait_for<T>(&mut self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        self.until(what, |process| {
            let found = look();
            let ended = found.is_none() && process.ended().is_some();
            assert!(!ended, "over before {what}: {}\n{}", process.line, process.stderr.so_far());
            found
        })
    }

    /// Waits for something to happen while it runs; `None` if it ends before.
    #[cfg(feature = "train")]
    pub(crate) fn wait_for_or_end<T>(&mut self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        self.until("something or its end", |process| {
            let found = look();
            (found.is_some() || process.ended().is_some()).then_some(found)
        })
    }

    /// Waits until it has written `words` to stderr.
    #[cfg(feature = "train")]
    pub(crate) fn wait_for_stderr(&mut self, words: &str) {
        self.until(words, |process| process.stderr.so_far().contains(words).then_some(()));
    }

    /// Where its endpoint is, once it has said so.
    pub(crate) fn address(&mut self) -> SocketAddr {
        self.until("an address", |process| {
            let stderr = process.stderr.so_far();
            let mut lines = stderr.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let line = lines.find_map(|line| line.strip_prefix("metrics: http://"))?;
            line.trim_end().strip_suffix("/metrics")?.parse().ok()
        })
    }

    /// Scrapes until `enough` is content with what it sees.
    pub(crate) fn scrape_until(&mut self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        let address = self.address();
        self.until(what, |process| {
            let ended = process.ended().is_some();
            assert!(!ended, "over before {what}: {}\n{}", process.line, process.stderr.so_far());
            Some(get(address, "/metrics").body).filter(|scrape| enough(scrape))
        })
    }

    /// Its number for the system.
    #[cfg(feature = "train")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as INT.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    /// Sends a signal, unless it has ended already.
    #[cfg(feature = "train")]
    pub(crate) fn signal_if_alive(&mut self, name: &str) {
        if self.ended().is_none() {
            self.signal(name);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line that has ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    line: String,
    /// Absent if a signal ended it.
    code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// # Panics
    /// If it ended with another code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        let Self { line, stdout, stderr, .. } = &self;
        assert_eq!(self.code, Some(code), "{line}\n{stdout}\n{stderr}");
        self
    }

    /// # Panics
    /// If it ended by itself.
    #[track_caller]
    #[cfg(any(feature = "train", feature = "object-store"))]
    pub(crate) fn was_killed(self) {
        assert_eq!(self.code, None, "{}\n{}\n{}", self.line, self.stdout, self.stderr);
    }

    /// Its exit code; absent if a signal ended it.
    pub(crate) const fn code(&self) -> Option<i32> {
        self.code
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    /// The one document on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let parsed = serde_json::from_str(&self.stdout);
        parsed.unwrap_or_else(|error| panic!("{}: {error}\n{}", self.line, self.stdout))
    }

    /// Whether the error names all of `words`, is in lower case, and fits one line.
    #[track_caller]
    pub(crate) fn complains_of(&self, words: &[&str]) -> &Self {
        let lines: Vec<&str> =
            self.stderr.lines().filter_map(|line| line.strip_prefix("gliaflow: ")).collect();
        let [error] = lines[..] else { panic!("{}\n{}", self.line, self.stderr) };
        for word in words {
            assert!(error.contains(word), "`{word}` is not in: {error}");
        }
        let first = error.chars().next();
        assert!(first.is_some_and(|letter| !letter.is_uppercase()), "{error}");
        assert!(error.contains(';') || error.contains("--"), "no way out: {error}");
        self
    }
}

/// Sum of the lengths of the files below a folder.
pub(crate) fn bytes_below(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        bytes += if path.is_dir() { bytes_below(&path) } else { path.metadata().unwrap().len() };
    }
    bytes
}
