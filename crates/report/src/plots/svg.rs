//! Renders a figure as SVG. The file contains text but no fonts or scripts. Its colours follow the
//! light or dark mode of the viewer.

use super::figure::{Figure, Mark, Panel, Scale, Shape, Side, Tone, Weight};
use crate::text::{elide, plain, width};
use std::fmt::Write;

/// The colours of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Light or dark, as the viewer prefers.
    Auto,
    /// Dark marks on a light background.
    Light,
}

/// Number of shades between the two ends of [`Tone::Heat`].
const SHADES: usize = 16;
/// Approximate width of a character, in pixels.
const CHAR: f64 = 6.6;
/// Margin around the figure, in pixels.
const MARGIN: f64 = 14.0;
/// Height of a line of text, in pixels.
const LINE: f64 = 17.0;

/// Name of each tone with its colour on a light and on a dark background. The series are those of
/// Okabe & Ito, which colour-blind readers can distinguish.
const COLOURS: [(&str, &str, &str); 16] = [
    ("usual", "#2f6fab", "#79b8f0"),
    ("best", "#00855f", "#2fd3a0"),
    ("live", "#2b9fd8", "#6fd0ff"),
    ("bad", "#cc4400", "#ff8a5c"),
    ("stopped", "#9a9fa5", "#7d848c"),
    ("paused", "#c98700", "#f0b840"),
    ("faint", "#c3c7cc", "#50565d"),
    ("ink", "#24292f", "#d8dee4"),
    ("s0", "#0072b2", "#4aa8e0"),
    ("s1", "#d55e00", "#ff9050"),
    ("s2", "#009e73", "#30d0a0"),
    ("s3", "#cc79a7", "#e8a0c8"),
    ("s4", "#b58900", "#f0c040"),
    ("s5", "#56b4e9", "#8cd0f8"),
    ("s6", "#6a51a3", "#a890e0"),
    ("s7", "#666666", "#aaaaaa"),
];

/// The low, middle and high colour of the shades, on a light and on a dark background.
const HEAT: [[(f64, f64, f64); 3]; 2] = [
    [
        (226.0, 233.0, 240.0),
        (90.0, 155.0, 200.0),
        (8.0, 48.0, 107.0),
    ],
    [
        (38.0, 48.0, 60.0),
        (40.0, 110.0, 160.0),
        (190.0, 230.0, 255.0),
    ],
];

/// Renders a figure as an SVG document.
#[must_use]
pub fn render(figure: &Figure, theme: Theme) -> String {
    let columns = figure.columns.max(1);
    let total = 860.0;
    let each = (total - MARGIN * 2.0) / columns as f64;
    let mut body = String::new();
    let mut y = MARGIN + 16.0;
    text(
        &mut body,
        (MARGIN, y),
        &elide(&figure.title, 90),
        "title",
        "start",
    );
    y += 12.0;
    y = legend(&mut body, figure, y, total);
    for row in figure.panels.chunks(columns) {
        let height = row
            .iter()
            .map(|panel| height(panel, columns))
            .fold(0.0, f64::max);
        for (column, panel) in row.iter().enumerate() {
            let frame = (MARGIN + column as f64 * each, y, each, height);
            draw(&mut body, panel, frame);
        }
        y += height;
    }
    for note in &figure.notes {
        for line in wrapped(note, ((total - 2.0 * MARGIN) / CHAR) as usize) {
            y += LINE;
            text(&mut body, (MARGIN, y), &line, "note", "start");
        }
    }
    let height = y + MARGIN;
    let title = escaped(&figure.title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{total}\" height=\"{height:.0}\" viewBox=\"0 0 {total} {height:.0}\" \
         role=\"img\">\n<title>{title}</title>\n<style>{}</style>\n<rect class=\"back\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n",
        style(theme)
    )
}

/// Returns the style sheet of a theme.
fn style(theme: Theme) -> String {
    let base = "text{font:12px 'DejaVu Sans',system-ui,sans-serif}.title{font-size:15px;font-weight:bold}.small{font-size:11px}\
                .note{font-size:12px}path{fill:none}.thin{stroke-width:1}.line{stroke-width:1.5}.bold{stroke-width:2.5}\
                .over{paint-order:stroke;stroke-width:3px;stroke-linejoin:round}.dot{stroke-width:6;stroke-linecap:round}.speck{stroke-width:3.5;stroke-linecap:round}.cross{stroke-width:1.5}\
                .many{stroke-opacity:.55}";
    let light = colours(0);
    match theme {
        Theme::Light => format!("{base}{light}"),
        Theme::Auto => format!(
            "{base}{light}@media(prefers-color-scheme:dark){{{}}}",
            colours(1)
        ),
    }
}

