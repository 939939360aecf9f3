//! A study's steps as jobs, with stand-ins for Slurm's commands: what is submitted, behind what, and what is
//! not submitted twice. A real Slurm runs them in `just slurm`.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::cli::harness::{Desk, Outcome};

/// Two narrow networks on phantoms.
const STUDY: &str = r#"
schema = 1
name = "small"

[slurm]
options = ["--account=p1"]
[slurm.every_step]
partition = "cpu"
[slurm.steps.train]
partition = "gpu"
gpus = 1

[cohort.phantoms]
cases = 16
shape = [24, 24, 24]
seed = 5

[base]
seed = 5
device = "cpu"
[base.data.shares]
validation = 0.25
test = 0.4
unlabelled_of_validation = 0.5
unlabelled_of_test = 0.4
[base.crop]
patch = [16, 16, 16]
[base.loader]
memory_mib = 64
[base.train]
epochs = 1
steps_per_epoch = 2
validation = { every_epochs = 0 }

[[network]]
name = "narrow"
settings = { model = { name = "unet", settings = { base_width = 2, levels = 2 } } }

[[network]]
name = "wide"
settings = { model = { name = "unet", settings = { base_width = 3, levels = 2 } } }
"#;

/// Refuses what asks for a partition of another name, and numbers what it takes. Every task is then queued
/// in the state that the file `state` has.
const SBATCH: &str = r#"#!/bin/bash
script=$2
if grep -q '^#SBATCH --partition=nowhere' "$script"; then
  echo "sbatch: error: invalid partition specified: nowhere" >&2
  exit 1
fi
number=$(($(cat number 2>/dev/null || echo 40) + 1))
echo $number > number
comment=$(sed -n 's/^#SBATCH --comment="\(.*\)"$/\1/p' "$script")
for index in $(sed -n 's/^#SBATCH --array=//p' "$script" | tr , ' '); do
  echo "${number}_$index|$(cat state)|node1|None|$comment" >> queue
done
echo $number
"#;

const SQUEUE: &str = "#!/bin/sh\necho \"$@\" > asked\ntouch queue\ncat queue\n";

struct Cluster(Desk);

