//! A figure on a terminal: braille dots for lines and points, block characters for areas, and
//! labels beside them.

use crate::report::plots::figure::{Figure, Guide, Mark, Panel, Scale, Shape, Side, Tone};
use crate::report::text::{elide, plain, width};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Line, Points};

/// The number of rows for the marks of a panel whose vertical scale has no bands.
const ROWS: u16 = 16;
/// The maximum number of panels to draw.
const MOST_PANELS: usize = 12;

/// Returns the terminal colour of a tone.
pub(crate) fn colour(tone: Tone) -> Color {
    const SERIES: [Color; 6] = [
        Color::Blue,
        Color::Yellow,
        Color::Green,
        Color::Magenta,
        Color::Cyan,
        Color::Red,
    ];
    match tone {
        Tone::Series(at) => SERIES[at % SERIES.len()],
        Tone::Usual => Color::Blue,
        Tone::Best => Color::Green,
        Tone::Live => Color::Cyan,
        Tone::Bad => Color::Red,
        Tone::Stopped | Tone::Faint => Color::DarkGray,
        Tone::Paused => Color::Yellow,
        Tone::Ink => Color::Reset,
        // Shades from the 256-colour palette, from grey to bright cyan.
        Tone::Heat(heat) => {
            const SHADES: [u8; 6] = [237, 239, 24, 31, 38, 51];
            Color::Indexed(SHADES[(heat.clamp(0.0, 1.0) * 5.0).round() as usize])
        }
    }
}

/// Returns the sign of an area without colours, from light to dense: areas of different tones
/// differ in their shade.
fn shade(tone: Tone) -> &'static str {
    const SHADES: [&str; 4] = ["░", "▒", "▓", "█"];
    match tone {
        Tone::Series(at) => SHADES[3 - at % SHADES.len()],
        Tone::Usual | Tone::Best | Tone::Ink => "█",
        Tone::Bad => "▓",
        Tone::Live | Tone::Paused => "▒",
        Tone::Stopped | Tone::Faint => "░",
        // The lowest values stay blank.
        Tone::Heat(heat) => {
            [" ", "░", "▒", "▓", "█"][(heat.clamp(0.0, 1.0) * 4.0).round() as usize]
        }
    }
}

/// Returns the sign of a point without colours; `None` for points of no special tone, which are
/// small dots.
fn sign(tone: Tone) -> Option<&'static str> {
    const SERIES: [&str; 6] = ["•", "+", "o", "*", "#", "x"];
    match tone {
        Tone::Series(at) => Some(SERIES[at % SERIES.len()]),
        Tone::Best => Some("◆"),
        Tone::Live => Some("○"),
        Tone::Bad => Some("×"),
        Tone::Stopped => Some("▽"),
        Tone::Paused => Some("△"),
        Tone::Usual | Tone::Faint | Tone::Ink | Tone::Heat(_) => None,
    }
}

/// Returns the sign of a tone in the legend of a figure without colours.
fn legend_sign(figure: &Figure, tone: Tone) -> &'static str {
    let mut marks = figure.panels.iter().flat_map(|panel| &panel.marks);
    let is_area = marks.any(|mark| matches!(mark, Mark::Block(.., of) if *of == tone));
    match sign(tone) {
        Some(sign) if !is_area => sign,
        None if !is_area => "·",
        _ => shade(tone),
    }
}

