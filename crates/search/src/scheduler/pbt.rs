//! Population-based training: the worst members of a population are replaced by modified copies of
//! the best, checkpoints included.
//!
//! Jaderberg et al., arXiv 1711.09846. Every member pauses at the end of each interval. Before it
//! continues it is ranked among all members seen there. A member among the last is replaced by a
//! clone of one among the first (*exploit*), whose parameters are perturbed or drawn anew
//! (*explore*). A clone is a trial of its own and counts towards `trials`; its origin names the
//! parent.

use super::ranking::Rung;
use super::report_reader::{self, Reading, ReportReader, reaches};
use super::{Judgement, Next, TrialScheduler, wait_or_done};
use rand::{Rng, RngExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use swath_model::source::{Diagnostic, Diagnostics, NodeValue, Opt, Preset, Section, Takes};
use swath_model::space::{AxisKind, Params, Space};
use swath_model::study::kind::Capability;
use swath_model::study::{
    Event, Kind, Origin, Resource, Setting, Study, TrialId, TrialState, Verdict,
};
use swath_numerics::stream::{Purpose, stream};

pub(super) const KIND: Kind<dyn TrialScheduler> = Kind {
    name: "pbt",
    about: "population-based training: modified copies of the best trials replace the worst; needs checkpoints",
    paper: Some(
        "Jaderberg et al., Population Based Training of Neural Networks, 2017 (arXiv 1711.09846)",
    ),
    options: OPTIONS,
    capabilities: &[Capability::Clones],
    build: |mut section, setting, diagnostics| {
        let pbt = Pbt::take(&mut section, setting, diagnostics);
        Some(Box::new(pbt?))
    },
};

/// The minimum of the default population, which is otherwise the number of slots.
const POPULATION: u64 = 8;
/// The number of intervals if `interval` is not set.
const INTERVALS: u64 = 10;
/// The default of `quantile`. Jaderberg et al. use a fifth (*truncation selection*);
/// a quarter lets a population of eight replace two members.
const QUANTILE: f64 = 0.25;
/// The default of `resample`, that of Ray Tune.
const RESAMPLE: f64 = 0.25;
/// The default of `perturb`.
const PERTURB: f64 = 0.1;

/// Maximum number of modifications that the constraints may refuse before a copy is left unchanged.
const MAX_MODIFICATIONS: usize = 100;

/// Upper bound of `quantile`: at most half of a population can be replaced by the other half.
const LARGEST_QUANTILE: f64 = 0.5;

/// The options of `[scheduler]`.
const OPTIONS: &[Opt] = &[
    Opt::new(
        "max",
        Takes::Count(1),
        Preset::Required,
        "the resource of a full run, clones included",
    ),
    Opt::new(
        "interval",
        Takes::Count(1),
        Preset::Derived("`max` / 10"),
        "the resource between two comparisons",
    ),
    Opt::new(
        "population",
        Takes::Count(2),
        Preset::Derived("trials at a time, at least 8"),
        "number of lineages that train at the same time",
    ),
    Opt::new(
        "quantile",
        Takes::Between(0.0, LARGEST_QUANTILE),
        Preset::Number(QUANTILE),
        "fraction of the population that is replaced, and fraction that is copied",
    ),
    Opt::new(
        "resample",
        Takes::Between(0.0, 1.0),
        Preset::Number(RESAMPLE),
        "probability that a parameter of a clone is drawn anew instead of moved",
    ),
    Opt::new(
        "perturb",
        Takes::Between(0.0, 1.0),
        Preset::Number(PERTURB),
        "distance by which a parameter of a clone is moved, as a fraction of its range",
    ),
    Opt::new(
        "explore",
        Takes::List(&Takes::Text),
        Preset::Derived("all"),
        "the parameters that a clone may change; the others must fit the parent's checkpoint",
    ),
    report_reader::METRIC,
];

/// The scheduler: its options, the results at each interval and the position of every member.
#[derive(Debug, Clone)]
struct Pbt {
    /// Reads resource and objectives from the reports.
    reader: ReportReader,
    /// The search space, for exploration.
    space: Arc<Space>,
    /// The seed of the sweep.
    seed: u64,
    /// The number of lineages. A lineage is a member together with the clones that replace it.
    population: u64,
    /// The resource between two comparisons.
    interval: u64,
    /// The resource of a whole lineage, clones included.
    max: u64,
    /// The fraction of the population that is replaced, and the fraction that is copied; 0 to 0.5.
    quantile: f64,
    /// The probability that a parameter of a clone is drawn anew rather than moved.
    resample: f64,
    /// The distance by which a parameter of a clone is moved, as a fraction of its range.
    perturb: f64,
    /// The results of all members at the end of each interval, by the number of the interval from
    /// 1.
    results: BTreeMap<u64, Rung>,
    /// The parameters that a clone may change; `None` means all. The others must fit the checkpoint
    /// of the parent.
    explored: Option<Vec<String>>,
    /// The position of each trial. The index is the trial id minus one.
    members: Vec<Member>,
    /// The paused members, those of the earliest interval first, so that the population advances
    /// together.
    paused: BTreeSet<(u64, TrialId)>,
}

/// The position of a member.
#[derive(Debug, Clone, Default, PartialEq)]
struct Member {
    /// The interval at whose end the member pauses, from 1.
    target: u64,
    /// The last interval completed in any attempt; 0 for none.
    seen: u64,
    /// The last interval completed since the last start from zero.
    crossed: u64,
    /// The reason of a pause that is not yet committed as `Judged`.
    uncommitted: Option<String>,
    /// Whether the attempt was judged to end and has not exited yet.
    ending: bool,
    /// The oriented scores at the end of interval `seen`.
    scores: Vec<f64>,
}

impl Pbt {
    /// Takes the options of `[scheduler]` from the section. Returns `None`, with diagnostics, if a
    /// required option is missing or one is wrong.
    fn take(
        section: &mut Section,
        setting: &Setting,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let max = section.take_count("max", 1, diagnostics);
        let interval = section.take_count("interval", 1, diagnostics);
        let population = section
            .take_count("population", 2, diagnostics)
            .map(|(population, _)| population);
        let quantile = fraction(section, "quantile", QUANTILE, LARGEST_QUANTILE, diagnostics);
        let resample = fraction(section, "resample", RESAMPLE, 1.0, diagnostics);
        let perturb = fraction(section, "perturb", PERTURB, 1.0, diagnostics);
        let explored = explored(section, setting, diagnostics);
        let reader = ReportReader::take(section, setting, diagnostics);
        if !setting.checkpoint {
            diagnostics.push(
                Diagnostic::error("no-checkpoint", "`pbt` needs trials that can continue from a checkpoint")
                    .at(section.span.clone(), "clones start from a copy of another trial's checkpoint")
                    .hint("if the program resumes from SWATH_CHECKPOINT_DIR when SWATH_RESUME is set, write `checkpoint = true` in `[run]`")
                    .hint("without checkpoints, `asha` in its stopping mode saves the most"),
            );
        }
        let Some((max, _)) = max else {
            let message = "`pbt` needs `max`, the resource of a full run";
            diagnostics.push(
                Diagnostic::error("no-max", message)
                    .at(section.span.clone(), "no valid `max` here")
                    .hint("give the resource of a full run, clones included: max = 100"),
            );
            return None;
        };
        let interval = match interval {
            Some((interval, at)) if interval >= max => {
                let message =
                    "`interval` is not smaller than `max`, so no two trials would ever be compared";
                diagnostics.push(
                    Diagnostic::error("empty-range", message)
                        .at(at, format!("`interval` is {interval}, `max` is {max}"))
                        .hint(format!(
                            "about a tenth is usual: interval = {}",
                            max.div_ceil(INTERVALS)
                        )),
                );
                return None;
            }
            Some((interval, _)) => interval,
            None => max.div_ceil(INTERVALS),
        };
        Some(Self {
            reader: reader?,
            space: Arc::clone(&setting.space),
            seed: setting.seed,
            population: population.unwrap_or_else(|| (setting.slots as u64).max(POPULATION)),
            interval,
            max,
            quantile: quantile?,
            resample: resample?,
            perturb: perturb?,
            results: BTreeMap::new(),
            explored: explored?,
            members: Vec::new(),
            paused: BTreeSet::new(),
        })
    }

    /// Returns the position of a member.
    fn member(&self, trial: TrialId) -> Option<&Member> {
        self.members.get((trial.0 as usize).checked_sub(1)?)
    }

    /// Returns the position of a member for changes.
    fn member_mut(&mut self, trial: TrialId) -> Option<&mut Member> {
        self.members.get_mut((trial.0 as usize).checked_sub(1)?)
    }

    /// Returns the resource at the end of an interval, at most `max`.
    fn level(&self, interval: u64) -> u64 {
        self.interval.saturating_mul(interval).min(self.max)
    }

    /// Records the scores of a member at the end of an interval, and decides that it pauses.
    fn arrive(&mut self, Reading { trial, at, scores }: Reading) {
        let passed = (at * (1.0 + 1e-9) / self.interval as f64)
            .floor()
            .clamp(0.0, 1e15) as u64;
        let Some(member) = self.members.get_mut(trial.0 as usize - 1) else {
            return;
        };
        let done = reaches(at, self.max);
        // Before the end of the first interval there is nothing to compare, and a member at `max`
        // is complete.
        if passed == 0 || done {
            return;
        }
        let objectives = self.reader.objectives();
        let rung = self
            .results
            .entry(passed)
            .or_insert_with(|| Rung::of(objectives));
        let results = &mut rung.results;
        if passed > member.crossed {
            results.remove(trial);
            results.add(&scores, trial);
            if passed >= member.seen {
                member.scores.clone_from(&scores);
            }
            member.crossed = passed;
            member.seen = member.seen.max(passed);
        }
        if passed >= member.target && !member.ending && member.uncommitted.is_none() {
            let rank = results.place(&scores, trial) + 1;
            let why = format!(
                "{}, rank {rank} of {}",
                self.reader.describe(at, &scores),
                results.len()
            );
            member.target = passed;
            member.uncommitted = Some(why);
        }
    }

    /// Returns how a paused member continues: as itself, or replaced by a clone.
    fn next_for(&self, study: &Study, trial: TrialId, room: bool) -> Next {
        let (seen, scores) = self
            .member(trial)
            .map_or((0, &[][..]), |member| (member.seen, &*member.scores));
        let until = self.reader.describe_resource(self.level(seen + 1));
        // A member that was interrupted before the end of its first interval has no rank.
        let Some(Rung { results, .. }) = self.results.get(&seen) else {
            let why = format!("goes on to {until}");
            return Next::Resume { trial, why };
        };
        let rank = results.place(scores, trial);
        let result = self.reader.describe(self.level(seen) as f64, scores);
        let result = format!("{result}, rank {} of {}", rank + 1, results.len());
        let as_itself = Next::Resume {
            trial,
            why: format!("{result}, goes on to {until}"),
        };
        let replaced_count = (results.len() as f64 * self.quantile).floor() as usize;
        // The rank among a few members says little: at least half of the population must have
        // arrived.
        let has_arrived = results.len() as u64 * 2 >= self.population;
        // A non-dominated member is never replaced.
        let is_last = rank >= results.len() - replaced_count && results.front(scores) != Some(0);
        if !(room && has_arrived && replaced_count > 0 && is_last) {
            return as_itself;
        }
        // The stream belongs to the trial that would be created, so that asking twice gives the
        // same clone.
        let mut rng = stream(self.seed, Purpose::Schedule, u64::from(study.next_id().0));
        let best: Vec<TrialId> = results
            .best(replaced_count)
            .filter(|id| *id != trial && self.has_more_to_train(study, *id))
            .collect();
        if best.is_empty() {
            return as_itself;
        }
        let from = best[rng.random_range(0..best.len())];
        let Some(parent) = study.trial(from) else {
            return as_itself;
        };
        Next::Given {
            params: self.explore(&parent.params, &mut rng),
            from: Some(from),
            instead: Some(trial),
            why: format!("{result}, replaced by a modified copy of trial {from}"),
        }
    }

    /// Returns whether a member has something left to train. A clone starts from the latest
    /// checkpoint of its parent, so only such a member can be a parent.
    fn has_more_to_train(&self, study: &Study, id: TrialId) -> bool {
        let Some(trial) = study.trial(id).filter(|trial| !trial.outside) else {
            return false;
        };
        match trial.state {
            TrialState::Paused => true,
            TrialState::Running => {
                let member = self.member(id);
                let next = member.map_or(u64::MAX, |member| member.seen.saturating_add(1));
                self.level(next) < self.max
            }
            _ => false,
        }
    }

    /// Returns a modified copy of a configuration. Returns it unchanged if the constraints refuse
    /// [`MAX_MODIFICATIONS`] of them.
    fn explore(&self, params: &Params, rng: &mut impl Rng) -> Params {
        let unit = self.space.encode(params);
        let active = self.space.active(params);
        for _ in 0..MAX_MODIFICATIONS {
            let mut moved = unit.clone();
            for (at, axis) in self.space.axes().iter().enumerate() {
                // Drawn for every axis, so that `explore` does not change the draws of the others.
                let shifted = self.shift(&axis.kind, unit[at], active[at], rng);
                if self.explores(&axis.name) {
                    moved[at] = shifted;
                }
            }
            let candidate = self.space.decode(&moved);
            if self.space.admits(&candidate).is_ok() {
                return candidate;
            }
        }
        params.clone()
    }

    /// Returns whether a clone may change the parameter of an axis. The name `units` covers
    /// `units[2]` too.
    fn explores(&self, axis: &str) -> bool {
        let name = axis.split('[').next().unwrap_or(axis);
        self.explored
            .as_ref()
            .is_none_or(|names| names.iter().any(|explored| explored == name))
    }

    /// Returns the coordinate of a clone on one axis, from that of its parent.
    fn shift(&self, kind: &AxisKind, unit: f64, active: bool, rng: &mut impl Rng) -> f64 {
        // All three are drawn on every axis, so that the draws of one axis do not depend on the
        // kind of another.
        let (anew, up, drawn) = (
            rng.random::<f64>(),
            rng.random::<bool>(),
            rng.random::<f64>(),
        );
        // An inactive coordinate has no value to move; it is drawn in case the clone activates it.
        if !active || anew < self.resample {
            return drawn;
        }
        let step = match kind {
            AxisKind::Choice(_) => return unit,
            AxisKind::Real => self.perturb,
            AxisKind::Ordered(count) => self.perturb.max(1.0 / (*count).max(1) as f64),
        };
        let moved = if up { unit + step } else { unit - step };
        // A move beyond the range goes the other way instead.
        let inside = if (0.0..1.0).contains(&moved) {
            moved
        } else {
            2.0 * unit - moved
        };
        inside.clamp(0.0, 1.0 - f64::EPSILON)
    }
}

impl TrialScheduler for Pbt {
    fn observe(&mut self, study: &Study, event: &Event) {
        if let Some(reading) = self.reader.observe(study, event) {
            self.arrive(reading);
        }
        match event {
            Event::Edited { .. } | Event::Removed { .. } | Event::Restored { .. } => {
                self.results
                    .values_mut()
                    .for_each(|results| results.refit(study));
            }
            Event::Created { origin, .. } => {
                let mut parent = 0;
                if let Origin::Cloned { from, .. } = origin {
                    parent = self.member(*from).map_or(0, |parent| parent.seen);
                    // The clone takes the place of the member that was to continue next.
                    self.paused.pop_first();
                }
                self.members.push(Member {
                    target: parent + 1,
                    ..Member::default()
                });
            }
            Event::Started { trial, resume, .. } => {
                self.leave_pause(*trial);
                let Some(member) = self.member_mut(*trial) else {
                    return;
                };
                (member.uncommitted, member.ending) = (None, false);
                member.crossed = if *resume { member.crossed } else { 0 };
            }
            Event::Requeued { trial, .. } => self.leave_pause(*trial),
            Event::Judged { trial, verdict, .. } => {
                if let Some(member) = self.member_mut(*trial) {
                    member.uncommitted = None;
                    member.ending |= *verdict != Verdict::Continue;
                    let seen = member.seen;
                    // A stopped member does not continue; as a rule a clone has replaced it.
                    if *verdict == Verdict::Stop {
                        self.paused.remove(&(seen, *trial));
                    }
                }
            }
            Event::Ended { trial, .. } if is_paused(study, *trial) => {
                let seen = self.member(*trial).map_or(0, |member| member.seen);
                self.paused.insert((seen, *trial));
            }
            _ => {}
        }
    }

    fn next(&self, study: &Study, room: bool) -> Next {
        let counts = study.counts();
        // A clone takes the place of a stopped member, and a new trial that of a failed one.
        let lineages =
            study.trials().len() as u64 - counts.failed - counts.invalid - counts.stopped;
        if room && lineages < self.population {
            return Next::Fresh;
        }
        match self.paused.first() {
            Some((_, trial)) => self.next_for(study, *trial, room),
            None => wait_or_done(study),
        }
    }

    fn verdict(&self, _: &Study, trial: TrialId) -> Judgement {
        match self
            .member(trial)
            .and_then(|member| member.uncommitted.clone())
        {
            Some(why) => Judgement {
                verdict: Verdict::Pause,
                why,
            },
            None => Judgement {
                verdict: Verdict::Continue,
                why: String::new(),
            },
        }
    }

    fn until(&self, _: &Study, trial: TrialId) -> Option<Resource> {
        let member = self.member(trial)?;
        let is_paused = self.paused.contains(&(member.seen, trial));
        // The next interval is counted only once the attempt starts; until then the target is the
        // interval that has just ended.
        let interval = if is_paused && member.seen == member.target {
            member.target + 1
        } else {
            member.target
        };
        Some(Resource(self.level(interval)))
    }

    fn max(&self) -> Option<Resource> {
        Some(Resource(self.max))
    }

    fn finished(&self, study: &Study, trial: TrialId) -> bool {
        let until = study.trial(trial).and_then(|trial| trial.until);
        until.is_none_or(|Resource(until)| until >= self.max || !self.reader.ended_at(trial, until))
    }
}

impl Pbt {
    /// Ends the pause of a member and moves its target to the next interval. A member that was
    /// interrupted before the end of its interval keeps its target.
    fn leave_pause(&mut self, trial: TrialId) {
        let Some(member) = self.members.get_mut((trial.0 as usize).wrapping_sub(1)) else {
            return;
        };
        let was_paused = self.paused.remove(&(member.seen, trial));
        if was_paused && member.seen == member.target {
            member.target += 1;
        }
    }
}

/// Takes the option `explore`: the names of the parameters that clones may change. The inner `None`
/// means that the option is absent. Returns the outer `None`, with a diagnostic, if it is wrong.
#[expect(
    clippy::option_option,
    reason = "the outer one says whether the key is right, the inner one whether it is there"
)]
fn explored(
    section: &mut Section,
    setting: &Setting,
    diagnostics: &mut Diagnostics,
) -> Option<Option<Vec<String>>> {
    let Some(node) = section.take("explore") else {
        return Some(None);
    };
    let parameters = setting.space.names();
    let mut names = Vec::new();
    let NodeValue::Array(items) = node.value else {
        let message = "`explore` must be a list of parameters";
        diagnostics.push(Diagnostic::error("wrong-type", message).at(node.span, ""));
        return None;
    };
    for item in items {
        match item.value {
            NodeValue::Text(name) if parameters.iter().any(|parameter| **parameter == *name) => {
                names.push(name);
            }
            NodeValue::Text(name) => {
                let message = format!("there is no parameter `{name}`");
                let parameters = parameters.iter().map(|parameter| &**parameter);
                diagnostics.push(
                    Diagnostic::error("unknown-name", message)
                        .at(item.span, "")
                        .did_you_mean(&name, parameters),
                );
                return None;
            }
            other => {
                let message = format!("`explore` must list names, not {}", other.kind());
                diagnostics.push(Diagnostic::error("wrong-type", message).at(item.span, ""));
                return None;
            }
        }
    }
    Some(Some(names))
}

