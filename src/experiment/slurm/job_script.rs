//! Script of a job array, from the template `job.sh`: options for `sbatch`, the step of each task, the
//! command.

use std::path::{Path, PathBuf};

use crate::experiment::slurm::job_array::JobArray;
use crate::experiment::slurm::queue::comment_text;
use crate::experiment::slurm::settings::SlurmSection;

const TEMPLATE: &str = include_str!("job.sh");

/// Digits of a step's name in a script and in a comment.
pub(super) const DIGITS: usize = 12;

/// Command that does a step of a study, without the step's name.
#[derive(Debug, Clone)]
pub struct StepCommand {
    /// Program and arguments, as they are typed.
    pub words: Vec<String>,
    /// Folder that relative paths in them and in the settings begin at.
    pub folder: PathBuf,
}

/// Script of a job array.
pub(super) struct JobScript<'a> {
    /// Settings of the study's jobs.
    pub settings: &'a SlurmSection,
    /// Name of the study.
    pub study: &'a str,
    /// Study's folder by its digest, which stands in the comment.
    pub digest: &'a str,
    /// Command of each task.
    pub command: &'a StepCommand,
    /// Folder of the jobs' output.
    pub logs: &'a Path,
}

impl JobScript<'_> {
    /// Text of the script for an array.
    pub(super) fn to_text(&self, array: &JobArray<'_>) -> String {
        let steps: Vec<String> = array
            .tasks
            .iter()
            .map(|(index, step)| {
                let name = step.fingerprint.short_hex(DIGITS);
                format!("  [{index}]={name} # {}", step.display_name())
            })
            .collect();
        let words: Vec<String> = self.command.words.iter().map(|word| shell_word(word)).collect();
        let options: Vec<String> =
            self.options_of(array).iter().map(|option| format!("#SBATCH {option}")).collect();
        TEMPLATE
            .replace("{options}", &options.join("\n"))
            .replace("{study}", self.study)
            .replace("{steps}", &steps.join("\n"))
            .replace("{setup}", &self.settings.setup.join("\n"))
            .replace("{command}", &words.join(" "))
    }

    fn options_of(&self, array: &JobArray<'_>) -> Vec<String> {
        let kind = array.kind.name();
        let indices: Vec<String> = array.tasks.keys().map(ToString::to_string).collect();
        let logs = self.logs.join(format!("{kind}-%A_%a.log"));
        let mut options = vec![
            named_option("job-name", &format!("{} {kind}", self.study)),
            named_option("comment", &comment_text(self.digest, array)),
            format!("--array={}", indices.join(",")),
            named_option("chdir", &self.command.folder.display().to_string()),
            named_option("output", &output_pattern(&logs)),
            "--open-mode=append".into(),
            // Queued again by Slurm where a node fails, and by the script itself.
            "--requeue".into(),
            "--kill-on-invalid-dep=yes".into(),
            format!("--signal=B:USR1@{}", self.settings.warning_seconds),
        ];
        options.extend(array.dependency.to_option().map(|on| format!("--dependency={on}")));
        options.extend(self.settings.options.iter().cloned());
        options.extend(self.settings.resources_of(array.kind).to_options());
        options
    }
}

/// Path in which only the last part has Slurm's marks `%A` and `%a`.
fn output_pattern(path: &Path) -> String {
    let folder = path.parent().unwrap_or(Path::new("")).display().to_string().replace('%', "%%");
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{folder}/{name}")
}

