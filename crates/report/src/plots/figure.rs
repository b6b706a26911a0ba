//! A plot that is ready to be drawn: panels with two scales, and marks in the units of the data.
//! The renderers choose colours and line widths.

use crate::number;

/// A plot as data, independent of the output format.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figure {
    /// The title of the plot.
    pub title: String,
    /// Notes that a reader needs: warnings, and data that were left out.
    pub notes: Vec<String>,
    /// The meaning of each tone.
    pub legend: Vec<(Tone, String)>,
    /// The panels, row by row, with [`columns`](Self::columns) panels in each row.
    pub panels: Vec<Panel>,
    /// Number of panels side by side.
    pub columns: usize,
}

/// A rectangle with two scales and marks.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// The title of the panel; empty if that of the figure says enough.
    pub title: String,
    /// The horizontal scale, from left to right.
    pub x: Guide,
    /// The vertical scale, from bottom to top. Bands run from top to bottom.
    pub y: Guide,
    /// The marks. Later ones are drawn over earlier ones.
    pub marks: Vec<Mark>,
}

/// A scale with its label.
#[derive(Debug, Clone, PartialEq)]
pub struct Guide {
    /// The name of the measured quantity; empty for no label.
    pub label: String,
    /// The mapping of values to positions, and its ticks.
    pub scale: Scale,
}

/// A mapping from values to positions along one side of a panel.
#[derive(Debug, Clone, PartialEq)]
pub enum Scale {
    /// Linear, from the first value to the second.
    Linear(f64, f64),
    /// Logarithmic, from the first value to the second. Both are positive.
    Log(f64, f64),
    /// Categories. Band number n covers the values from n to n + 1. Each band has a label.
    Bands(Vec<String>),
    /// Linear, without ticks.
    Blank(f64, f64),
}

/// The meaning of a mark. The renderer chooses the colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tone {
    /// A member of the series with this number.
    Series(usize),
    /// A trial without a special state.
    Usual,
    /// The best trial, or the line of the best so far.
    Best,
    /// A running trial.
    Live,
    /// A failed trial.
    Bad,
    /// A stopped trial.
    Stopped,
    /// A paused trial.
    Paused,
    /// Part of the background.
    Faint,
    /// Text and lines of the plot itself.
    Ink,
    /// A value between low (0) and high (1).
    Heat(f64),
}

/// Width of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// One line among many.
    Thin,
    /// One line among a few.
    Usual,
    /// A line that stands out.
    Bold,
}

/// Shape of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A disc.
    Dot,
    /// A small disc, for one point among many.
    Speck,
    /// Two crossed lines.
    Cross,
}

/// Position of a text relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// To the right of the point.
    Right,
    /// Centred on the point.
    Middle,
    /// To the left of the point.
    Left,
}

/// Something that is drawn in a panel.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A line through points. A point that is not finite interrupts it.
    Line(Vec<(f64, f64)>, Tone, Weight),
    /// Separate points.
    Points(Vec<(f64, f64)>, Tone, Shape),
    /// A filled rectangle: its left and right ends, then its bottom and top.
    Block((f64, f64), (f64, f64), Tone),
    /// A text next to a point.
    Text((f64, f64), String, Side, Tone),
}

impl Figure {
    /// Creates a figure without panels.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            columns: 1,
            ..Self::default()
        }
    }

    /// Appends a note, to be shown below the plot.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Returns whether the figure has no marks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.panels.iter().all(|panel| panel.marks.is_empty())
    }
}

impl Guide {
    /// Creates a scale with a label.
    pub fn new(label: impl Into<String>, scale: Scale) -> Self {
        Self {
            label: label.into(),
            scale,
        }
    }
}

impl Scale {
    /// Returns a linear scale over the finite values, with a margin of 4 % of their range on both
    /// sides. Without finite values it covers 0 to 1. If all values are equal the margin is a tenth
    /// of their size, but at least 0.1.
    pub fn around(values: impl IntoIterator<Item = f64>) -> Self {
        let (min, max) = bounds(values).unwrap_or((0.0, 1.0));
        let room = if max > min {
            (max - min) * 0.04
        } else {
            min.abs().max(1.0) * 0.1
        };
        Self::Linear((min - room).max(f64::MIN), (max + room).min(f64::MAX))
    }

    /// Returns a scale over the finite values. It is logarithmic if all values are positive and so
    /// unevenly spread that a linear scale would draw most of them at the same place.
    pub fn fitting(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        values.sort_by(f64::total_cmp);
        if values.is_empty() {
            return Self::around(values);
        }
        let [min, middle, max] = [0.0, 0.5, 1.0].map(|part| quantile(&values, part));
        if min > 0.0 && max / min > 50.0 && (max - min) > 12.0 * (middle - min) {
            return Self::log_around(min, max);
        }
        Self::around(values)
    }

    /// Returns a logarithmic scale with a margin on both sides. `min` must be positive.
    #[must_use]
    pub fn log_around(min: f64, max: f64) -> Self {
        let room = if max > min {
            (max / min).powf(0.04).min(2.0)
        } else {
            2.0
        };
        Self::Log(
            (min / room).max(f64::MIN_POSITIVE),
            (max * room).min(f64::MAX),
        )
    }