/// Returns the colours of the style sheet: 0 for light, 1 for dark.
fn colours(mode: usize) -> String {
    let mut css = format!(
        ".back{{fill:{}}}.over{{stroke:{}}}text{{fill:{}}}.note,.small{{fill:{}}}.grid{{stroke:{}}}",
        ["#ffffff", "#15191e"][mode],
        ["#ffffff", "#15191e"][mode],
        ["#24292f", "#d8dee4"][mode],
        ["#57606a", "#9aa4ae"][mode],
        ["#e8eaed", "#2b323a"][mode],
    );
    for (name, light, dark) in COLOURS {
        let colour = [light, dark][mode];
        let _ = write!(
            css,
            ".f-{name}{{fill:{colour}}}.k-{name}{{stroke:{colour}}}"
        );
    }
    for shade in 0..SHADES {
        let colour = heat(shade as f64 / (SHADES - 1) as f64, mode);
        let _ = write!(
            css,
            ".f-h{shade}{{fill:{colour}}}.k-h{shade}{{stroke:{colour}}}"
        );
    }
    css
}

/// Returns the colour of a shade between low (0) and high (1).
fn heat(place: f64, mode: usize) -> String {
    let [low, middle, high] = HEAT[mode];
    let (from, to, part) = if place < 0.5 {
        (low, middle, place * 2.0)
    } else {
        (middle, high, place * 2.0 - 1.0)
    };
    format!(
        "#{:02x}{:02x}{:02x}",
        mixed(from.0, to.0, part),
        mixed(from.1, to.1, part),
        mixed(from.2, to.2, part)
    )
}

/// Returns the channel of a colour that is a part (0 to 1) of the way between two colours.
fn mixed(from: f64, to: f64, part: f64) -> u8 {
    (from + (to - from) * part).round() as u8
}

/// Returns the suffix of the CSS classes of a tone.
fn class(tone: Tone) -> String {
    match tone {
        Tone::Series(at) => format!("s{}", at % 8),
        Tone::Usual => "usual".to_owned(),
        Tone::Best => "best".to_owned(),
        Tone::Live => "live".to_owned(),
        Tone::Bad => "bad".to_owned(),
        Tone::Stopped => "stopped".to_owned(),
        Tone::Paused => "paused".to_owned(),
        Tone::Faint => "faint".to_owned(),
        Tone::Ink => "ink".to_owned(),
        Tone::Heat(place) => format!(
            "h{}",
            (place.clamp(0.0, 1.0) * (SHADES - 1) as f64).round() as usize
        ),
    }
}

/// Draws the legend on as many lines as it needs. Returns the y coordinate below it.
fn legend(body: &mut String, figure: &Figure, mut y: f64, total: f64) -> f64 {
    if figure.legend.is_empty() {
        return y;
    }
    let mut x = MARGIN;
    y += 12.0;
    for (tone, label) in &figure.legend {
        let label = elide(label, 40);
        let wide = 18.0 + width(&label) as f64 * CHAR + 16.0;
        if x + wide > total - MARGIN && x > MARGIN {
            (x, y) = (MARGIN, y + LINE);
        }
        let _ = writeln!(
            body,
            "<rect class=\"f-{}\" x=\"{x:.0}\" y=\"{:.0}\" width=\"11\" height=\"11\" rx=\"2\"/>",
            class(*tone),
            y - 10.0
        );
        text(body, (x + 16.0, y), &label, "small", "start");
        x += wide;
    }
    y + 8.0
}

/// Returns the height of a panel. Horizontal bars get a height by their number.
fn height(panel: &Panel, columns: usize) -> f64 {
    match &panel.y.scale {
        Scale::Bands(labels) if matches!(panel.x.scale, Scale::Linear(..)) => {
            (labels.len() as f64 * 24.0).clamp(48.0, 900.0) + 62.0
        }
        _ if columns > 1 => 270.0,
        _ => 400.0,
    }
}