/// Option with a value that may have spaces, as Slurm reads it in a script.
fn named_option(name: &str, value: &str) -> String {
    let mut quoted = String::new();
    for letter in value.chars() {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    format!("--{name}=\"{quoted}\"")
}

/// Word for a shell, quoted where it has to be.
fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;

    use super::*;
    use crate::experiment::graph::StepKind;
    use crate::experiment::slurm::job_array::Dependency;
    use crate::experiment::slurm::job_array::tests::step;

    /// Script whose program is `program`, of a train step at index 3.
    fn script(program: &str, setup: &[&str]) -> String {
        let settings = SlurmSection {
            setup: setup.iter().map(ToString::to_string).collect(),
            options: vec!["--account=p1".into()],
            ..SlurmSection::default()
        };
        let command = StepCommand {
            words: ["bash", "-c", program, "program"].map(String::from).to_vec(),
            folder: "/a b".into(),
        };
        let train = step(StepKind::Train, "unet", &[]);
        let tasks = BTreeMap::from([(3, &train)]);
        let dependency = Dependency::Corresponding(7);
        let array = JobArray { kind: StepKind::Train, dependency, tasks };
        let logs = Path::new("/runs/50 %/slurm");
        let script = JobScript {
            settings: &settings,
            study: "tiny",
            digest: "00aa",
            command: &command,
            logs,
        };
        script.to_text(&array)
    }

    #[test]
    fn a_script_has_slurms_options_and_the_step_of_each_task() {
        let text = script("exit 0", &["module load cuda"]);
        let name = step(StepKind::Train, "unet", &[]).fingerprint.short_hex(DIGITS);
        for line in [
            "#SBATCH --job-name=\"tiny train\"",
            &format!("#SBATCH --comment=\"gliaflow 00aa 3={name}\""),
            "#SBATCH --array=3",
            "#SBATCH --chdir=\"/a b\"",
            "#SBATCH --output=\"/runs/50 %%/slurm/train-%A_%a.log\"",
            "#SBATCH --signal=B:USR1@300",
            "#SBATCH --dependency=aftercorr:7",
            "#SBATCH --account=p1",
            &format!("  [3]={name} # train unet"),
            "module load cuda",
            "  bash -c 'exit 0' program --step \"$step\" &",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains(['{', '}']) || !text.contains("{options}"), "{text}");
        let quoted = shell_word("it's $HOME");
        let said =
            Command::new("sh").args(["-c", &format!("printf %s {quoted}")]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), "it's $HOME");
    }

    /// Exit code of a script, and what it said; `scontrol` only tells what it is given.
    fn run(program: &str, setup: &[&str], signal: Option<&str>) -> (Option<i32>, String) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("job.sh"), script(program, setup)).unwrap();
        let fake = "#!/bin/sh\necho scontrol \"$@\"\n";
        std::fs::write(at("scontrol"), fake).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(at("scontrol")).status().unwrap().success());
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.arg(at("job.sh")).env("PATH", path);
        command.env("SLURM_ARRAY_TASK_ID", "3").env("SLURM_ARRAY_JOB_ID", "12");
        let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        if let Some(signal) = signal {
            std::thread::sleep(std::time::Duration::from_millis(700));
            let own = child.id().to_string();
            assert!(Command::new("kill").args([signal, &own]).status().unwrap().success());
        }
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[test]
    fn a_step_that_was_stopped_ahead_of_its_time_limit_is_queued_again() {
        let name = step(StepKind::Train, "unet", &[]).fingerprint.short_hex(DIGITS);
        let told = (Some(0), format!("--step {name}\n"));
        assert_eq!(run("echo $1 $2", &[], None), told, "done is done");
        assert_eq!(run("exit 3", &[], None), (Some(3), String::new()));
        let queued = (Some(75), "scontrol requeue 12_3\n".to_owned());
        assert_eq!(run("exit 75", &[], None), queued);
        let patient = "trap 'sleep 0.3; exit 75' USR1; for i in $(seq 200); do sleep 0.05; done";
        assert_eq!(run(patient, &[], Some("-USR1")), queued, "the warning is passed on");
        assert_eq!(run("sleep 5", &[], Some("-USR1")), queued, "warned before it listens");
        assert_eq!(run("exit 3", &["sleep 1.2"], Some("-USR1")), queued, "warned during the setup");
        // As `scancel` does: the program has the signal as well.
        let cancelled = "sleep 1.2; exit 75";
        assert_eq!(run(cancelled, &[], Some("-TERM")), (Some(75), String::new()));
        assert_eq!(run("exit 0", &["false"], None), (Some(1), String::new()), "setup failed");
    }
}
