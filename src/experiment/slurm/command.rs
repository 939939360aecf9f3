//! Slurm's commands: run, and complained of by name with what they said.

use std::process::{Command, Stdio};

use crate::base::Fault;

/// Runs a command of Slurm and returns what it wrote to stdout.
///
/// # Errors
/// If it is not there or fails; `remedy` ends the text.
pub(super) fn run_command(command: &mut Command, remedy: &str) -> Result<String, Fault> {
    let line = command_line(command);
    let problem = |problem: String, remedy: &str| Fault::Environment {
        subject: line.clone(),
        problem,
        remedy: remedy.to_owned(),
    };
    let output = command.stdin(Stdio::null()).output().map_err(|error| {
        let on_cluster = "run this where the cluster's commands are, or leave out --on slurm";
        problem(error.to_string().to_lowercase(), on_cluster)
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes));
    let said: Vec<&str> = said.iter().flat_map(|text| text.lines()).map(str::trim).collect();
    let text = if said.is_empty() { output.status.to_string() } else { said.join(", ") };
    Err(problem(text, remedy))
}

fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_or_is_not_there_is_named_with_its_output_and_the_way_out() {
        let ran = run_command(Command::new("echo").arg("12"), "x").unwrap();
        assert_eq!(ran, "12\n");
        let fails = "echo 'sbatch: error: invalid partition' >&2; exit 1";
        let error = run_command(Command::new("sh").args(["-c", fails]), "change it").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("sh -c echo"), "{text}");
        assert!(text.ends_with(": sbatch: error: invalid partition; change it"), "{text}");
        let error = run_command(&mut Command::new("no-such-sbatch"), "x").unwrap_err().to_string();
        assert!(error.starts_with("no-such-sbatch: no such file"), "{error}");
        assert!(error.ends_with("leave out --on slurm"), "{error}");
        let mute = run_command(&mut Command::new("false"), "look").unwrap_err().to_string();
        assert!(mute.contains("exit status: 1") && mute.ends_with("; look"), "{mute}");
    }
}