/// Renders a figure in that many columns, limited to 30 to 300. Without `colours`, the text
/// contains no escape sequences.
pub(super) fn render(figure: &Figure, columns: usize, colours: bool) -> String {
    let columns = u16::try_from(columns.clamp(30, 300)).unwrap_or(80);
    let mut text = String::new();
    let title = elide(&plain(&figure.title), usize::from(columns)).into_owned();
    text.push_str(&title);
    text.push('\n');
    let mut legend: Vec<String> = Vec::new();
    for (tone, label) in &figure.legend {
        let mark = if colours {
            painted("■", colour(*tone))
        } else {
            legend_sign(figure, *tone).to_owned()
        };
        legend.push(format!("{mark} {}", elide(&plain(label), 30)));
    }
    if !legend.is_empty() {
        text.push_str(&legend.join("  "));
        text.push('\n');
    }
    for panel in figure.panels.iter().take(MOST_PANELS) {
        let rows = match &panel.y.scale {
            Scale::Bands(labels) => u16::try_from(labels.len()).unwrap_or(u16::MAX).clamp(1, 40),
            _ => ROWS,
        };
        let head = u16::from(!panel.title.is_empty());
        let area = Rect::new(0, 0, columns, rows + 2 + head);
        let mut buffer = Buffer::empty(area);
        draw(panel, area, &mut buffer, colours);
        text.push_str(&lines(&buffer, colours));
    }
    for note in &figure.notes {
        text.push_str(&plain(note));
        text.push('\n');
    }
    if figure.panels.len() > MOST_PANELS {
        text.push_str("the other panels are not shown; `-o x.svg` writes all of them to a file\n");
    }
    text
}

/// Draws a panel into an area: title, vertical scale on the left, marks, and horizontal scale
/// below. Draws nothing in an area that is too small.
/// Without `colours`, tones differ in their shapes and shades.
pub(crate) fn draw(panel: &Panel, area: Rect, buffer: &mut Buffer, colours: bool) {
    let head = u16::from(!panel.title.is_empty());
    let (wide, high) = (area.width, area.height.saturating_sub(2 + head));
    if wide < 16 || high < 1 {
        return;
    }
    let fewer = shortened(panel, usize::from(high));
    let panel = fewer.as_ref().unwrap_or(panel);
    if head == 1 {
        buffer.set_stringn(
            area.x,
            area.y,
            plain(&panel.title),
            usize::from(wide),
            Style::new(),
        );
    }
    let bands = matches!(panel.y.scale, Scale::Bands(_));
    let ticks = panel.y.scale.ticks(if bands {
        usize::from(high)
    } else {
        usize::from(high / 3).max(2)
    });
    // Names and causes of failures need more room than numbers.
    let most = usize::from(wide) / if bands { 2 } else { 3 };
    let labels: Vec<(f64, String)> = ticks
        .into_iter()
        .map(|(value, label)| (value, elide(&plain(&label), most).into_owned()))
        .collect();
    let gutter = labels
        .iter()
        .map(|(_, label)| width(label))
        .max()
        .unwrap_or(0) as u16
        + 1;
    let frame = Rect::new(
        area.x + gutter,
        area.y + head,
        wide.saturating_sub(gutter),
        high,
    );
    let dim = Style::new().fg(Color::DarkGray);
    for (value, label) in &labels {
        let Some(position) = panel
            .y
            .scale
            .place(*value)
            .filter(|position| (0.0..=1.0).contains(position))
        else {
            continue;
        };
        // Bands run from the top down, numeric scales from the bottom up.
        let position = if bands { position } else { 1.0 - position };
        let row = frame.y + ((position * f64::from(high)) as u16).min(high - 1);
        let column = area.x + gutter - 1 - width(label) as u16;
        buffer.set_stringn(column, row, label, usize::from(gutter), dim);
    }
    marks(panel, frame, buffer, colours);
    below(&panel.x, frame, buffer, dim);
    let names = [("", &panel.x.label), ("↑ ", &panel.y.label)];
    let names: Vec<String> = names
        .iter()
        .filter(|(_, name)| !name.is_empty())
        .map(|(mark, name)| format!("{mark}{name}"))
        .collect();
    let names = names.join("   ");
    let name = elide(&plain(&names), usize::from(frame.width)).into_owned();
    let column = frame.x + (frame.width.saturating_sub(width(&name) as u16)) / 2;
    buffer.set_stringn(
        column,
        frame.bottom() + 1,
        &name,
        usize::from(frame.width),
        dim,
    );
}

/// Returns the panel with only its first `rows` bands, or `None` if all of them fit.
fn shortened(panel: &Panel, rows: usize) -> Option<Panel> {
    let Scale::Bands(labels) = &panel.y.scale else {
        return None;
    };
    if labels.len() <= rows {
        return None;
    }
    let end = rows as f64;
    let y = Guide::new(&*panel.y.label, Scale::Bands(labels[..rows].to_vec()));
    Some(Panel {
        y,
        marks: panel
            .marks
            .iter()
            .filter(|mark| is_above(mark, end))
            .cloned()
            .collect(),
        ..panel.clone()
    })
}

