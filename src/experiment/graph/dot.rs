//! A study's graph as text of Graphviz (<https://graphviz.org/doc/info/lang.html>), for `dot -Tsvg`.

use std::fmt::Write;

use crate::experiment::graph::step::{GraphStep, StepKind};
use crate::experiment::graph::study_graph::StudyGraph;

/// Digits of a step's name that name its node.
const DIGITS: usize = 12;

/// Draws the graph from left to right, a box for each step; `note` is a line under its name, or empty.
pub fn to_dot(graph: &StudyGraph, name: &str, note: impl Fn(&GraphStep) -> String) -> String {
    let mut text = format!(
        "digraph {} {{\n  rankdir=LR;\n  node [shape=box, style=filled, fontname=\"sans-serif\"];\n",
        quoted(name)
    );
    for step in graph.steps() {
        let note = note(step);
        let label = [step.display_name(), note].join("\n");
        let node = quoted(&step.fingerprint.short_hex(DIGITS));
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "  {node} [label={}, fillcolor={}];",
            quoted(label.trim_end()),
            quoted(colour(step.kind))
        );
        for input in &step.inputs {
            let _ = writeln!(text, "  {} -> {node};", quoted(&input.short_hex(DIGITS)));
        }
    }
    text.push_str("}\n");
    text
}

/// Light fill of a kind of step, that black text is read on.
const fn colour(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Ingest => "#e5e5e5",
        StepKind::Train => "#cfe3f7",
        StepKind::Score => "#dcefd4",
        StepKind::Label => "#fbe6c8",
        StepKind::Choose => "#f3d6e6",
        StepKind::Table => "#f7f3c9",
    }
}

/// A quoted string of Graphviz.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Fingerprint;
    use crate::experiment::graph::step::{ChooseWork, IngestWork, StepWork};

    #[test]
    fn every_step_is_a_node_every_input_an_edge_and_names_are_quoted() {
        let mut graph = StudyGraph::default();
        let work = StepWork::Ingest(IngestWork { cases: Fingerprint([1; 16]) });
        let ingest = graph.add_step(GraphStep::new("cases", "cases", work, Vec::new()));
        let work = StepWork::Choose(ChooseWork { candidates: Vec::new() });
        let choose = graph.add_step(GraphStep::new("a \"b\"", "a", work, vec![ingest]));
        let text = to_dot(&graph, "x", |step| step.inputs.len().to_string());
        let edge = format!("\"{}\" -> \"{}\";", ingest.short_hex(12), choose.short_hex(12));
        assert!(text.contains(&edge), "{text}");
        assert!(text.contains(r#"label="choose a \"b\"\n1""#), "{text}");
        assert_eq!(text.matches("fillcolor").count(), 2);
    }
}
