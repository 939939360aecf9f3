//! `doctor`: checks of this machine, with remedies.

use std::path::PathBuf;

use crate::cli::{CommandOutput, Console, VerbResult};
use crate::run::tools::doctor::{Finding, FindingGrade, examine_machine};
use crate::telemetry::MetricsAddress;

/// Look at cores, memory, disk, cache, port and devices, and say what to do about each
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  gliaflow doctor --cache cache

Exit code 1 if something would make a run fail.")]
pub(super) struct Doctor {
    /// The cache's root
    #[arg(long, value_name = "DIR", default_value = "cache")]
    cache: PathBuf,

    /// Address to serve /metrics at
    #[arg(long, value_name = "ADDR|off", default_value_t)]
    metrics_addr: MetricsAddress,
}

impl Doctor {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        let findings = examine_machine(&self.cache, self.metrics_addr, |finding| {
            console.print_finding(&finding_line(finding))
        });
        let worst =
            findings.iter().map(|finding| finding.grade).max().unwrap_or(FindingGrade::Good);
        let bad: Vec<&str> = findings
            .iter()
            .filter(|finding| finding.grade == FindingGrade::Bad)
            .map(|finding| finding.subject)
            .collect();
        let text = match worst {
            FindingGrade::Good => "all good".to_owned(),
            FindingGrade::Limited => {
                "runs work here; what is marked limited could be better".to_owned()
            }
            FindingGrade::Bad => format!("runs will fail here: {}", bad.join(", ")),
        };
        let json = serde_json::json!({ "grade": worst, "findings": findings });
        Ok(CommandOutput::new(&json, text).with_failure(worst == FindingGrade::Bad))
    }
}

fn finding_line(finding: &Finding) -> String {
    let Finding { subject, found, grade, remedy } = finding;
    let mut line = format!("{grade:<8} {subject}: {found}");
    if !remedy.is_empty() {
        line.push_str("\n         ");
        line.push_str(remedy);
    }
    line
}
