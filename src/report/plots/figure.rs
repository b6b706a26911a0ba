//! A plot ready to be drawn: panels with two scales and marks in the units of the data. What a
//! colour or a line width is, the drawer knows.

use crate::report::number;

/// A plot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figure {
    /// What it shows.
    pub title: String,
    /// What has to be known to read it rightly: cautions, what was left out.
    pub notes: Vec<String>,
    /// What the colours stand for.
    pub legend: Vec<(Tone, String)>,
    /// One below the other, or side by side if [`columns`](Self::columns) says so.
    pub panels: Vec<Panel>,
    /// How many panels stand side by side.
    pub columns: usize,
}

/// A rectangle with two scales.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What it shows, if that is not the figure's title.
    pub title: String,
    /// Left to right.
    pub x: Guide,
    /// Bottom to top; bands run from top to bottom.
    pub y: Guide,
    /// What is drawn, the later over the earlier.
    pub marks: Vec<Mark>,
}

/// A scale with its label.
#[derive(Debug, Clone, PartialEq)]
pub struct Guide {
    /// What it measures.
    pub label: String,
    /// Its values.
    pub scale: Scale,
}

/// Where a value stands along a side.
#[derive(Debug, Clone, PartialEq)]
pub enum Scale {
    /// Evenly.
    Linear(f64, f64),
    /// Evenly in the logarithm.
    Log(f64, f64),
    /// Band number n holds the values from n to n + 1; each has a label.
    Bands(Vec<String>),
    /// Evenly, with nothing written beside it.
    Blank(f64, f64),
}

/// What something means. The drawer picks the colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tone {
    /// The series of this number.
    Series(usize),
    /// Like the others.
    Usual,
    /// The best.
    Best,
    /// It still runs.
    Live,
    /// It failed.
    Bad,
    /// It was stopped.
    Stopped,
    /// It waits.
    Paused,
    /// In the background.
    Faint,
    /// Text and lines.
    Ink,
    /// From low (0) to high (1).
    Heat(f64),
}

/// How wide a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// One of many.
    Thin,
    /// One of a few.
    Usual,
    /// The one that matters.
    Bold,
}

/// What a point looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A disc.
    Dot,
    /// A small disc, one of many.
    Speck,
    /// Two crossed lines.
    Cross,
}

/// Where a text stands relative to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// To its right.
    Right,
    /// Around it.
    Middle,
    /// To its left.
    Left,
}

/// Something drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A line from point to point. A point that is not finite interrupts it.
    Line(Vec<(f64, f64)>, Tone, Weight),
    /// Points.
    Points(Vec<(f64, f64)>, Tone, Shape),
    /// A filled rectangle: its left and right, its bottom and top.
    Block((f64, f64), (f64, f64), Tone),
    /// A text.
    Text((f64, f64), String, Side, Tone),
}

impl Figure {
    /// Begins a figure.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            columns: 1,
            ..Self::default()
        }
    }

    /// Adds something that has to be known.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Returns whether nothing would be seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.panels.iter().all(|panel| panel.marks.is_empty())
    }
}

impl Guide {
    /// Names a scale.
    pub fn new(label: impl Into<String>, scale: Scale) -> Self {
        Self {
            label: label.into(),
            scale,
        }
    }
}

impl Scale {
    /// Returns a linear scale over the finite ones of these values, with a little room on both
    /// sides.
    pub fn around(values: impl IntoIterator<Item = f64>) -> Self {
        let (min, max) = bounds(values).unwrap_or((0.0, 1.0));
        let room = if max > min {
            (max - min) * 0.04
        } else {
            min.abs().max(1.0) * 0.1
        };
        Self::Linear((min - room).max(f64::MIN), (max + room).min(f64::MAX))
    }

    /// Returns a scale over the finite ones of these values: logarithmic if they are positive and
    /// so uneven that a linear one would show most of them as one.
    pub fn fitting(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        values.sort_by(f64::total_cmp);
        let at = |part: f64| {
            values
                .get(((values.len().max(1) - 1) as f64 * part) as usize)
                .copied()
        };
        if let (Some(min), Some(middle), Some(max)) = (at(0.0), at(0.5), at(1.0))
            && min > 0.0
            && max / min > 50.0
            && (max - min) > 12.0 * (middle - min)
        {
            return Self::log_around(min, max);
        }
        Self::around(values)
    }

    /// Returns a logarithmic scale with a little room on both sides.
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

    /// Returns how far a value is from the start (0) to the end (1); `None` if it is not finite or
    /// has no place.
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

    /// Returns at most about `most` values to write beside it, with their texts.
    #[must_use]
    pub fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        let shown = |values: Vec<f64>| {
            values
                .into_iter()
                .map(|value| (value, number::short(value)))
                .collect()
        };
        match self {
            Self::Blank(..) => Vec::new(),
            Self::Linear(min, max) => shown(even(*min, *max, most)),
            Self::Log(min, max) => shown(decades(*min, *max, most)),
            Self::Bands(labels) => {
                let every = labels.len().div_ceil(most.max(1)).max(1);
                let bands = labels.iter().enumerate().step_by(every);
                bands
                    .map(|(at, label)| (at as f64 + 0.5, label.clone()))
                    .collect()
            }
        }
    }
}

/// Returns the smallest and largest finite value.
pub(super) fn bounds(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|value| value.is_finite());
    finite.fold(None, |found, value| match found {
        Some((min, max)) => Some((f64::min(min, value), f64::max(max, value))),
        None => Some((value, value)),
    })
}

/// Returns round numbers in a range.
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
    // Rounded again, so that 0.30000000000000004 is 0.3.
    let unit = power / 10.0;
    (0..count)
        .map(|at| (first + at as f64) * step)
        .map(|value| (value / unit).round() * unit)
        .collect()
}

/// Returns powers of ten in a range; round numbers between them if there are too few.
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
    let found: Vec<f64> = (from - 1..=to)
        .flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)))
        .filter(|value| (min..=max).contains(value))
        .collect();
    if found.len() >= 2 {
        found
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