/// Draws a panel into a rectangle: left, top, width and height.
fn draw(body: &mut String, panel: &Panel, (left, top, wide, high): (f64, f64, f64, f64)) {
    let rows = ((high - 70.0) / 34.0).max(2.0) as usize;
    let bands = matches!(panel.y.scale, Scale::Bands(_));
    let ticks = panel.y.scale.ticks(if bands {
        ((high - 62.0) / 14.0) as usize
    } else {
        rows
    });
    let most = ((wide * 0.4) / CHAR) as usize;
    let labels: Vec<(f64, String)> = ticks
        .into_iter()
        .map(|(value, label)| (value, elide(&label, most).into_owned()))
        .collect();
    // The widest label determines where the plot area begins.
    let gutter = labels
        .iter()
        .map(|(_, label)| width(label))
        .max()
        .unwrap_or(0) as f64
        * CHAR
        + 8.0;
    let named = if panel.y.label.is_empty() { 0.0 } else { 18.0 };
    let x0 = left + gutter + named;
    let x1 = left + wide - 16.0;
    let y0 = top + if panel.title.is_empty() { 14.0 } else { 30.0 };
    let y1 = top + high - if panel.x.label.is_empty() { 26.0 } else { 42.0 };
    let frame = Frame {
        panel,
        x0,
        x1,
        y0,
        y1,
    };
    if !panel.title.is_empty() {
        text(
            body,
            (left, top + 18.0),
            &elide(&panel.title, (wide / CHAR) as usize),
            "",
            "start",
        );
    }
    let grid = !bands;
    for (value, label) in &labels {
        let Some(y) = frame.y(*value) else { continue };
        if grid {
            let _ = writeln!(body, "<path class=\"grid\" d=\"M{x0:.1} {y:.1}H{x1:.1}\"/>");
        }
        text(body, (x0 - 6.0, y + 4.0), label, "small", "end");
    }
    let across = matches!(panel.x.scale, Scale::Bands(_));
    let columns = if let Scale::Bands(labels) = &panel.x.scale {
        labels.len().max(1)
    } else {
        1
    };
    let room = (x1 - x0) / if across { columns as f64 } else { 1.0 };
    let most = if across {
        ((x1 - x0) / 20.0) as usize
    } else {
        ((x1 - x0) / 75.0) as usize
    };
    let ticks = panel.x.scale.ticks(most.max(2));
    let every = if across {
        columns.div_ceil(ticks.len().max(1)) as f64
    } else {
        1.0
    };
    for (value, label) in ticks {
        let Some(x) = frame.x(value) else { continue };
        if !across {
            let _ = writeln!(body, "<path class=\"grid\" d=\"M{x:.1} {y0:.1}V{y1:.1}\"/>");
        }
        let label = if across {
            elide(&label, ((room * every - 4.0) / 7.6).max(1.0) as usize)
        } else {
            label.into()
        };
        text(body, (x, y1 + 15.0), &label, "small", "middle");
    }
    if !panel.x.label.is_empty() {
        let label = elide(&panel.x.label, ((x1 - x0) / CHAR) as usize);
        text(
            body,
            (f64::midpoint(x0, x1), y1 + 33.0),
            &label,
            "",
            "middle",
        );
    }
    if !panel.y.label.is_empty() {
        let (x, y) = (left + 10.0, f64::midpoint(y0, y1));
        let label = escaped(&elide(&panel.y.label, ((y1 - y0 + 20.0) / CHAR) as usize));
        let _ = writeln!(
            body,
            "<text text-anchor=\"middle\" transform=\"translate({x:.1} {y:.1}) rotate(-90)\">{label}</text>"
        );
    }
    for mark in &panel.marks {
        frame.mark(body, mark);
    }
}

/// A panel with the rectangle of its plot area, in pixels.
struct Frame<'a> {
    panel: &'a Panel,
    x0: f64,
    x1: f64,
    y0: f64,
    y1: f64,
}

