//! A figure as PNG: its SVG, rasterised with a built-in font. Fonts of the system supply the
//! characters that it lacks.

use crate::cli::exit::Failure;
use crate::report::plots::figure::Figure;
use crate::report::plots::svg::{self, Theme};
use resvg::{tiny_skia, usvg};
use std::sync::Arc;

const FONT: &[u8] = include_bytes!("../../../assets/fonts/DejaVuSans-subset.ttf");
/// Pixels per unit of the SVG, so that text is sharp on most screens.
const SCALE: f32 = 2.0;

/// Renders a figure as PNG. Returns the bytes of the file.
pub(super) fn render(figure: &Figure) -> Result<Vec<u8>, Failure> {
    let mut options = usvg::Options {
        font_family: "DejaVu Sans".to_owned(),
        ..usvg::Options::default()
    };
    let fonts = Arc::make_mut(&mut options.fontdb);
    fonts.load_font_data(FONT.to_vec());
    let mut text = svg::render(figure, Theme::Light);
    // System fonts are loaded only if the text needs them. If the system has none, missing
    // characters become boxes.
    if !text.chars().all(is_built_in) {
        fonts.load_system_fonts();
        if fonts.len() == 1 {
            text = text
                .chars()
                .map(|char| if is_built_in(char) { char } else { '□' })
                .collect();
        }
    }
    let tree = usvg::Tree::from_str(&text, &options)
        .map_err(|error| drawing_failure(&error.to_string()))?;
    let size = tree
        .size()
        .to_int_size()
        .scale_by(SCALE)
        .ok_or_else(|| drawing_failure("the figure has no size"))?;
    let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height())
        .ok_or_else(|| drawing_failure("the figure is too large"))?;
    resvg::render(
        &tree,
        tiny_skia::Transform::from_scale(SCALE, SCALE),
        &mut pixels.as_mut(),
    );
    pixels
        .encode_png()
        .map_err(|error| drawing_failure(&error.to_string()))
}

fn drawing_failure(reason: &str) -> Failure {
    Failure::tool(format!("could not draw the plot: {reason}"))
}

/// Returns whether the built-in font has a character. The ranges are listed in `assets/README.md`.
fn is_built_in(char: char) -> bool {
    matches!(char,
        '\0'..='\u{24f}' | '\u{300}'..='\u{3ff}' | '\u{400}'..='\u{45f}' | '\u{1e00}'..='\u{1eff}' | '\u{2010}'..='\u{2027}'
        | '\u{2030}'..='\u{203a}' | '\u{2070}'..='\u{209f}' | '€' | '\u{2190}'..='\u{2193}' | '\u{2200}'..='\u{2265}'
        | '\u{25a0}'..='\u{25cf}' | '\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::report::plots::figure::{Figure, Guide, Mark, Panel, Scale, Shape, Tone};

    /// Counts the dark pixels in some rows.
    fn dark_pixels(pixels: &resvg::tiny_skia::Pixmap, rows: std::ops::Range<u32>) -> usize {
        rows.flat_map(|y| (0..pixels.width()).map(move |x| (x, y)))
            .filter_map(|(x, y)| pixels.pixel(x, y))
            .filter(|pixel| pixel.green() < 100)
            .count()
    }

    #[test]
    fn a_figure_with_unusual_names_becomes_a_png_that_is_not_blank() {
        let mut figure = Figure::new("größe 学習率 🚀 <b>");
        figure.panels.push(Panel {
            title: String::new(),
            x: Guide::new("x", Scale::Linear(0.0, 1.0)),
            y: Guide::new("y", Scale::Linear(0.0, 1.0)),
            marks: vec![Mark::Points(vec![(0.5, 0.5)], Tone::Bad, Shape::Dot)],
        });
        let png = render(&figure).unwrap();
        assert!(png.starts_with(b"\x89PNG\r\n"));
        let pixels = resvg::tiny_skia::Pixmap::decode_png(&png).unwrap();
        // The title, in the built-in font, and the dot.
        assert!(
            dark_pixels(&pixels, 30..70) > 300,
            "{}",
            dark_pixels(&pixels, 30..70)
        );
        assert!(
            dark_pixels(&pixels, 100..pixels.height() - 60) > 50,
            "{}",
            dark_pixels(&pixels, 100..pixels.height() - 60)
        );
    }
}
