//! Formats numbers, durations and sizes for people.

use std::time::Duration;

/// Returns a number with about five significant digits: `0.04123`, `12.345`, `1.5e-7`, `nan`.
#[must_use]
pub fn short(number: f64) -> String {
    if !number.is_finite() {
        return not_finite(number).to_owned();
    }
    let size = number.abs();
    // A whole number of this size needs no decimals and no exponent.
    if number.fract() == 0.0 && size < 1e9 {
        return format!("{number}");
    }
    // Very small and very large numbers are shorter with an exponent.
    if !(1e-4..1e9).contains(&size) {
        let (mantissa, exponent) = split(number);
        return format!("{mantissa}e{exponent}");
    }
    trim(&format!("{number:.*}", decimals(size))).to_owned()
}

/// Returns the value of a parameter with four significant digits, for a table: `0.009022`,
/// `9.289e-5`, `64`.
#[must_use]
pub fn brief(number: f64) -> String {
    let rounded: f64 = format!("{number:.3e}").parse().unwrap_or(number);
    if rounded.fract() == 0.0 || !number.is_finite() {
        short(number)
    } else {
        format!("{rounded:?}")
    }
}

/// Returns the cells of a column of numbers; `None` becomes an empty cell. All numbers get the same
/// count of decimals, which shows five significant digits of the largest. Columns of whole numbers,
/// or with numbers too small or too large for that, are formatted number by number as in [`short`].
#[must_use]
pub fn column(numbers: &[Option<f64>]) -> Vec<String> {
    let sizes: Vec<f64> = numbers
        .iter()
        .flatten()
        .filter(|number| number.is_finite())
        .map(|number| number.abs())
        .collect();
    let largest = sizes.iter().copied().fold(0.0, f64::max);
    let smallest = sizes
        .iter()
        .copied()
        .filter(|size| *size > 0.0)
        .fold(f64::INFINITY, f64::min);
    let all_whole = sizes.iter().all(|size| size.fract() == 0.0);
    // With shared decimals a number below 0.001, or below a thousandth of the largest, would lose
    // its significant digits.
    let shares_decimals =
        !all_whole && largest < 1e7 && smallest >= largest * 1e-3 && smallest >= 1e-3;
    if !shares_decimals {
        return numbers
            .iter()
            .map(|number| number.map_or_else(String::new, short))
            .collect();
    }
    let digits = decimals(largest);
    let mut cells: Vec<_> = numbers
        .iter()
        .map(|number| match number {
            Some(number) if number.is_finite() => format!("{number:.digits$}"),
            Some(number) => short(*number),
            None => String::new(),
        })
        .collect();
    // Trailing zeros that all cells have in common are removed.
    let common_zeros = cells
        .iter()
        .filter(|cell| cell.contains('.'))
        .map(|cell| cell.len() - trim(cell).len())
        .min()
        .unwrap_or(0);
    for cell in cells.iter_mut().filter(|cell| cell.contains('.')) {
        cell.truncate(cell.len() - common_zeros);
    }
    cells
}

fn not_finite(number: f64) -> &'static str {
    if number.is_nan() {
        "nan"
    } else if number > 0.0 {
        "inf"
    } else {
        "-inf"
    }
}

/// Returns the number of decimals that shows five significant digits of `size`, from 0 to 8.
fn decimals(size: f64) -> usize {
    let magnitude = if size > 0.0 {
        size.log10().floor()
    } else {
        0.0
    };
    (4.0 - magnitude).clamp(0.0, 8.0) as usize
}

