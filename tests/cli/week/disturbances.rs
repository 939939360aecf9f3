//! Disturbances of a training, drawn from a seed: ahead of a process, and while it runs.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use gliaflow::internals::base::KeyedRng;

use crate::cli::harness::{Desk, Process};
use crate::cli::publishing::remove;

/// A run's folder while no process writes to it.
pub(super) struct Peace<'a> {
    pub(super) desk: &'a Desk,
    pub(super) libraries: &'a str,
    pub(super) run: &'a str,
    pub(super) seed: u64,
}

/// A case whose files go away under each process, and come back between them.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) case: String,
    /// Steps of the checkpoint ahead of it.
    pub(super) steps: u64,
}

fn draw<'a, T>(rng: &mut KeyedRng, from: &'a [T]) -> &'a T {
    &from[rng.uniform_below(from.len() as u64) as usize]
}

/// Settings of the loader that decide no sample, and what slows steps down, so that more can happen
/// between them.
pub(super) fn draw_setting(rng: &mut KeyedRng) -> String {
    let mut setting = format!("--set drill.slow_step_ms={}", draw(rng, &[1, 4, 12]));
    let mut threads = |stage: &str| match rng.uniform_below(4) {
        0 => String::new(),
        count => format!(" --set loader.workers.{stage}={count}"),
    };
    let workers: Vec<String> = ["fetch", "crop", "augment"].map(&mut threads).into();
    match rng.draw_bool(0.2) {
        true => setting += " --set loader.workers=auto",
        false => setting += &workers.concat(),
    }
    setting += &format!(" --set loader.prefetch={}", draw(rng, &[1, 2, 5]));
    setting += &format!(" --set loader.memory_mib={}", draw(rng, &[32, 64, 200]));
    setting += &format!(" --set loader.fused={}", rng.draw_bool(0.3));
    setting + &format!(" --set train.checkpoint.keep={}", draw(rng, &[1, 2, 3]))
}

impl Loss {
    /// Draws a case that is trained on, and notes where the run stands.
    pub(super) fn draw(peace: &Peace<'_>, rng: &mut KeyedRng) -> Self {
        let lock = peace.desk.json("straight/dataset.lock.json");
        let cases = lock["cases"].as_array().unwrap().iter();
        let trained: Vec<&str> = cases
            .filter(|case| case["split"] == "train")
            .map(|case| case["id"].as_str().unwrap())
            .collect();
        let case = (*draw(rng, &trained)).to_owned();
        Self { case, steps: peace.latest_step() }
    }

    /// Line of a run that goes on where it stood ahead of the loss, and its folder.
    pub(super) fn begin_again(&self, desk: &Desk, from: &str, run: &str, line: &str) -> String {
        if self.steps == 0 {
            return format!("{line} --run {run}");
        }
        copy_folder(&desk.path(from), &desk.path(run));
        remove(desk, &[&format!("{run}/summary.json")]);
        for name in desk.names(&format!("{run}/checkpoints")) {
            let later = name
                .strip_prefix("step-")
                .is_some_and(|step| step.parse::<u64>().unwrap() > self.steps);
            if later {
                remove(desk, &[&format!("{run}/checkpoints/{name}")]);
            }
        }
        format!("train --resume {run}")
    }

