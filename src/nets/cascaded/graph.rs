//! Inference pass as an ONNX graph: every stage, the coarsest first.

use super::{CascadeStage, Cascaded};
use crate::nets::onnx::{GraphValue, OnnxGraph};

impl Cascaded {
    /// Adds the pass from images to the logits of full resolution.
    pub(super) fn add_to_graph(&self, graph: &mut OnnxGraph, images: GraphValue) -> GraphValue {
        let mut scaled = vec![images];
        while scaled.len() < self.stages.len() {
            let name = format!("images_{}", 1 << scaled.len());
            scaled.push(graph.mean_pool(&name, &scaled[scaled.len() - 1]));
        }
        let mut maps: Vec<Option<GraphValue>> = vec![None; self.stages.len()];
        let mut logits = scaled[0].clone();
        for (place, stage) in self.stages.iter().enumerate() {
            let name = format!("stages.{place}");
            logits = stage.add_to_graph(graph, &name, &scaled[stage.scale], &maps);
            // The finest stage's probabilities are the caller's to compute.
            if stage.scale > 0 {
                maps[stage.scale] = Some(graph.sigmoid(&format!("{name}.map"), &logits));
            }
        }
        logits
    }
}

impl CascadeStage {
    /// Adds the pass from images to logits of this stage's resolution; `maps` as in `forward`.
    fn add_to_graph(
        &self,
        graph: &mut OnnxGraph,
        name: &str,
        images: &GraphValue,
        maps: &[Option<GraphValue>],
    ) -> GraphValue {
        let part = |layer: &str, place: usize| format!("{name}.{layer}.{place}");
        let encoders = self.input.group_count();
        let input = self.input.add_to_graph(graph, &format!("{name}.input"), images);
        let mut volume = self.enc[0].add_to_graph(graph, &part("enc", 0), &input);
        let mut merged = vec![graph.max_over_groups(&part("merged", 0), &volume, encoders)];
        for (level, (down, unit)) in self.down.iter().zip(&self.enc[1..]).enumerate() {
            let coarser = down.add_to_graph(graph, &part("down", level), &volume);
            volume = unit.add_to_graph(graph, &part("enc", level + 1), &coarser);
            let name = part("merged", level + 1);
            merged.push(graph.max_over_groups(&name, &volume, encoders));
        }
        let mut volume = merged.pop().expect("every level left one");
        for (place, ((up, fuse), unit)) in self.up.iter().zip(&self.fuse).zip(&self.dec).enumerate()
        {
            let skip = merged.pop().expect("the decoder has a level less than the encoder");
            let level = merged.len();
            let weight = graph.add_parameter(format!("{}.weight", part("up", place)), &up.weight);
            let finer = graph.transposed_convolution(&part("up", place), &volume, &weight);
            let mut parts = vec![&finer, &skip];
            if level > 0 {
                parts.extend(maps.get(self.scale + level).and_then(Option::as_ref));
            }
            let joined = graph.concatenate_channels(&part("join", place), &parts);
            let fused = fuse.add_to_graph(graph, &part("fuse", place), &joined);
            volume = unit.add_to_graph(graph, &part("dec", place), &fused);
        }
        self.head.add_to_graph(graph, &format!("{name}.head"), &volume)
    }
}
