//! A line chart as SVG. Colours are CSS classes: the page has a light and a dark theme, the picture
//! one.

use crate::report::axis::ChartAxis;

/// Margins of the plot: for labels on the left and below, for title and legend above.
const LEFT: f64 = 46.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 24.0;
/// Approximate width of a letter of the legend, which is placed without knowing the font.
const LETTER: f64 = 6.4;
/// Most points of a line that is drawn with dots.
const DOTS: usize = 60;

pub(super) struct Chart {
    pub(super) title: String,
    /// Unit, shown after the title.
    pub(super) unit: &'static str,
    pub(super) lines: Vec<ChartLine>,
    pub(super) x: ChartAxis,
    pub(super) y: ChartAxis,
    /// Positions on x of resumes from a checkpoint.
    pub(super) marks: Vec<f64>,
    /// Text shown instead of lines if there are none.
    pub(super) without: &'static str,
}

pub(super) struct ChartLine {
    /// CSS class, which decides the colour.
    pub(super) class: &'static str,
    /// Legend entry; empty for none.
    pub(super) name: String,
    pub(super) points: Vec<[f64; 2]>,
}

impl ChartLine {
    pub(super) fn last_value(&self) -> Option<f64> {
        self.points.last().map(|point| point[1])
    }
}

impl Chart {
    /// Renders an `svg` element of `width` by `height`, at `left` and `top` of its parent.
    pub(super) fn to_svg(&self, [left, top]: [f64; 2], [width, height]: [f64; 2]) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" x=\"{left}\" y=\"{top}\" \
             width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-label=\"{}\">",
            self.title
        );
        svg += &format!(
            "<text class=\"title\" x=\"{LEFT}\" y=\"16\">{}<tspan class=\"unit\" dx=\"6\">{}</tspan>\
             </text>",
            self.title, self.unit
        );
        let plot = Plot { right: width - RIGHT, bottom: height - BOTTOM, chart: self };
        if self.lines.iter().all(|line| line.points.is_empty()) {
            let x = (LEFT + plot.right) / 2.0;
            let y = (TOP + plot.bottom) / 2.0;
            svg += &format!(
                "<text class=\"without\" text-anchor=\"middle\" x=\"{x}\" y=\"{y}\">{}</text></svg>",
                self.without
            );
            return svg;
        }
        svg += &plot.grid_svg();
        svg += &plot.legend_svg();
        self.lines.iter().for_each(|line| svg += &plot.line_svg(line));
        svg + "</svg>"
    }
}

/// A chart with the lower right corner of its plot; the upper left is at [`LEFT`] and [`TOP`].
struct Plot<'a> {
    right: f64,
    bottom: f64,
    chart: &'a Chart,
}

impl Plot<'_> {
    fn x(&self, value: f64) -> f64 {
        self.chart.x.position_of(value, LEFT, self.right)
    }

    fn y(&self, value: f64) -> f64 {
        self.chart.y.position_of(value, self.bottom, TOP)
    }

    /// Grid lines with their labels, and marks.
    fn grid_svg(&self) -> String {
        let Self { right, bottom, chart } = self;
        let mut svg = String::new();
        for tick in chart.y.ticks() {
            let y = self.y(tick);
            let label = chart.y.tick_label(tick);
            svg += &format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" text-anchor=\"end\" x=\"{}\" y=\"{:.1}\">{label}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        for tick in chart.x.ticks() {
            let x = self.x(tick);
            let label = chart.x.tick_label(tick);
            svg += &format!(
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{}\"/>\
                 <text class=\"tick\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{}\">{label}</text>",
                bottom + 4.0,
                bottom + 17.0
            );
        }
        for mark in &chart.marks {
            let x = self.x(*mark);
            svg += &format!(
                "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>"
            );
        }
        svg
    }

    /// Legend: the lines' names, in a row under the title.
    fn legend_svg(&self) -> String {
        let mut svg = String::new();
        let mut left = LEFT;
        for line in self.chart.lines.iter().filter(|line| !line.name.is_empty()) {
            let ChartLine { class, name, .. } = line;
            svg += &format!(
                "<line class=\"line {class}\" x1=\"{left:.1}\" x2=\"{:.1}\" y1=\"31\" y2=\"31\"/>\
                 <text class=\"key\" x=\"{:.1}\" y=\"35\">{name}</text>",
                left + 14.0,
                left + 18.0
            );
            left += 18.0 + LETTER * name.chars().count() as f64 + 12.0;
        }
        svg
    }

    fn line_svg(&self, line: &ChartLine) -> String {
        let mut path = String::new();
        for [x, y] in &line.points {
            let pen = if path.is_empty() { 'M' } else { 'L' };
            path += &format!("{pen}{:.1} {:.1}", self.x(*x), self.y(*y));
        }
        let class = line.class;
        let mut svg = format!("<path class=\"line {class}\" d=\"{path}\"/>");
        if line.points.len() <= DOTS && class != FAINT {
            for [x, y] in &line.points {
                svg += &format!(
                    "<circle class=\"dot {class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.2\">\
                     <title>{}: {y:.4}</title></circle>",
                    self.x(*x),
                    self.y(*y),
                    self.chart.x.tick_label(*x)
                );
            }
        }
        svg
    }
}

/// CSS class of pale lines behind the others.
pub(super) const FAINT: &str = "faint";

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<[f64; 2]>) -> Chart {
        let lines = vec![ChartLine { class: "wt", name: "WT 0.5".into(), points }];
        let (x, y) = (ChartAxis::exactly(0.0, 2.0), ChartAxis::around(0.0, 1.0));
        Chart {
            title: "Dice".to_owned(),
            unit: "",
            lines,
            x,
            y,
            marks: vec![1.0],
            without: "no score yet",
        }
    }

    #[test]
    fn a_line_goes_from_corner_to_corner_of_its_plot() {
        let svg = chart(vec![[0.0, 0.0], [2.0, 1.0]]).to_svg([0.0; 2], [400.0, 200.0]);
        assert!(svg.contains("d=\"M46.0 176.0L386.0 46.0\""), "{svg}");
        assert!(svg.contains(">WT 0.5<") && svg.contains("class=\"mark\""), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
        let many = (0..100).map(|place| [f64::from(place) / 50.0, 0.5]).collect();
        assert!(!chart(many).to_svg([0.0; 2], [400.0, 200.0]).contains("<circle"));
    }

    #[test]
    fn a_chart_without_points_says_why() {
        let svg = chart(Vec::new()).to_svg([0.0; 2], [400.0, 200.0]);
        assert!(svg.contains("no score yet") && !svg.contains("<path"), "{svg}");
    }
}