/// Returns whether a mark of a panel with bands starts before the band `end`.
fn is_above(mark: &Mark, end: f64) -> bool {
    match mark {
        Mark::Block(_, ys, _) => ys.0 < end,
        Mark::Text(at, ..) => at.1 < end,
        Mark::Points(points, ..) => points.iter().all(|point| point.1 < end),
        Mark::Line(..) => true,
    }
}

/// Writes the horizontal scale below the marks. Labels that would overlap are left out.
fn below(guide: &Guide, frame: Rect, buffer: &mut Buffer, dim: Style) {
    let mut free = frame.x;
    let most = match &guide.scale {
        Scale::Bands(_) => usize::from(frame.width / 4),
        _ => usize::from(frame.width / 12).max(2),
    };
    let ticks = guide.scale.ticks(most);
    let room = usize::from(frame.width) / ticks.len().max(1);
    for (value, label) in ticks {
        let Some(position) = guide
            .scale
            .place(value)
            .filter(|position| (0.0..=1.0).contains(position))
        else {
            continue;
        };
        let label = elide(&plain(&label), room.saturating_sub(1).max(3)).into_owned();
        let wide = width(&label) as u16;
        let middle = frame.x + (position * f64::from(frame.width)) as u16;
        let column = middle
            .saturating_sub(wide / 2)
            .clamp(frame.x, (frame.right().saturating_sub(wide)).max(frame.x));
        if column >= free {
            buffer.set_stringn(column, frame.bottom(), &label, usize::from(wide), dim);
            free = column + wide + 1;
        }
    }
}

/// Draws the marks: blocks first, lines and points over them, then crosses and texts.
fn marks(panel: &Panel, frame: Rect, buffer: &mut Buffer, colours: bool) {
    for mark in &panel.marks {
        if let Mark::Block(xs, ys, tone) = mark
            && let (Some(a), Some(b)) = (unit(panel, (xs.0, ys.0)), unit(panel, (xs.1, ys.1)))
        {
            let sign = if colours { "█" } else { shade(*tone) };
            block(frame, buffer, (a, b), (sign, colour(*tone)));
        }
    }
    let canvas = Canvas::default()
        .marker(Marker::Braille)
        .x_bounds([0.0, 1.0])
        .y_bounds([0.0, 1.0])
        .paint(|context| {
            for mark in &panel.marks {
                match mark {
                    Mark::Line(points, tone, _) => {
                        for pair in points.windows(2) {
                            if let (Some(a), Some(b)) = (unit(panel, pair[0]), unit(panel, pair[1]))
                            {
                                context.draw(&Line {
                                    x1: a.0,
                                    y1: a.1,
                                    x2: b.0,
                                    y2: b.1,
                                    color: colour(*tone),
                                });
                            }
                        }
                    }
                    Mark::Points(points, tone, shape) if *shape != Shape::Cross => {
                        let coords: Vec<(f64, f64)> =
                            points.iter().filter_map(|at| unit(panel, *at)).collect();
                        context.draw(&Points {
                            coords: &coords,
                            color: colour(*tone),
                        });
                    }
                    _ => {}
                }
            }
        });
    canvas.render(frame, buffer);
    for mark in &panel.marks {
        match mark {
            Mark::Points(points, tone, shape)
                if !colours && *shape != Shape::Cross && sign(*tone).is_some() =>
            {
                signs(panel, frame, buffer, points, *tone);
            }
            // Among several lines the dots alone do not tell which is which.
            Mark::Line(points, tone, _) if !colours && sign(*tone).is_some() => {
                let stride = points.len().div_ceil(LINE_SIGNS).max(1);
                let some: Vec<_> = points.iter().copied().step_by(stride).collect();
                signs(panel, frame, buffer, &some, *tone);
            }
            Mark::Points(points, tone, Shape::Cross) => {
                for at in points
                    .iter()
                    .filter_map(|at| cell(frame, unit(panel, *at)?))
                {
                    buffer.set_string(at.0, at.1, "×", Style::new().fg(colour(*tone)));
                }
            }
            Mark::Text(at, label, side, tone) => {
                let Some((column, row)) = unit(panel, *at).and_then(|point| cell(frame, point))
                else {
                    continue;
                };
                let label = plain(label).into_owned();
                let wide = width(&label) as u16;
                let column = match side {
                    Side::Right => column + 1,
                    Side::Middle => column.saturating_sub(wide / 2),
                    Side::Left => column.saturating_sub(wide + 1),
                };
                let column = column.max(frame.x);
                let room = frame.right().saturating_sub(column);
                let label = elide(&label, usize::from(room)).into_owned();
                buffer.set_stringn(
                    column,
                    row,
                    &label,
                    usize::from(room),
                    Style::new().fg(colour(*tone)),
                );
            }
            _ => {}
        }
    }
}

