//! `dashboards`: everything that Prometheus and Grafana need, out of the binary.

use std::path::{Path, PathBuf};

use crate::base::fs;
use crate::cli::{CommandOutput, Console, VerbResult};
use crate::run::Failure;

/// Files of `dashboards/` by their place in it.
macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../dashboards/", $path)))),*]
    };
}

const FILES: &[(&str, &str)] = embedded![
    "README.md",
    "compose.yaml",
    "grafana/training.json",
    "grafana/loader.json",
    "grafana/runs.json",
    "grafana/provisioning/dashboards/gliaflow.yaml",
    "grafana/provisioning/datasources/prometheus.yaml",
    "prometheus/prometheus.yml",
    "prometheus/announced.yml",
    "prometheus/alerts.yml",
    "prometheus/alerts_test.yml",
];

/// Write the dashboards, alerts and configuration for Prometheus and Grafana
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  gliaflow dashboards --out watch
  docker compose -f watch/compose.yaml up -d

README.md, which is among the files, says the rest. A file that was changed by hand stays as it is, and \
nothing else is written, unless --force says otherwise.")]
pub(super) struct Dashboards {
    /// The folder to write into; it may exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Overwrite files that differ
    #[arg(long)]
    force: bool,
}

impl Dashboards {
    pub(super) fn run(self, _: &Console) -> VerbResult {
        if !self.force {
            refuse_to_overwrite(&self.out)?;
        }
        for (name, text) in FILES {
            let path = self.out.join(name);
            let folder = path.parent().expect("a file in a folder has one");
            fs::create_dir_all(folder)?;
            fs::write(&path, text)?;
        }
        let names: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        let out = self.out.display();
        let text = format!(
            "{} files in {out}; next: docker compose -f {out}/compose.yaml up -d, or see \
             {out}/README.md",
            names.len()
        );
        Ok(CommandOutput::new(&serde_json::json!({ "folder": self.out, "files": names }), text))
    }
}

/// Looks at every file before one is written.
fn refuse_to_overwrite(out: &Path) -> Result<(), Failure> {
    for (name, text) in FILES {
        let path = out.join(name);
        if fs::if_present(fs::read(&path))?.is_some_and(|found| found != text.as_bytes()) {
            return Err(Failure::Usage(format!(
                "{}: differs from what would be written; choose another --out, or --force",
                path.display()
            )));
        }
    }
    Ok(())
}
