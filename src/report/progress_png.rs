//! The charts of a run as one picture, `progress.png`, as nnU-Net has it.

use std::sync::Arc;

use resvg::{tiny_skia, usvg};

use crate::base::Fault;
use crate::report::curves::{CHART, escape_xml, progress_text, run_charts};
use crate::report::picture::Picture;
use crate::report::region_style::REGION_STYLE;
use crate::report::run_record::RunRecord;

/// Space around and between the charts of the picture.
const MARGIN: f64 = 18.0;
/// Height of the picture's heading.
const HEADING: f64 = 34.0;
const COLUMNS: usize = 2;
/// Pixels per px of the SVG.
const SCALE: f32 = 1.5;

/// Colours and font of the picture; the page has its own.
const STYLE: &str = "text{font-family:Roboto;font-size:12px;fill:#1b1d21}\
    .heading{font-size:17px}.title{font-size:14px}.unit,.tick,.without{fill:#5c6370}\
    .grid{stroke:#d9dbe0;stroke-width:1}.mark{stroke:#8a909c;stroke-width:1;stroke-dasharray:3 3}\
    .line{fill:none;stroke-width:1.8;stroke-linejoin:round}.dot{stroke:none}\
    .total,.plain{stroke:#1b1d21}.dot.total,.dot.plain{fill:#1b1d21}\
    .faint{stroke:#b9bdc6;stroke-width:1}\
    .et{stroke:#d55e00}.dot.et{fill:#d55e00}.tc{stroke:#0072b2}.dot.tc{fill:#0072b2}\
    .train{stroke-width:1.3;stroke-dasharray:5 3}\
    .wt{stroke:#009e73}.dot.wt{fill:#009e73}.other{stroke:#aa4499}.dot.other{fill:#aa4499}";

/// Roboto, reduced to the letters of the charts: the machine may have no fonts.
const FONT: &[u8] = include_bytes!("fonts/Roboto-subset.ttf");

/// All charts as one picture, with the run's name.
///
/// # Errors
/// If the drawing library refuses its input.
pub(super) fn progress_png(record: &RunRecord) -> Result<Vec<u8>, Fault> {
    let charts = run_charts(record);
    let rows = charts.len().div_ceil(COLUMNS);
    let [width, height] = CHART;
    let all = [
        COLUMNS as f64 * (width + MARGIN) + MARGIN,
        rows as f64 * (height + MARGIN) + HEADING + MARGIN,
    ];
    let heading = escape_xml(&format!("{}  {}", record.name, progress_text(record)));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\"><style>{STYLE}{REGION_STYLE}</style>\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\
         <text class=\"heading\" x=\"{}\" y=\"28\">{heading}</text>",
        all[0],
        all[1],
        MARGIN + 46.0
    );
    for (number, chart) in charts.iter().enumerate() {
        let left = MARGIN + (number % COLUMNS) as f64 * (width + MARGIN);
        let top = HEADING + MARGIN + (number / COLUMNS) as f64 * (height + MARGIN);
        svg += &chart.to_svg([left, top], CHART);
    }
    svg += "</svg>";
    svg_to_png(&svg).map_err(|problem| Fault::Environment {
        subject: super::PROGRESS.into(),
        problem,
        remedy: "report.html has the same curves".into(),
    })
}

fn svg_to_png(svg: &str) -> Result<Vec<u8>, String> {
    let mut options = usvg::Options { font_family: "Roboto".into(), ..usvg::Options::default() };
    Arc::make_mut(&mut options.fontdb).load_font_data(FONT.to_vec());
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| error.to_string())?;
    let size = tree.size().to_int_size().scale_by(SCALE).ok_or("it has no size")?;
    let mut pixels =
        tiny_skia::Pixmap::new(size.width(), size.height()).ok_or("it is too large")?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    // The ground is opaque, so colours are what they are without their alpha.
    let rgb = pixels.pixels().iter().flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]);
    let picture = Picture {
        width: pixels.width() as usize,
        height: pixels.height() as usize,
        rgb: rgb.collect(),
    };
    picture.to_png().map_err(|error| error.to_string())
}
