//! Judges recorded courses: mean rank, area under the logarithm of the regret with paired bootstrap
//! intervals, and the share of stuck runs.

use rand::RngExt;
use std::collections::BTreeMap;
use swath_numerics::stream::{Purpose, stream};

/// The logarithm of the regret is not followed below this share of the scale of a task: nobody
/// notices such differences.
const LEAST_REGRET: f64 = 1e-5;
/// A run is stuck if its final regret exceeds that of the median of the other seeds by this factor.
const STUCK_FACTOR: f64 = 5.0;
/// The least regret of a stuck run.
const STUCK_REGRET: f64 = 0.05;
/// Number of bootstrap samples.
const SAMPLES: usize = 1000;

/// One run of a variant.
struct Run {
    kind: String,
    scale: f64,
    milliseconds: f64,
    regrets: Vec<f64>,
}

impl Run {
    /// Returns the decimal logarithm of the regret relative to the scale of the task.
    fn log_regret(&self, after: usize) -> f64 {
        let regret = self.regrets[after.clamp(1, self.regrets.len()) - 1];
        (regret / self.scale).clamp(LEAST_REGRET, 10.0).log10()
    }

    /// Returns the mean of the logarithm of the regret after trials `from` to `to`.
    fn area(&self, from: usize, to: usize) -> f64 {
        (from..=to).map(|after| self.log_regret(after)).sum::<f64>() / (to - from + 1) as f64
    }
}

/// The runs of one variant by task and seed.
type Runs = BTreeMap<(String, u64), Run>;

/// The moments of a course that a comparison shows.
pub(crate) struct Moments {
    /// The ranks are shown after so many trials.
    pub(crate) ranks: Vec<usize>,
    /// The mean differences to the first variant are shown over these trials, first and last.
    pub(crate) spans: Vec<(usize, usize)>,
}

/// Prints the comparison of the recorded files. Runs that are not in all files do not count.
pub(crate) fn print(files: &[String], moments: fn(usize) -> Moments) {
    let mut variants: Vec<Runs> = files.iter().map(|file| read(file)).collect();
    let common: Vec<(String, u64)> = variants[0]
        .keys()
        .filter(|key| variants.iter().all(|runs| runs.contains_key(*key)))
        .cloned()
        .collect();
    for runs in &mut variants {
        runs.retain(|key, _| common.contains(key));
    }
    // A file may have been played to a smaller budget than the others.
    let lengths = variants.iter().flat_map(Runs::values);
    let trials = lengths.map(|run| run.regrets.len()).min();
    let trials = trials.expect("the files have runs in common");
    let Moments { ranks, spans } = moments(trials);
    println!(
        "{} runs of {trials}; ranks after {ranks:?}; differences of the mean over {spans:?}",
        common.len()
    );
    println!("to the first variant, in decades of regret, with 95 % intervals\n");
    let places: Vec<Vec<f64>> = ranks
        .iter()
        .map(|after| mean_ranks(&variants, *after))
        .collect();
    for (at, (file, runs)) in files.iter().zip(&variants).enumerate() {
        let ranks: String = places
            .iter()
            .map(|own| format!(" {:5.2}", own[at]))
            .collect();
        let differences: String = spans
            .iter()
            .map(|(from, to)| interval(&differences(&variants[0], runs, *from, *to)))
            .map(|interval| format!("  {interval}"))
            .collect();
        let milliseconds =
            runs.values().map(|run| run.milliseconds).sum::<f64>() / runs.len() as f64;
        println!(
            "{:24}{ranks}{differences}  stuck {:5.3}  {milliseconds:5.2} ms",
            name(file),
            stuck_share(runs),
        );
    }
    print_kinds(files, &variants, trials);
}

/// Prints the median final regret of each kind and task, and the stuck share by kind.
fn print_kinds(files: &[String], variants: &[Runs], trials: usize) {
    let names: String = files
        .iter()
        .map(|file| format!(" {:>20}", name(file)))
        .collect();
    println!("\n{:24}{names}   mean final decades (area), stuck", "kind");
    let mut kinds: Vec<&String> = variants[0].values().map(|run| &run.kind).collect();
    kinds.sort();
    kinds.dedup();
    for kind in kinds {
        let cells: String = variants
            .iter()
            .map(|runs| {
                let own: Vec<&Run> = runs.values().filter(|run| run.kind == *kind).collect();
                let count = own.len() as f64;
                let last = own.iter().map(|run| run.log_regret(trials)).sum::<f64>() / count;
                let area = own.iter().map(|run| run.area(1, trials)).sum::<f64>() / count;
                let stuck = stuck_tasks(runs)
                    .filter(|(other, _)| *other == kind)
                    .fold((0, 0), |sum, (_, stuck)| (sum.0 + stuck.0, sum.1 + stuck.1));
                format!(" {last:6.2} ({area:5.2}) {:3}", stuck.0)
            })
            .collect();
        println!("{kind:24}{cells}");
    }
    println!();
    let mut tasks: Vec<&String> = variants[0].keys().map(|(task, _)| task).collect();
    tasks.dedup();
    for task in tasks {
        let cells: String = variants
            .iter()
            .map(|runs| {
                let own: Vec<&Run> = runs_of(runs, task).collect();
                let last: Vec<f64> = own.iter().map(|run| run.regrets[trials - 1]).collect();
                let worst = last.iter().copied().fold(0.0, f64::max);
                format!(" {:10.2e} {worst:9.1e}", median(last))
            })
            .collect();
        println!("{task:24}{cells}");
    }
}