    /// Returns the position of a value between the start (0) and the end (1) of the scale. It is
    /// outside that range if the value is. `None` if the value is not finite or not positive on a
    /// logarithmic scale.
    #[must_use]
    pub fn place(&self, value: f64) -> Option<f64> {
        let place = match self {
            Self::Linear(min, max) | Self::Blank(min, max) => (value - min) / (max - min),
            Self::Log(min, max) if value > 0.0 => (value / min).ln() / (max / min).ln(),
            Self::Log(..) => return None,
            Self::Bands(labels) => value / labels.len().max(1) as f64,
        };
        place.is_finite().then_some(place)
    }

    /// Returns about `most` values to mark on the scale, with their labels.
    #[must_use]
    pub fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        match self {
            Self::Blank(..) => Vec::new(),
            Self::Linear(min, max) => labelled(even(*min, *max, most)),
            Self::Log(min, max) => labelled(decades(*min, *max, most)),
            Self::Bands(labels) => {
                let every = labels.len().div_ceil(most.max(1)).max(1);
                let bands = labels.iter().enumerate().step_by(every);
                bands
                    .map(|(band, label)| (band as f64 + 0.5, label.clone()))
                    .collect()
            }
        }
    }
}

/// Adds a label to each value of a tick.
fn labelled(values: Vec<f64>) -> Vec<(f64, String)> {
    let ticks = values
        .into_iter()
        .map(|value| (value, number::short(value)));
    ticks.collect()
}

/// Returns the value at a part (0 to 1) of sorted values, of which there is at least one.
pub(super) fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

/// Returns the smallest and the largest finite value.
pub(crate) fn bounds(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|value| value.is_finite());
    finite.fold(None, |bounds, value| match bounds {
        Some((min, max)) => Some((f64::min(min, value), f64::max(max, value))),
        None => Some((value, value)),
    })
}

/// Returns about `most` round numbers in a range, at even distances.
fn even(min: f64, max: f64, most: usize) -> Vec<f64> {
    let width = max - min;
    if !(width.is_finite() && width > 0.0) {
        return vec![min];
    }
    let rough = width / most.max(2) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    let first = (min / step).ceil();
    let count = ((max / step).floor() - first).clamp(-1.0, 100.0) as i64 + 1;
    // Rounding again turns 0.30000000000000004 into 0.3.
    let unit = power / 10.0;
    (0..count)
        .map(|index| (first + index as f64) * step)
        .map(|value| (value / unit).round() * unit)
        .collect()
}

/// Returns the powers of ten in a range, or round numbers between them if there are fewer than
/// three.
fn decades(min: f64, max: f64, most: usize) -> Vec<f64> {
    let (from, to) = (min.log10().ceil() as i32, max.log10().floor() as i32);
    if to - from >= 2 {
        let every = ((to - from + 1) as usize).div_ceil(most.max(1)).max(1);
        return (from..=to)
            .step_by(every)
            .map(|power| 10f64.powi(power))
            .collect();
    }
    let digits: &[f64] = if most >= 6 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0, 3.0]
    };
    let values: Vec<f64> = (from - 1..=to)
        .flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)))
        .filter(|value| (min..=max).contains(value))
        .collect();
    // A narrow range may contain fewer than two of these values, so it gets linear ticks.
    if values.len() >= 2 {
        values
    } else {
        even(min, max, most.min(4))
    }
}

#[cfg(test)]
mod tests {
    use super::Scale;

    fn texts(scale: &Scale, most: usize) -> Vec<String> {
        scale
            .ticks(most)
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(
            texts(&Scale::Linear(0.0, 1.0), 5),
            ["0", "0.2", "0.4", "0.6", "0.8", "1"]
        );
        assert_eq!(
            texts(&Scale::Linear(-0.013, 0.31), 4),
            ["0", "0.1", "0.2", "0.3"]
        );
        assert_eq!(
            texts(&Scale::Log(1e-5, 0.1), 6),
            ["1e-5", "0.0001", "0.001", "0.01", "0.1"]
        );
        assert_eq!(texts(&Scale::Log(8.0, 128.0), 6), ["10", "20", "50", "100"]);
        assert_eq!(
            texts(&Scale::Linear(0.0, 100.0), 4),
            ["0", "25", "50", "75", "100"]
        );
        assert_eq!(texts(&Scale::Linear(0.7, 1.3), 3), ["0.75", "1", "1.25"]);
        assert_eq!(texts(&Scale::Linear(3.0, 3.0), 4), ["3"]);
    }

    #[test]
    fn a_scale_survives_values_it_cannot_show() {
        let scale = Scale::around([f64::NAN, 1.0, f64::INFINITY, 1.0]);
        assert!(
            scale
                .place(1.0)
                .is_some_and(|place| (place - 0.5).abs() < 1e-12)
        );
        assert_eq!(scale.place(f64::NAN), None);
        assert_eq!(Scale::Log(1.0, 10.0).place(0.0), None);
        assert_eq!(Scale::around([]), Scale::Linear(-0.04, 1.04));
        assert!(Scale::around([f64::MAX, f64::MIN]).ticks(5).len() < 20);
    }
}