/// Maximum number of signs along a line.
const LINE_SIGNS: usize = 12;

/// Writes the sign of a tone at some points.
fn signs(panel: &Panel, frame: Rect, buffer: &mut Buffer, points: &[(f64, f64)], tone: Tone) {
    let Some(sign) = sign(tone) else { return };
    for point in points {
        if let Some(place) = unit(panel, *point).and_then(|place| cell(frame, place)) {
            buffer.set_string(place.0, place.1, sign, Style::new());
        }
    }
}

/// Returns a point of the data in units of the panel: 0 to 1 from the left and from the bottom.
/// `None` if a scale has no place for it, such as a negative number on a log scale.
fn unit(panel: &Panel, (x, y): (f64, f64)) -> Option<(f64, f64)> {
    let (x, y) = (panel.x.scale.place(x)?, panel.y.scale.place(y)?);
    // Bands run from the top down.
    let is_flipped = matches!(panel.y.scale, Scale::Bands(_));
    Some((x, if is_flipped { 1.0 - y } else { y }))
}

/// Returns the cell of the terminal at a point in units of the panel. `None` if it is outside.
fn cell(frame: Rect, (x, y): (f64, f64)) -> Option<(u16, u16)> {
    let is_inside = (0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y);
    let column = ((x * f64::from(frame.width)) as u16).min(frame.width.saturating_sub(1));
    let row = (((1.0 - y) * f64::from(frame.height)) as u16).min(frame.height.saturating_sub(1));
    is_inside.then_some((frame.x + column, frame.y + row))
}

/// Fills a rectangle with a sign. The right end of a full one is drawn to an eighth of a column.
fn block(
    frame: Rect,
    buffer: &mut Buffer,
    (a, b): ((f64, f64), (f64, f64)),
    (sign, colour): (&str, Color),
) {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let (wide, high) = (f64::from(frame.width), f64::from(frame.height));
    let (left, right) = (
        a.0.min(b.0).clamp(0.0, 1.0) * wide,
        a.0.max(b.0).clamp(0.0, 1.0) * wide,
    );
    let (low, top) = (a.1.min(b.1).clamp(0.0, 1.0), a.1.max(b.1).clamp(0.0, 1.0));
    let first = ((1.0 - top) * high + 0.499) as u16;
    let last = (((1.0 - low) * high - 0.501).max(0.0).round() as u16).max(first);
    for row in first..=last.min(frame.height.saturating_sub(1)) {
        let (from, to) = (left.round() as u16, right.floor() as u16);
        for column in from..to.min(frame.width) {
            buffer.set_string(
                frame.x + column,
                frame.y + row,
                sign,
                Style::new().fg(colour),
            );
        }
        let is_full = sign == "█";
        let rest = match is_full {
            true => EIGHTHS[((right.fract() * 8.0) as usize).min(7)],
            false => "",
        };
        if to < frame.width && to >= from && !rest.is_empty() {
            buffer.set_string(frame.x + to, frame.y + row, rest, Style::new().fg(colour));
        } else if to <= from && from < frame.width && sign != " " {
            let narrow = if is_full { "▏" } else { sign };
            buffer.set_string(
                frame.x + from,
                frame.y + row,
                narrow,
                Style::new().fg(colour),
            );
        }
    }
}