fn is_paused(study: &Study, trial: TrialId) -> bool {
    study
        .trial(trial)
        .is_some_and(|trial| trial.state == TrialState::Paused)
}

/// Takes an option that is a number from 0 to `most`. Returns `None`, with a diagnostic, if it is
/// outside that range.
fn fraction(
    section: &mut Section,
    key: &'static str,
    default: f64,
    most: f64,
    diagnostics: &mut Diagnostics,
) -> Option<f64> {
    let Some((number, at)) = section.take_number(key, diagnostics) else {
        return Some(default);
    };
    if (0.0..=most).contains(&number) {
        return Some(number);
    }
    let message = format!("`{key}` must be between 0 and {most}");
    diagnostics.push(Diagnostic::error("out-of-range", message).at(at, format!("is {number}")));
    None
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{Scenario, resumed, setting, try_build};
    use super::*;

    const POPULATION: &str = "max = 20\ninterval = 5\npopulation = 4";

    #[test]
    fn a_clone_of_the_best_member_replaces_the_worst() {
        let mut world = Scenario::new("pbt", POPULATION, &setting(true));
        for loss in [0.9, 0.1, 0.5, 0.3] {
            assert_eq!(world.next(), Next::Fresh);
            let trial = world.fresh();
            assert_eq!(world.until(trial), Some(5));
            assert_eq!(world.report(trial, 4.0, loss).verdict, Verdict::Continue);
            assert_eq!(world.report(trial, 5.0, loss).verdict, Verdict::Pause);
        }
        let Next::Given {
            from, instead, why, ..
        } = world.next()
        else {
            panic!("{:?}", world.next())
        };
        assert_eq!((from, instead), (Some(TrialId(2)), Some(TrialId(1))));
        assert_eq!(
            why,
            "epoch 5: 0.9, rank 4 of 4, replaced by a modified copy of trial 2"
        );
        assert_eq!(
            resumed(&world.next_without_room()),
            Some(1),
            "no member is replaced without room for a clone"
        );

        let (trial, origin) = (
            TrialId(5),
            Origin::Cloned {
                from: TrialId(2),
                instead: None,
                why: String::new(),
            },
        );
        world.happens(Event::Created {
            trial,
            params: Params::default(),
            origin,
            seed: 0,
        });
        assert_eq!(
            resumed(&world.next()),
            Some(2),
            "even if the run is killed before the member is judged"
        );
        world.happens(Event::Judged {
            trial: TrialId(1),
            verdict: Verdict::Stop,
            why,
        });
        assert_eq!(
            world.until(trial),
            Some(10),
            "the clone starts from the checkpoint of its parent"
        );
        world.start(trial, true);
        assert_eq!(resumed(&world.next()), Some(2));
        assert_eq!(world.until(TrialId(2)), Some(10));
    }

    #[test]
    fn no_clone_starts_from_a_member_that_has_nothing_left_to_train() {
        let mut world = Scenario::new("pbt", POPULATION, &setting(true));
        for loss in [0.9, 0.1, 0.5, 0.3] {
            let trial = world.fresh();
            world.report(trial, 5.0, loss);
        }
        let best = TrialId(2);
        for epoch in [10.0, 15.0] {
            world.start(best, true);
            assert!(
                matches!(
                    world.next(),
                    Next::Given {
                        from: Some(TrialId(2)),
                        ..
                    }
                ),
                "{:?}",
                world.next()
            );
            assert_eq!(world.report(best, epoch, 0.1).verdict, Verdict::Pause);
        }
        world.start(best, true);
        assert_eq!(
            resumed(&world.next()),
            Some(1),
            "the best is in its last interval: {:?}",
            world.next()
        );
    }

    #[test]
    fn a_lineage_runs_to_the_end_after_its_last_comparison() {
        let mut world = Scenario::new("pbt", POPULATION, &setting(true));
        let trial = world.fresh();
        for epoch in [5.0, 10.0, 15.0] {
            assert_eq!(world.report(trial, epoch, 0.5).verdict, Verdict::Pause);
            world.start(trial, true);
        }
        assert_eq!(world.report(trial, 20.0, 0.5).verdict, Verdict::Continue);
        assert!(world.finished(trial));
    }

    #[test]
    fn a_clone_changes_only_the_parameters_of_explore() {
        let text = "lr = { min = 1e-4, max = 0.1, log = true }\nlayers = { min = 1, max = 4 }\nact = [\"a\", \"b\"]";
        let mut diagnostics = Diagnostics::default();
        let table = swath_model::source::Table::parse(text, &mut diagnostics);
        let section = Section::new("space", 0..text.len(), table);
        let space = Space::parse(section, None, &mut diagnostics).expect("the space is valid");
        let setting = Setting {
            space: Arc::new(space),
            ..setting(true)
        };
        let params = setting.space.decode(&[0.4, 0.6, 0.7]);
        let [lr, layers, act] = unchanged("max = 9\nexplore = [\"lr\"]", &setting, &params);
        assert_eq!((lr, layers, act), (0, 20, 20));
        let [lr, layers, act] = unchanged("max = 9", &setting, &params);
        assert!(lr == 0 && layers < 20 && act < 20, "{lr} {layers} {act}");
        assert!(pbt("max = 9\nexplore = [\"layer\"]", &setting).is_none());
    }

    fn pbt(options: &str, setting: &Setting) -> Option<Pbt> {
        let mut diagnostics = Diagnostics::default();
        let table = swath_model::source::Table::parse(options, &mut diagnostics);
        let mut section = Section::new("scheduler", 0..9, table);
        Pbt::take(&mut section, setting, &mut diagnostics)
    }

    /// Returns the number of clones, of 20, in which `lr`, `layers` and `act` have the values of
    /// their parent.
    fn unchanged(options: &str, setting: &Setting, parent: &Params) -> [usize; 3] {
        let pbt = pbt(options, setting).expect("the options are valid");
        let clones: Vec<Params> = (0..20)
            .map(|number| pbt.explore(parent, &mut stream(1, Purpose::Schedule, number)))
            .collect();
        ["lr", "layers", "act"].map(|name| {
            let same = clones
                .iter()
                .filter(|clone| clone.get(name) == parent.get(name));
            same.count()
        })
    }

    #[test]
    fn wrong_options_and_missing_checkpoints_are_reported_together() {
        let (_, messages) = try_build(
            "pbt",
            "max = 20\ninterval = 20\nquantile = 0.7",
            &setting(false),
        );
        assert_eq!(
            messages,
            [
                "`quantile` must be between 0 and 0.5",
                "`pbt` needs trials that can continue from a checkpoint",
                "`interval` is not smaller than `max`, so no two trials would ever be compared",
            ]
        );
    }
}
