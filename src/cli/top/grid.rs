//! A grid of panels: as many as fit, the others on further pages.

use crate::cli::plot::terminal;
use crate::report::plots::figure::Panel;
use crate::report::text::elide;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::ops::Range;

/// The smallest size of a panel that can be read, in columns and rows.
const SMALLEST: (u16, u16) = (38, 9);

/// Returns the number of panels that stand beside and below each other in an area. A single panel
/// is drawn in the smallest area too.
fn shape(area: Rect, panels: usize) -> (u16, u16) {
    let columns = (area.width / SMALLEST.0).max(1);
    let rows = (area.height / SMALLEST.1).max(1);
    let count = u16::try_from(panels).unwrap_or(u16::MAX).max(1);
    let columns = columns.min(count);
    (columns, rows.min(count.div_ceil(columns)))
}

/// Returns the number of pages of the panels.
pub(super) fn pages(area: Rect, panels: usize) -> usize {
    let (columns, rows) = shape(area, panels);
    panels.div_ceil(usize::from(columns * rows)).max(1)
}

/// Returns the range of the panels on a page.
pub(super) fn on_page(area: Rect, panels: usize, page: usize) -> Range<usize> {
    let (columns, rows) = shape(area, panels);
    let each = usize::from(columns * rows);
    (page * each).min(panels)..((page + 1) * each).min(panels)
}

/// Draws the panels of a page.
pub(super) fn draw(panels: &[Panel], area: Rect, buffer: &mut Buffer, colours: bool) {
    if area.is_empty() {
        return;
    }
    let (columns, rows) = shape(area, panels.len());
    let (width, height) = (area.width / columns, area.height / rows);
    for (index, panel) in panels.iter().enumerate() {
        let (column, row) = (index as u16 % columns, index as u16 / columns);
        let place = Rect {
            x: area.x + column * width,
            y: area.y + row * height,
            // A blank column separates neighbours.
            width: width - u16::from(column + 1 < columns),
            height,
        };
        let panel = Panel {
            title: elide(&panel.title, usize::from(place.width)).into_owned(),
            ..panel.clone()
        };
        terminal::draw(&panel, place, buffer, colours);
    }
}

#[cfg(test)]
mod tests {
    use super::{on_page, pages, shape};
    use ratatui::layout::Rect;

    #[test]
    fn a_larger_area_has_more_panels_and_fewer_pages() {
        let area = |width, height| Rect::new(0, 0, width, height);
        assert_eq!(shape(area(80, 9), 6), (2, 1));
        assert_eq!(pages(area(80, 9), 6), 3);
        assert_eq!(on_page(area(80, 9), 5, 2), 4..5);
        assert_eq!(shape(area(120, 20), 6), (3, 2));
        assert_eq!(pages(area(120, 20), 6), 1);
        assert_eq!(shape(area(200, 40), 1), (1, 1));
        assert_eq!(pages(area(1, 1), 0), 1);
    }
}