/// Reads the lines that `play` has written.
fn read(file: &str) -> Runs {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let lines = text.lines().map(|line| line.split('\t').collect());
    lines
        .filter(|fields: &Vec<&str>| fields.len() > 5)
        .map(|fields| {
            let run = Run {
                kind: fields[1].to_owned(),
                scale: parse(fields[3]),
                milliseconds: parse(fields[4]),
                regrets: fields[5..].iter().map(|field| parse(field)).collect(),
            };
            ((fields[0].to_owned(), parse(fields[2]) as u64), run)
        })
        .collect()
}

fn parse(field: &str) -> f64 {
    field.parse().unwrap_or(f64::INFINITY)
}

/// Returns the name of a variant: that of its file.
fn name(file: &str) -> &str {
    let file = file.rsplit('/').next().unwrap_or(file);
    file.strip_suffix(".csv").unwrap_or(file)
}

fn runs_of<'a>(runs: &'a Runs, task: &'a str) -> impl Iterator<Item = &'a Run> {
    runs.iter()
        .filter(move |((other, _), _)| other == task)
        .map(|(_, run)| run)
}

/// Returns the mean rank of each variant after so many trials.
fn mean_ranks(variants: &[Runs], after: usize) -> Vec<f64> {
    let mut sums = vec![0.0; variants.len()];
    for key in variants[0].keys() {
        let regrets: Vec<f64> = variants
            .iter()
            .map(|runs| runs[key].log_regret(after))
            .collect();
        for (sum, own) in sums.iter_mut().zip(&regrets) {
            let better = regrets.iter().filter(|other| *other < own).count() as f64;
            let equal = regrets.iter().filter(|other| *other == own).count() as f64;
            *sum += better + (equal + 1.0) / 2.0;
        }
    }
    sums.iter()
        .map(|sum| sum / variants[0].len() as f64)
        .collect()
}

/// Returns the differences of area between two variants, a list for each task.
fn differences(base: &Runs, runs: &Runs, from: usize, to: usize) -> Vec<Vec<f64>> {
    let mut tasks: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (key, run) in runs {
        let difference = run.area(from, to) - base[key].area(from, to);
        tasks.entry(&key.0).or_default().push(difference);
    }
    tasks.into_values().collect()
}

/// Returns the mean of the tasks' means and its 95 % interval, by drawing tasks and then seeds.
fn interval(differences: &[Vec<f64>]) -> String {
    let total: f64 = differences.iter().map(|own| mean(own)).sum();
    let mut rng = stream(1, Purpose::Measure, 7);
    let mut means: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let sum: f64 = (0..differences.len())
                .map(|_| {
                    let task = &differences[rng.random_range(0..differences.len())];
                    let drawn = (0..task.len()).map(|_| task[rng.random_range(0..task.len())]);
                    drawn.sum::<f64>() / task.len() as f64
                })
                .sum();
            sum / differences.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    format!(
        "{:+7.3} ({:+.3}, {:+.3})",
        total / differences.len() as f64,
        means[SAMPLES / 40],
        means[SAMPLES - 1 - SAMPLES / 40]
    )
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) {
        (values[half - 1] + values[half]) / 2.0
    } else {
        values[half]
    }
}

/// Returns the share of stuck runs.
fn stuck_share(runs: &Runs) -> f64 {
    let (stuck, all) =
        stuck_tasks(runs).fold((0, 0), |sum, (_, task)| (sum.0 + task.0, sum.1 + task.1));
    stuck as f64 / all as f64
}

/// Returns the kind of each task with the numbers of its stuck runs and of all.
fn stuck_tasks(runs: &Runs) -> impl Iterator<Item = (&str, (usize, usize))> {
    let mut tasks: BTreeMap<&str, (&str, Vec<f64>)> = BTreeMap::new();
    for ((task, _), run) in runs {
        let entry = tasks.entry(task).or_insert((&run.kind, Vec::new()));
        entry.1.extend(run.regrets.last());
    }
    tasks.into_values().map(|(kind, last)| {
        let stuck = (0..last.len()).filter(|own| is_stuck(&last, *own)).count();
        (kind, (stuck, last.len()))
    })
}

fn is_stuck(last: &[f64], own: usize) -> bool {
    let mut others = last.to_vec();
    let regret = others.remove(own);
    !others.is_empty() && regret > STUCK_REGRET && regret > STUCK_FACTOR * median(others)
}