impl Cluster {
    fn new() -> Self {
        let desk = Desk::new();
        std::fs::write(desk.path("study.toml"), STUDY).unwrap();
        std::fs::write(desk.path("state"), "PENDING").unwrap();
        std::fs::create_dir(desk.path("bin")).unwrap();
        for (name, text) in [("sbatch", SBATCH), ("squeue", SQUEUE)] {
            let path = desk.path("bin").join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(desk)
    }

    fn run(&self, line: &str) -> Outcome {
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", self.0.path("bin").display());
        self.0.start_with(line, &[("PATH", &path)]).wait()
    }

    fn submit(&self) -> Value {
        self.run("experiment study.toml --out out --on slurm --json").ok().json()
    }

    /// Rewrites lines of the queue.
    fn change_queue(&self, change: impl Fn(&str) -> Option<String>) {
        let lines: Vec<String> = self.0.text("queue").lines().filter_map(change).collect();
        std::fs::write(self.0.path("queue"), lines.join("\n") + "\n").unwrap();
    }

    fn script(&self, array: &Value) -> String {
        std::fs::read_to_string(array["script"].as_str().unwrap()).unwrap()
    }
}

fn arrays(submission: &Value) -> Vec<(&str, usize, Option<&str>)> {
    let all = submission["submitted"].as_array().unwrap().iter();
    let of = |array| -> (&str, usize, Option<&str>) {
        let array: &Value = array;
        let steps = array["steps"].as_array().unwrap().len();
        (array["kind"].as_str().unwrap(), steps, array["dependency"].as_str())
    };
    all.map(of).collect()
}

#[test]
fn every_step_is_submitted_once_behind_what_it_needs() {
    let cluster = Cluster::new();
    let first = cluster.submit();
    let found = arrays(&first);
    assert_eq!(found[0], ("ingest", 1, None));
    assert_eq!(found[1], ("train", 2, Some("afterok:41_0")));
    assert!(found.contains(&("score", 2, Some("afterok:42_1"))), "validation, test: {found:?}");
    assert!(found.contains(&("score", 1, Some("afterok:42_0:42_1"))), "the ensemble: {found:?}");
    assert_eq!(found.last().unwrap().0, "table");
    let steps = first["steps"].as_u64().unwrap();
    assert_eq!(cluster.0.text("queue").lines().count() as u64, steps);
    assert!(cluster.0.text("asked").contains("--me"), "{}", cluster.0.text("asked"));
    let train = cluster.script(&first["submitted"][1]);
    for line in ["#SBATCH --partition=gpu", "#SBATCH --gres=gpu:1", "#SBATCH --account=p1"] {
        assert!(train.lines().any(|found| found == line), "{line}: {train}");
    }
    assert!(train.contains("experiment study.toml --out out --metrics-addr off --step \"$step\""));
    let again = cluster.submit();
    assert_eq!((&again["steps"], &again["queued"]), (&0.into(), &steps.into()));
    let status = cluster.run("experiment study.toml --out out --status").ok().stdout;
    assert!(status.contains("41_0 PENDING on node1"), "{status}");
}

#[test]
fn what_was_cancelled_is_submitted_again_with_what_waited_for_it() {
    let cluster = Cluster::new();
    let all = cluster.submit()["steps"].as_u64().unwrap();
    // A training is cancelled, and Slurm has not yet found out that others wait for it in vain.
    cluster.change_queue(|line| {
        let is_lost = line.starts_with("42_0|");
        Some(if is_lost { line.replace("PENDING", "CANCELLED") } else { line.to_owned() })
    });
    let again = cluster.submit();
    let found = arrays(&again);
    assert_eq!(found[0], ("train", 1, Some("aftercorr:41")), "the ingest is still queued");
    let kept = again["queued"].as_u64().unwrap();
    // The ingest, the other training, and its two scores.
    assert_eq!((kept, again["steps"].as_u64().unwrap()), (4, all - 4));
    // Of another study in another folder nothing counts.
    let other = cluster.run("experiment study.toml --out other --on slurm --json").ok().json();
    assert_eq!((&other["queued"], &other["steps"]), (&0.into(), &all.into()));
}

#[test]
fn steps_that_are_done_need_no_job_and_nobody_waits_for_them() {
    let cluster = Cluster::new();
    let plan = cluster.run("experiment study.toml --out out --plan --json").ok().json();
    let names: Vec<&str> = plan["graph"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["fingerprint"].as_str().unwrap())
        .collect();
    for step in &names[..2] {
        cluster.run(&format!("experiment study.toml --out out --step {step}")).ok();
    }
    let submission = cluster.submit();
    let steps = names.len() as u64;
    assert_eq!((&submission["done"], &submission["steps"]), (&2.into(), &(steps - 2).into()));
    let found = arrays(&submission);
    // The first training is done, the second waits for nothing, as do the first one's scores.
    assert!(
        found.contains(&("train", 1, None)) && found.contains(&("score", 2, None)),
        "{found:?}"
    );
}

#[test]
fn what_slurm_refuses_is_told_with_its_words_and_the_rest_is_submitted_later() {
    let cluster = Cluster::new();
    let set = "--set slurm.steps.train.partition=nowhere";
    let refused =
        cluster.run(&format!("experiment study.toml --out out --on slurm {set}")).exits(1);
    refused.complains_of(&["sbatch --parsable", "invalid partition specified: nowhere", "[slurm]"]);
    assert_eq!(cluster.0.text("queue").lines().count(), 1, "the ingest is queued");
    let rest = cluster.submit();
    assert_eq!(rest["queued"], 1);
    let none = Desk::new();
    std::fs::write(none.path("study.toml"), STUDY).unwrap();
    let path = [("PATH", "/nowhere")];
    let gliaflow = env!("CARGO_BIN_EXE_gliaflow");
    let output = std::process::Command::new(gliaflow)
        .args(["experiment", "study.toml", "--on", "slurm"])
        .current_dir(none.path(""))
        .envs(path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("squeue") && said.contains("leave out --on slurm"), "{said}");
    let short = cluster
        .run("experiment study.toml --out out --on slurm --set slurm.every_step.time_minutes=3");
    short.exits(2).complains_of(&["slurm.steps.ingest.time_minutes", "warning_seconds"]);
}
