//! Inference pass as an ONNX graph, without the autoencoder.

use crate::nets::ResUNetVae;
use crate::nets::onnx::{GraphValue, OnnxGraph};

impl ResUNetVae {
    /// Adds the pass from images to logits.
    pub(super) fn add_to_graph(&self, graph: &mut OnnxGraph, images: GraphValue) -> GraphValue {
        let mut features = self.add_encoder(graph, images);
        let mut volume = features.pop().expect("there are at least two levels");
        for (level, (rise, skip)) in self.dec.iter().zip(features.iter().rev()).enumerate() {
            let part = |end: &str| format!("dec.{level}.{end}");
            let projected = rise.conv.add_to_graph(graph, &part("conv"), &volume);
            let finer = graph.upsample_trilinear(&part("upsample"), &projected);
            let sum = graph.sum(&part("sum"), &finer, skip);
            volume = rise.unit.add_to_graph(graph, &part("unit"), &sum);
        }
        if let Some(norm) = &self.head_norm {
            let normalised = norm.add_to_graph(graph, "head_norm", &volume);
            volume = graph.relu("head_norm.relu", &normalised);
        }
        self.head.add_to_graph(graph, "head", &volume)
    }

    /// Adds the encoder; returns the features of each level, the full resolution first.
    fn add_encoder(&self, graph: &mut OnnxGraph, images: GraphValue) -> Vec<GraphValue> {
        let mut volume = images;
        let mut features = Vec::with_capacity(self.enc.len());
        for (place, level) in self.enc.iter().enumerate() {
            volume = level.conv.add_to_graph(graph, &format!("enc.{place}.conv"), &volume);
            for (number, unit) in level.units.iter().enumerate() {
                let name = format!("enc.{place}.units.{number}");
                volume = unit.add_to_graph(graph, &name, &volume);
            }
            features.push(volume.clone());
        }
        features
    }
}