    pub(super) fn variables(&self, desk: &Desk) -> [(&'static str, String); 3] {
        let file = case_files(desk)
            .into_iter()
            .find(|path| path.file_stem().is_some_and(|stem| stem.to_string_lossy() == self.case));
        let file = file.unwrap_or_else(|| desk.path("none"));
        [
            ("GLIAFLOW_TEST_SOURCES", format!("data/{}", self.case)),
            ("GLIAFLOW_TEST_ELSEWHERE", "elsewhere".into()),
            ("GLIAFLOW_TEST_CASE_FILE", file.display().to_string()),
        ]
    }

    pub(super) fn bring_back(&self, desk: &Desk) {
        if desk.path("elsewhere").exists() {
            fs::rename(desk.path("elsewhere"), desk.path(&format!("data/{}", self.case))).unwrap();
        }
    }
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// Files below a folder whose names end so.
fn files_ending(folder: PathBuf, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files_ending(path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn case_files(desk: &Desk) -> Vec<PathBuf> {
    files_ending(desk.path("cache"), ".case")
}

/// Damages a file as a disk would: another file with one bit of another value.
fn flip_bit(path: &PathBuf, rng: &mut KeyedRng) {
    let mut bytes = fs::read(path).unwrap();
    if !bytes.is_empty() {
        let place = rng.uniform_below(bytes.len() as u64) as usize;
        bytes[place] ^= 1 << rng.uniform_below(8);
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Damages, cuts or removes a case file, or gives the source files other times.
fn spoil_files(desk: &Desk, rng: &mut KeyedRng) -> Option<String> {
    let kind = *draw(rng, &["rot", "cut", "vanish", "touch"]);
    let files = match kind {
        "touch" => files_ending(desk.path("data"), ".nii.gz"),
        _ => case_files(desk),
    };
    if files.is_empty() {
        return None;
    }
    let path = draw(rng, &files);
    match kind {
        "rot" => flip_bit(path, rng),
        "cut" => {
            let file = File::options().write(true).open(path).unwrap();
            let length = rng.uniform_below(file.metadata().unwrap().len() + 1);
            file.set_len(length).unwrap();
        }
        "vanish" => fs::remove_file(path).unwrap(),
        _ => {
            let seconds = *draw(rng, &[1, 1_000_000_000, 4_000_000_000]);
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
        }
    }
    Some(format!("case-file-{kind} {}", path.file_name().unwrap().to_string_lossy()))
}

impl Peace<'_> {
    /// Steps of the checkpoint that the run would go on from; 0 without one.
    pub(super) fn latest_step(&self) -> u64 {
        let Ok(entries) = fs::read_dir(self.desk.path(&format!("{}/checkpoints", self.run))) else {
            return 0;
        };
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter_map(|name| name.strip_prefix("step-")?.parse().ok()).max().unwrap_or(0)
    }

    /// Spoils what lies there between two processes.
    pub(super) fn spoil(&self, rng: &mut KeyedRng, spares_checkpoints: bool) -> Vec<String> {
        let mut told = Vec::new();
        if rng.draw_bool(0.4) {
            told.extend(spoil_files(self.desk, rng));
        }
        let step = self.latest_step();
        // What rots when a run is over cannot be made again.
        let is_over = self.desk.path(&format!("{}/summary.json", self.run)).exists();
        if rng.draw_bool(0.3) && step > 0 && !spares_checkpoints && !is_over {
            let folder = format!("{}/checkpoints/step-{step:07}", self.run);
            let files = files_ending(self.desk.path(&folder), "");
            let path = draw(rng, &files);
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match rng.uniform_below(3) {
                0 => fs::write(path, "").unwrap(),
                _ => flip_bit(path, rng),
            }
            told.push(format!("checkpoint-rot {step} {name}"));
        }
        if rng.draw_bool(0.1) && !is_over {
            let text = format!("{}/events.jsonl", self.run);
            let journal = File::options().append(true).open(self.desk.path(&text));
            journal.into_iter().for_each(|mut file| file.write_all(b"{\"event\":").unwrap());
            told.push("journal-torn".into());
        }
        told
    }

    fn journal_lines(&self) -> u64 {
        let text = fs::read(self.desk.path(&format!("{}/events.jsonl", self.run)));
        text.map_or(0, |text| text.iter().filter(|&&byte| byte == b'\n').count() as u64)
    }
}

/// Clients that send half a request, or take no answer.
fn crowd(address: SocketAddr) -> Vec<TcpStream> {
    let connect = |number: usize| {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
        let whole = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let sent = if number.is_multiple_of(2) { &whole[..20] } else { whole };
        stream.write_all(sent.as_bytes()).ok()?;
        Some(stream)
    };
    (0..40).filter_map(connect).collect()
}

/// Moment of a disturbance: so many lines of the journal from now, and so many milliseconds.
fn wait_a_while(peace: &Peace<'_>, process: &mut Process, rng: &mut KeyedRng) -> bool {
    let lines = peace.journal_lines() + rng.uniform_below(8);
    let delay = Duration::from_millis(rng.uniform_below(30));
    // A resumed run cuts its journal: whoever waits for lines of the end waits for the end.
    let there = process.wait_for_or_end(|| (peace.journal_lines() >= lines).then_some(()));
    thread::sleep(delay);
    there.is_some()
}

/// Runs a line among disturbances, and returns true if the run has come to its end. The last process
/// is left in peace.
pub(super) fn press(
    peace: &Peace<'_>,
    line: &str,
    loss: Option<&Loss>,
    is_last: bool,
    rng: &mut KeyedRng,
    told: &mut Vec<String>,
) -> bool {
    let desk = peace.desk;
    let [clock, full] = ["clock", "full"].map(|name| desk.path(name).display().to_string());
    let mut variables = vec![
        ("LD_PRELOAD", peace.libraries.to_owned()),
        ("GLIAFLOW_TEST_CLOCK", clock),
        ("GLIAFLOW_TEST_DISK", if rng.draw_bool(0.7) { "run/" } else { "cache/" }.into()),
    ];
    if let Some(loss) = loss {
        variables.extend(loss.variables(desk));
    }
    let ending = match is_last {
        true => "peace",
        false => *draw(rng, &["kill", "kill", "stop", "stop", "call", "call", "call", "peace"]),
    };
    let mut fault = "none";
    let fills = !is_last && ending != "call" && rng.draw_bool(0.4);
    if ending == "call" {
        fault = *draw(rng, &["kill", "tear", "short", "eio", "enospc"]);
        let call = 1 + rng.uniform_below(220);
        variables.push(("GLIAFLOW_TEST_CALL", call.to_string()));
        variables.push(("GLIAFLOW_TEST_FAULT", fault.into()));
        told.push(format!("call-{fault} {call}"));
    } else if fills {
        variables.push(("GLIAFLOW_TEST_FULL", full));
    }
    let served = !is_last && rng.draw_bool(0.2);
    let address = if served { " --metrics-addr 127.0.0.1:0" } else { "" };
    told.push(format!("process {line}{address}"));
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut process = desk.start_with(&format!("{line}{address}"), &variables);
    let clients = if served { crowd(process.address()) } else { Vec::new() };
    if !clients.is_empty() {
        told.push("clients".into());
    }
    if !is_last {
        for _ in 0..rng.uniform_below(4) {
            wait_a_while(peace, &mut process, rng);
            match rng.uniform_below(4) {
                0 => {
                    let seconds = *draw(rng, &[-1_000_000_000, -3600, 3600, 1_000_000_000]);
                    fs::write(desk.path("clock"), seconds.to_string()).unwrap();
                    told.push(format!("clock {seconds}"));
                }
                1 | 2 if fills => {
                    fs::write(desk.path("full"), "").unwrap();
                    told.push("disk-full".into());
                    thread::sleep(Duration::from_millis(rng.uniform_below(400)));
                    remove(desk, &["full"]);
                }
                _ => told.extend(spoil_files(desk, rng)),
            }
        }
    }
    if matches!(ending, "kill" | "stop") && wait_a_while(peace, &mut process, rng) {
        let signal = match ending {
            "kill" => "KILL",
            _ => *draw(rng, &["INT", "TERM", "HUP", "USR1"]),
        };
        process.signal_if_alive(signal);
        told.push(format!("signal-{signal}"));
    }
    for mut client in clients {
        let _ = client.set_nonblocking(true);
        let _ = client.read(&mut [0; 64]);
    }
    let ended = process.wait();
    let context = format!("seed {}: {told:#?}\n{ended:?}", peace.seed);
    assert!(!ended.stderr.contains("panicked"), "{context}");
    match ended.code() {
        Some(0) => {
            // A report that a full disk does not take fails no run: the next start writes it.
            let is_reported = desk.path("run/report.html").exists();
            assert!(is_reported || ended.stderr.contains("no report: "), "{context}");
            is_reported
        }
        Some(2) => {
            assert!(ended.stderr.contains("run: has ended"), "{context}");
            true
        }
        None => {
            assert!(ending == "kill" || ["kill", "tear"].contains(&fault), "{context}");
            false
        }
        Some(75) => {
            assert_eq!(ending, "stop", "{context}");
            false
        }
        Some(1) if ended.stderr.contains("none is intact") => {
            remove(desk, &[&format!("{}/checkpoints", peace.run)]);
            false
        }
        Some(1) => {
            // Ahead of the first step a full disk is not put up with.
            let was_full = fills && ended.stderr.contains("no space left");
            assert!(ending == "call" || was_full, "{context}");
            false
        }
        Some(_) => panic!("{context}"),
    }
}