/// Splits a number into mantissa, with up to five digits, and decimal exponent.
fn split(number: f64) -> (String, String) {
    let text = format!("{number:.4e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (trim(mantissa).to_owned(), exponent.to_owned())
}

/// Returns a number rounded to `digits` significant digits.
#[must_use]
pub fn rounded(number: f64, digits: i32) -> f64 {
    let magnitude = number.abs().log10().floor();
    // Far from 1 a power of ten is not exact as a floating point number, so such values are
    // returned unrounded.
    if !magnitude.is_finite() || magnitude.abs() >= 15.0 {
        return number;
    }
    let places = digits - 1 - magnitude as i32;
    // A positive power of ten is an exact number here and a negative one is not, so divide by the
    // positive one instead of multiplying.
    let power = 10f64.powi(places.abs());
    if places >= 0 {
        (number * power).round() / power
    } else {
        (number / power).round() * power
    }
}

/// Removes trailing zeros of the decimals, and the point if nothing follows it.
fn trim(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

/// Returns a duration in its two largest units: `0.42s`, `12s`, `3m 07s`, `2h 05m`, `3d 04h`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time.is_zero() => "0s".to_owned(),
        0..10 => format!("{}s", trim(&format!("{:.2}", time.as_secs_f64()))),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// Returns a duration given in seconds, formatted as in [`duration`]. A negative or non-finite one
/// is shown as `0s`.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// Returns a size in bytes with a binary unit: `512 B`, `1.5 MiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    // The unit changes at 1000, not at 1024, so that no size needs four digits.
    while size >= 1000.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{} {}", trim(&format!("{size:.1}")), units[unit])
}

#[cfg(test)]
mod tests {
    use super::{brief, bytes, column, duration, rounded, short};
    use std::time::Duration;

    #[test]
    fn a_number_keeps_five_digits_and_no_trailing_zeros() {
        let shown: Vec<_> = [
            0.041_234_567,
            12.0,
            1e-5,
            1.23456e12,
            0.5,
            99_999.95,
            -0.25,
            f64::NAN,
        ]
        .map(short)
        .into();
        assert_eq!(
            shown,
            [
                "0.041235",
                "12",
                "1e-5",
                "1.2346e12",
                "0.5",
                "100000",
                "-0.25",
                "nan"
            ]
        );
    }

    #[test]
    fn a_number_is_rounded_to_its_significant_digits() {
        let numbers = [0.123_456_789, 123_456_789.0, -1.000_000_4e-7, 0.0, 1e300]
            .map(|number| rounded(number, 6));
        assert_eq!(numbers, [0.123_457, 123_457_000.0, -1e-7, 0.0, 1e300]);
        assert!(rounded(f64::NAN, 6).is_nan());
    }

    #[test]
    fn a_parameter_keeps_four_digits() {
        let shown = [0.009_021_87, 1.956_83e-5, 64.0, 123_456.0, 0.5, 2.0].map(brief);
        assert_eq!(shown, ["0.009022", "1.957e-5", "64", "123456", "0.5", "2"]);
    }

    #[test]
    fn the_numbers_of_a_column_have_the_same_count_of_decimals() {
        assert_eq!(
            column(&[Some(0.5), Some(0.041_234_567), None]),
            ["0.50000", "0.04123", ""]
        );
        assert_eq!(column(&[Some(0.5), Some(0.25)]), ["0.50", "0.25"]);
        assert_eq!(column(&[Some(1.0), Some(20.0)]), ["1", "20"]);
        assert_eq!(column(&[Some(1e-5), Some(0.1)]), ["1e-5", "0.1"]);
        assert_eq!(column(&[Some(f64::NAN), Some(0.5)]), ["nan", "0.5"]);
        assert_eq!(column(&[]), Vec::<String>::new());
    }

    #[test]
    fn a_time_shows_its_two_largest_units() {
        let shown = [0.0, 0.421, 9.0, 59.9, 61.0, 7500.0, 200_000.0]
            .map(|s| duration(Duration::from_secs_f64(s)));
        assert_eq!(
            shown,
            ["0s", "0.42s", "9s", "59s", "1m 01s", "2h 05m", "2d 07h"]
        );
    }

    #[test]
    fn a_size_is_shown_in_the_unit_that_fits() {
        assert_eq!(
            [0, 1023, 1536, 67_108_864].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "64 MiB"]
        );
    }
}
