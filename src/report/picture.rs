//! Pictures of overlays of truth and prediction, and PNG files.

use crate::report::sketch::Slice;

/// Colours of the overlays; the page's legend shows the same.
pub(super) const TRUTH_COLOUR: [u8; 3] = [0x4f, 0xc3, 0xf7];
/// Colour of the prediction's outline.
pub(super) const PREDICTION_COLOUR: [u8; 3] = [0xff, 0xb3, 0x00];

/// Opacity of the truth's colour over the FLAIR.
const TRUTH_SHARE: f64 = 0.42;
/// Width of the prediction's outline in pixels.
const OUTLINE: usize = 2;
/// Height in pixels of the tallest slice.
const HEIGHT: f64 = 300.0;
/// Pixels between slices.
const GAP: usize = 4;

/// An image of three bytes a pixel, rows from the top.
pub(super) struct Picture {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) rgb: Vec<u8>,
}

impl Picture {
    fn filled_black(width: usize, height: usize) -> Self {
        Self { width, height, rgb: vec![0; 3 * width * height] }
    }

    /// Encodes the picture as PNG.
    ///
    /// # Errors
    /// If it has no pixels, or more than PNG knows.
    pub(super) fn to_png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(bytes)
    }

    fn paste_at(&mut self, other: &Self, left: usize) {
        for row in 0..other.height {
            let to = 3 * (row * self.width + left);
            let from = 3 * row * other.width;
            let length = 3 * other.width;
            self.rgb[to..to + length].copy_from_slice(&other.rgb[from..from + length]);
        }
    }
}

/// Slices side by side in one scale: the truth as an area, the prediction as an outline.
pub(super) fn draw_overlay(slices: &[Slice]) -> Picture {
    let height_mm = |slice: &Slice| slice.rows as f64 * slice.spacing_mm[0];
    let highest = slices.iter().map(height_mm).fold(f64::MIN_POSITIVE, f64::max);
    let drawn: Vec<Picture> =
        slices.iter().map(|slice| draw_slice(slice, HEIGHT / highest)).collect();
    let width: usize = drawn.iter().map(|one| one.width + GAP).sum::<usize>().saturating_sub(GAP);
    let height = drawn.iter().map(|one| one.height).max().unwrap_or_default();
    let mut all = Picture::filled_black(width, height);
    let mut left = 0;
    for one in &drawn {
        all.paste_at(one, left);
        left += one.width + GAP;
    }
    all
}

/// Draws a slice at `scale` pixels per mm.
fn draw_slice(slice: &Slice, scale: f64) -> Picture {
    let length = |count: usize, mm: f64| ((count as f64 * mm * scale).round() as usize).max(1);
    let height = length(slice.rows, slice.spacing_mm[0]);
    let width = length(slice.columns, slice.spacing_mm[1]);
    // The middle of a pixel, in pixels of the slice.
    let down = |y: usize| (y as f64 + 0.5) * slice.rows as f64 / height as f64;
    let along = |x: usize| (x as f64 + 0.5) * slice.columns as f64 / width as f64;
    let nearest = |y: usize, x: usize| {
        let row = (down(y) as usize).min(slice.rows - 1);
        (row, (along(x) as usize).min(slice.columns - 1))
    };
    let predicted = |y: usize, x: usize| {
        let (row, column) = nearest(y, x);
        slice.is_predicted(row, column)
    };
    let mut picture = Picture::filled_black(width, height);
    for y in 0..height {
        for x in 0..width {
            let grey = 255.0 * interpolate_flair(slice, down(y) - 0.5, along(x) - 0.5);
            let (row, column) = nearest(y, x);
            let truth = if slice.is_true(row, column) { TRUTH_SHARE } else { 0.0 };
            let tinted = TRUTH_COLOUR
                .map(|part| ((1.0 - truth) * grey + truth * f64::from(part)).round() as u8);
            let is_edge = predicted(y, x) && {
                let top = y.saturating_sub(OUTLINE);
                let left = x.saturating_sub(OUTLINE);
                let bottom = (y + OUTLINE).min(height - 1);
                let right = (x + OUTLINE).min(width - 1);
                let around = [(top, x), (bottom, x), (y, left), (y, right)];
                around.into_iter().any(|(y, x)| !predicted(y, x))
            };
            let colour = if is_edge { PREDICTION_COLOUR } else { tinted };
            let at = 3 * (y * width + x);
            picture.rgb[at..at + 3].copy_from_slice(&colour);
        }
    }
    picture
}

/// Interpolates FLAIR bilinearly; `row` and `column` count from the middle of the first pixel.
fn interpolate_flair(slice: &Slice, row: f64, column: f64) -> f64 {
    let split = |place: f64, count: usize| {
        let inside = place.clamp(0.0, (count - 1) as f64);
        let low = inside.floor() as usize;
        (low, (low + 1).min(count - 1), inside - inside.floor())
    };
    let (top, bottom, below) = split(row, slice.rows);
    let (left, right, beyond) = split(column, slice.columns);
    let mix = |a: f64, b: f64, share: f64| a + (b - a) * share;
    let upper = mix(slice.flair_grey(top, left), slice.flair_grey(top, right), beyond);
    let lower = mix(slice.flair_grey(bottom, left), slice.flair_grey(bottom, right), beyond);
    mix(upper, lower, below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sketch::Sketch;
    use crate::report::sketch::tests::{test_case, test_segmentation};
    use crate::volume::RunChannels;

    fn is_near(colour: [u8; 3], wanted: [u8; 3]) -> bool {
        colour.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) < 8)
    }

    #[test]
    fn the_truth_is_an_area_and_the_prediction_an_outline_in_true_proportions() {
        let sketch = Sketch::from_case(
            RunChannels::default(),
            &test_case("a", [2, 2, 2]),
            &test_segmentation([2, 2, 4]),
        )
        .unwrap();
        let picture = draw_overlay(&sketch.of_region("WT").unwrap()[..1]);
        // 5 rows of 2 mm and 6 columns of 1 mm.
        assert_eq!((picture.width, picture.height), (180, 300));
        let at = |y: usize, x: usize| -> [u8; 3] {
            let place = 3 * (y * picture.width + x);
            std::array::from_fn(|channel| picture.rgb[place + channel])
        };
        let [red, _, blue] = at(150, 75);
        assert!(blue > red + 40, "the true voxel is tinted: {:?}", at(150, 75));
        assert!(is_near(at(150, 121), PREDICTION_COLOUR), "the predicted one has an edge");
        let [red, green, blue] = at(150, 135);
        assert!(red == green && green == blue, "and FLAIR inside");
        let three = draw_overlay(sketch.of_region("WT").unwrap());
        assert!(three.width > 2 * GAP + picture.width && three.height == 300);
    }

    #[test]
    fn a_png_comes_back_as_it_was() {
        let sketch = Sketch::from_case(
            RunChannels::default(),
            &test_case("a", [2, 2, 2]),
            &test_segmentation([2, 2, 4]),
        )
        .unwrap();
        let picture = draw_overlay(sketch.of_region("WT").unwrap());
        let bytes = picture.to_png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut rgb).unwrap();
        assert_eq!(rgb, picture.rgb);
    }
}