/// Returns the lines of a buffer, with colour escapes if `colours` is set.
fn lines(buffer: &Buffer, colours: bool) -> String {
    let mut text = String::new();
    for row in buffer.area.rows() {
        let mut line = String::new();
        let mut skip = 0;
        for at in row.columns() {
            let Some(cell) = buffer.cell((at.x, at.y)) else {
                continue;
            };
            // A wide character occupies further cells, which are skipped.
            if skip > 0 {
                skip -= 1;
                continue;
            }
            skip = width(cell.symbol()).saturating_sub(1);
            let plain = cell.fg == Color::Reset || cell.symbol() == " " || !colours;
            line.push_str(&if plain {
                cell.symbol().to_owned()
            } else {
                painted(cell.symbol(), cell.fg)
            });
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn painted(text: &str, colour: Color) -> String {
    let code = match colour {
        Color::Blue => "34".to_owned(),
        Color::Green => "32".to_owned(),
        Color::Cyan => "36".to_owned(),
        Color::Red => "31".to_owned(),
        Color::Yellow => "33".to_owned(),
        Color::Magenta => "35".to_owned(),
        Color::DarkGray => "90".to_owned(),
        Color::Indexed(shade) => format!("38;5;{shade}"),
        _ => return text.to_owned(),
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::report::plots::figure::{Figure, Guide, Mark, Panel, Scale, Shape, Side, Tone};

    #[test]
    fn bars_are_as_long_as_their_values_and_escape_sequences_in_names_are_neutralised() {
        let mut figure = Figure::new("evil\x1b[2J");
        figure.panels.push(Panel {
            title: String::new(),
            x: Guide::new("", Scale::Linear(0.0, 1.0)),
            y: Guide::new("", Scale::Bands(vec!["a\x07".into(), "größe".into()])),
            marks: vec![
                Mark::Block((0.0, 0.5), (0.2, 0.8), Tone::Usual),
                Mark::Block((0.0, 1.0), (1.2, 1.8), Tone::Usual),
                Mark::Text((0.5, 0.5), "x\n".into(), Side::Right, Tone::Ink),
            ],
        });
        let shown = render(&figure, 46, false);
        assert_eq!(shown.lines().next(), Some("evil\\x1b[2J"));
        let lengths: Vec<usize> = shown
            .lines()
            .skip(1)
            .take(2)
            .map(|line| line.matches('█').count())
            .collect();
        assert_eq!(lengths, [20, 40], "{shown}");
        assert!(
            shown.contains("a\\x07") && !shown.contains('\x1b'),
            "{shown}"
        );
    }

    #[test]
    fn without_colours_tones_differ_in_shape_and_shade_and_the_legend_says_how() {
        let mut figure = Figure::new("map");
        let heat = [0.0, 0.25, 0.5, 1.0];
        let blocks = heat.iter().enumerate().map(|(column, heat)| {
            let left = column as f64 * 0.25;
            Mark::Block((left, left + 0.25), (0.0, 1.0), Tone::Heat(*heat))
        });
        figure.panels.push(Panel {
            title: String::new(),
            x: Guide::new("", Scale::Linear(0.0, 1.0)),
            y: Guide::new("", Scale::Linear(0.0, 1.0)),
            marks: blocks
                .chain([
                    Mark::Points(vec![(0.5, 0.5)], Tone::Best, Shape::Dot),
                    Mark::Points(vec![(0.9, 0.5)], Tone::Paused, Shape::Dot),
                ])
                .collect(),
        });
        figure.legend = vec![
            (Tone::Best, "best".to_owned()),
            (Tone::Paused, "paused".to_owned()),
        ];
        let shown = render(&figure, 60, false);
        for sign in ["░", "▒", "█", "◆ best", "△ paused"] {
            assert!(shown.contains(sign), "{sign}: {shown}");
        }
        let map: String = shown.lines().skip(2).collect();
        assert!(map.contains('◆') && map.contains('△'), "{shown}");
        assert!(!shown.contains('\x1b'), "{shown}");
    }
}