impl Frame<'_> {
    /// Returns the x coordinate of a value; `None` if it has no place. Values outside the scale are
    /// clamped to half a panel beyond its ends.
    fn x(&self, value: f64) -> Option<f64> {
        Some(self.x0 + self.panel.x.scale.place(value)?.clamp(-0.5, 1.5) * (self.x1 - self.x0))
    }

    /// Returns the y coordinate of a value; `None` if it has no place. Values outside are clamped
    /// as along x.
    fn y(&self, value: f64) -> Option<f64> {
        let place = self.panel.y.scale.place(value)?.clamp(-0.5, 1.5);
        let place = if self.downwards() { place } else { 1.0 - place };
        Some(self.y0 + place * (self.y1 - self.y0))
    }

    /// Returns whether the y axis runs from top to bottom. Bands do, because a list is read from
    /// the top.
    fn downwards(&self) -> bool {
        matches!(self.panel.y.scale, Scale::Bands(_))
    }

    /// Returns the coordinates of a point; `None` if it has no place on one of the scales.
    fn place(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        Some((self.x(x)?, self.y(y)?))
    }

    /// Draws a mark.
    fn mark(&self, body: &mut String, mark: &Mark) {
        match mark {
            Mark::Line(points, tone, weight) => {
                let name = match weight {
                    Weight::Thin => "thin many",
                    Weight::Usual => "line",
                    Weight::Bold => "bold",
                };
                let _ = writeln!(
                    body,
                    "<path class=\"k-{} {name}\" d=\"{}\"/>",
                    class(*tone),
                    self.path(points)
                );
            }
            Mark::Points(points, tone, shape) => {
                let name = match shape {
                    Shape::Dot => "dot",
                    Shape::Speck => "speck many",
                    Shape::Cross => "cross",
                };
                let mut path = String::new();
                for (x, y) in points.iter().filter_map(|point| self.place(*point)) {
                    let _ = match shape {
                        Shape::Cross => {
                            write!(path, "M{:.1} {:.1}l7 7m0-7l-7 7", x - 3.5, y - 3.5)
                        }
                        // A line of almost no length with round ends is a disc.
                        _ => write!(path, "M{x:.1} {y:.1}h.01"),
                    };
                }
                if !path.is_empty() {
                    let _ = writeln!(
                        body,
                        "<path class=\"k-{} {name}\" d=\"{path}\"/>",
                        class(*tone)
                    );
                }
            }
            Mark::Block(xs, ys, tone) => {
                let (Some(a), Some(b)) = (self.place((xs.0, ys.0)), self.place((xs.1, ys.1)))
                else {
                    return;
                };
                // Thinner blocks would be invisible.
                let (x, wide) = (a.0.min(b.0), (a.0 - b.0).abs().max(0.7));
                let (y, high) = (a.1.min(b.1), (a.1 - b.1).abs().max(0.7));
                // Adjacent cells of a heat map overlap slightly, so that no gaps show between them.
                let lap = if matches!(tone, Tone::Heat(_)) {
                    0.7
                } else {
                    0.0
                };
                let (wide, high) = (wide + lap, high + lap);
                let _ = writeln!(
                    body,
                    "<rect class=\"f-{}\" shape-rendering=\"crispEdges\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{high:.1}\"/>",
                    class(*tone)
                );
            }
            Mark::Text(point, label, side, _) => {
                let Some((x, y)) = self.place(*point) else {
                    return;
                };
                let (x, anchor) = match side {
                    Side::Right => (x + 5.0, "start"),
                    Side::Middle => (x, "middle"),
                    Side::Left => (x - 5.0, "end"),
                };
                text(body, (x, y + 4.0), &elide(label, 40), "small over", anchor);
            }
        }
    }

    /// Returns the path of a line. A point without a place ends one piece, and the next point
    /// begins another.
    fn path(&self, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        let mut pen = 'M';
        for point in points {
            match self.place(*point) {
                Some((x, y)) => {
                    let _ = write!(path, "{pen}{x:.1} {y:.1}");
                    pen = 'L';
                }
                None => pen = 'M',
            }
        }
        path
    }
}

/// Draws a text, escaped.
fn text(body: &mut String, (x, y): (f64, f64), label: &str, class: &str, anchor: &str) {
    let class = if class.is_empty() {
        String::new()
    } else {
        format!(" class=\"{class}\"")
    };
    let label = escaped(label);
    let _ = writeln!(
        body,
        "<text{class} x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{label}</text>"
    );
}

/// Returns the text escaped for XML. Characters that XML does not allow are replaced.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in plain(text).chars() {
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            _ => safe.push(char),
        }
    }
    safe
}

/// Breaks a text at blanks into lines of at most `columns` columns. Longer words are cut.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && width(line) + width(word) + 1 > columns {
            lines.push(elide(word, columns).into_owned());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&elide(word, columns));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{Theme, escaped, render, wrapped};
    use crate::plots::figure::{Figure, Guide, Mark, Panel, Scale, Tone, Weight};

    #[test]
    fn names_are_text_and_nothing_else() {
        assert_eq!(
            escaped("</svg><script>\x1b[1m\u{ffff}&\""),
            "&lt;/svg&gt;&lt;script&gt;\\x1b[1m\u{fffd}&amp;&quot;"
        );
    }

    #[test]
    fn a_line_is_interrupted_where_a_value_is_missing() {
        let mut figure = Figure::new("x");
        let points = vec![(0.0, 0.0), (1.0, f64::NAN), (2.0, 1.0), (3.0, 1.0)];
        figure.panels.push(Panel {
            title: String::new(),
            x: Guide::new("", Scale::Linear(0.0, 3.0)),
            y: Guide::new("", Scale::Linear(0.0, 1.0)),
            marks: vec![Mark::Line(points, Tone::Best, Weight::Bold)],
        });
        let svg = render(&figure, Theme::Auto);
        let line = svg
            .lines()
            .find(|line| line.contains("k-best bold"))
            .unwrap();
        assert_eq!(
            (line.matches('M').count(), line.matches('L').count()),
            (2, 1),
            "{line}"
        );
        assert!(!svg.contains("NaN") && svg.contains("prefers-color-scheme:dark"));
        assert!(!render(&figure, Theme::Light).contains("@media"));
    }

    #[test]
    fn notes_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
    }
}
