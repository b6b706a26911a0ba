//! The hint that the best result may be luck.

use super::quote;
use crate::journal::StudyDir;
use crate::report::number;
use crate::report::text::plain;
use crate::sampler::LuckyBest;
use crate::study::Study;
use crate::sweep::Sweep;

/// Returns a sentence if a model of noisy results expects clearly more of another trial than of the
/// best one, with the ways to find out. `None` if the sweep file cannot be read.
pub(super) fn hint(dir: &StudyDir, study: &Study) -> Option<String> {
    let sweep = Sweep::read_for_function(&dir.sweep_toml()).ok()?;
    let luck = LuckyBest::of(&sweep.setting(1), study)?;
    let metric = &study.header().objectives.first()?.metric;
    let text = format!(
        "trial {} may be luck: a model of {} trials, with a noise of {} in each result, expects \
         {metric} {} with its parameters and {} with those of trial {}; {}",
        luck.best,
        luck.trials,
        shown(luck.noise),
        shown(luck.best_mean),
        shown(luck.rival_mean),
        luck.rival,
        advice(&sweep, study, luck),
    );
    Some(plain(&text).into_owned())
}

/// Returns the ways to tell the two trials apart. A function has no command that `swath rerun`
/// could start.
fn advice(sweep: &Sweep, study: &Study, luck: LuckyBest) -> String {
    let pair = format!("{},{}", luck.best, luck.rival);
    let rerun = ["swath", "rerun", &study.header().name, &pair].map(str::to_owned);
    let rerun = format!(
        "`{}` compares the two with further seeds",
        quote::line(&rerun)
    );
    let replicate = "`[replicate]` gives each configuration several seeds";
    match (sweep.run.command.is_empty(), study.header().replicate) {
        (false, None) => format!("{rerun}, and {replicate}"),
        (false, Some(_)) => rerun,
        (true, None) => replicate.to_owned(),
        (true, Some(_)) => "more seeds of each configuration tell".to_owned(),
    }
}

fn shown(value: f64) -> String {
    number::brief(number::rounded(value, 3))
}
