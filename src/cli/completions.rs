//! `completions` and `man`: what a shell and `man` know of this program.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::base::fs;
use crate::cli::{CommandLine, CommandOutput, Console, VerbResult};

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow completions bash > ~/.local/share/bash-completion/completions/gliaflow
  gliaflow completions zsh > ~/.zfunc/_gliaflow
  gliaflow completions fish > ~/.config/fish/completions/gliaflow.fish")]
pub(super) struct Completions {
    /// bash, zsh, fish, elvish or powershell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, _: &Console) -> VerbResult {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut CommandLine::command(), "gliaflow", &mut script);
        let text = String::from_utf8_lossy(&script).into_owned();
        Ok(CommandOutput::new(&serde_json::json!({ "script": text }), text))
    }
}

/// Write the manual pages: one of the program, and one of each verb
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  gliaflow man --out ~/.local/share/man/man1 && man gliaflow-train")]
pub(super) struct Man {
    /// Folder for the pages
    #[arg(long, value_name = "DIR", default_value = "man")]
    out: PathBuf,
}

impl Man {
    pub(super) fn run(self, _: &Console) -> VerbResult {
        fs::create_dir_all(&self.out)?;
        let program = CommandLine::command();
        let verbs = program.get_subcommands().cloned().map(|verb| {
            let name = format!("gliaflow-{}", verb.get_name());
            (name.clone(), verb.display_name(name))
        });
        let mut files = Vec::new();
        for (name, command) in [("gliaflow".to_owned(), program.clone())].into_iter().chain(verbs) {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(command).render(&mut page);
            rendered.expect("writing to a vector cannot fail");
            let path = self.out.join(format!("{name}.1"));
            fs::write(&path, page)?;
            files.push(path);
        }
        let text = format!("{} pages in {}", files.len(), self.out.display());
        Ok(CommandOutput::new(&serde_json::json!({ "pages": files }), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page_and_every_shell_knows_the_verbs() {
        let out = tempfile::tempdir().unwrap();
        Man { out: out.path().to_path_buf() }.run(&Console::new(true)).ok().unwrap();
        for verb in CommandLine::command().get_subcommands() {
            let page = out.path().join(format!("gliaflow-{}.1", verb.get_name()));
            let text = fs::read_to_string(&page).unwrap();
            assert!(text.contains("SYNOPSIS") && text.contains("Example"), "{text}");
        }
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = Completions { shell }.run(&Console::new(true)).ok().unwrap().text;
            assert!(
                script.contains("ingest") && script.contains("--metrics-addr")
                    || shell == Shell::Fish
            );
            assert!(script.contains("metrics-addr"), "{shell}");
        }
    }
}
