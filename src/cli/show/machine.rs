//! The use of the machine by a trial over time.

use super::heading;
use crate::cli::detail::{Series, read_series};
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::report::number;
use crate::report::table::{Column, RowTone, Table};
use std::path::Path;

/// Maximum width of a course in columns.
const COLUMNS: usize = 24;

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Prints how the trial with this folder used processor, memory, GPUs and disk: the course of each
/// measure, its mean and its largest value. Prints nothing for a trial without samples.
pub(super) fn show_use(out: &mut Output, folder: &Path) -> Result<(), Failure> {
    let series = read_series(&folder.join("metrics/system.json"), "system");
    let Some((end, _)) = series.first().and_then(|series| series.points.last()) else {
        return Ok(());
    };
    let time = number::seconds(end.round());
    heading(out, &format!("use of the machine over {time}"))?;
    let mut table = Table::new(vec![RowTone::Usual; series.len()]);
    let names = series.iter().map(|series| format!("  {}", series.metric));
    table.push(Column::texts("  measure", names).keep());
    table.push(Column::texts("from 0 to the largest", series.iter().map(course)).keep());
    let means = series.iter().map(mean).map(number::brief);
    table.push(Column::numbers("mean", means).keep());
    let peaks = series.iter().map(largest).map(number::brief);
    table.push(Column::numbers("largest", peaks).keep());
    Ok(table.render(out.width, out.paint).write(&mut out.stdout)?)
}

fn mean(series: &Series) -> f64 {
    let values = series.points.iter().map(|point| point.1);
    values.sum::<f64>() / series.points.len().max(1) as f64
}

fn largest(series: &Series) -> f64 {
    let values = series.points.iter().map(|point| point.1);
    values.fold(0.0, f64::max)
}

/// Returns the course of a measure as a row of bars, each the mean of as many samples.
fn course(series: &Series) -> String {
    let most = largest(series);
    let each = series.points.len().div_ceil(COLUMNS).max(1);
    let bars = series.points.chunks(each).map(|points| {
        let mean = points.iter().map(|point| point.1).sum::<f64>() / points.len() as f64;
        let share = if most > 0.0 { mean / most } else { 0.0 };
        let last = LEVELS.len() - 1;
        LEVELS[((share * last as f64).round() as usize).min(last)]
    });
    bars.collect()
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, show_use};
    use crate::cli::output::captured;

    #[test]
    fn the_use_of_the_machine_is_shown_with_its_course() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics/system.json");
        let (mut out, shown, _) = captured::output(Some(80));
        show_use(&mut out, folder.path()).unwrap();
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let rows = (0..100).map(|index| {
            let busy = if index < 50 { 0 } else { 80 };
            format!("{{\"cpu_percent\": {busy}, \"at\": {}}}\n", 1000 + index)
        });
        std::fs::write(&path, rows.collect::<String>()).unwrap();
        show_use(&mut out, folder.path()).unwrap();
        let text = shown.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "use of the machine over 1m 39s", "{text}");
        let row: Vec<&str> = lines[3].split_whitespace().collect();
        assert_eq!(
            (row[0], row[2], row[3]),
            ("cpu_percent", "40", "80"),
            "{text}"
        );
        let bars = row[1];
        assert!(bars.chars().count() <= COLUMNS, "{text}");
        assert!(bars.starts_with('▁') && bars.ends_with('█'), "{text}");
        assert_eq!(lines.len(), 4, "nothing is printed without samples: {text}");
    }
}
