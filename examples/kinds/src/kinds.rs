//! One implementation of each extension point (sampler, scheduler, executor, tracker), declared
//! with its options.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use swath::executor::{Executor, ExecutorError, Launch, Share, Site, Text, Work, here};
use swath::sampler::{Ask, Sampler};
use swath::scheduler::{Judgement, Next, TrialScheduler, fresh_while};
use swath::source::{Opt, Preset, Takes};
use swath::space::Params;
use swath::study::kind::Capability;
use swath::study::{Entry, Event, Kind, Setting, Study, TrialId, Verdict};
use swath::tracker::{Tracker, TrackerError};

/// The bases of the Halton sequence, one for each parameter of the space.
const PRIMES: [u32; 8] = [2, 3, 5, 7, 11, 13, 17, 19];

/// Distance in the sequence between two points that are tried for the same trial.
const STRIDE: u32 = 1_000_003;

/// A sampler that proposes the points of a Halton sequence.
pub(crate) const HALTON: Kind<dyn Sampler> = Kind {
    name: "halton",
    about: "points spread evenly: a Halton sequence, up to eight parameters",
    paper: Some("Halton, Algorithm 247, Communications of the ACM 7(12), 1964"),
    options: &[Opt::new(
        "skip",
        Takes::Count(0),
        Preset::Count(0),
        "how many points are left out first",
    )],
    capabilities: &[Capability::Independent],
    build: |mut section, _, diagnostics| {
        let skip = section
            .take_count("skip", 0, diagnostics)
            .map_or(0, |(skip, _)| skip);
        Some(Box::new(Halton {
            skip: u32::try_from(skip).unwrap_or(u32::MAX),
        }))
    },
};

struct Halton {
    skip: u32,
}

impl Sampler for Halton {
    fn suggest(&self, ask: &Ask<'_>) -> Option<Params> {
        let mut index = self.skip.wrapping_add(ask.trial.0);
        // Constraints may refuse a point: then try points that no later trial will propose.
        ask.draw(|| {
            let bases = PRIMES.iter().cycle().take(ask.space.dims());
            let point = bases.map(|base| radical_inverse(index, *base)).collect();
            index = index.wrapping_add(STRIDE);
            point
        })
    }
}

/// Returns the radical inverse of `index`: its digits in `base`, mirrored at the radix point.
fn radical_inverse(mut index: u32, base: u32) -> f64 {
    let (mut value, mut scale) = (0.0, 1.0);
    while index > 0 {
        scale /= f64::from(base);
        value += f64::from(index % base) * scale;
        index /= base;
    }
    value
}

/// A scheduler that stops a trial as soon as its objective is above a fixed value.
pub(crate) const CEILING: Kind<dyn TrialScheduler> = Kind {
    name: "ceiling",
    about: "stops a trial whose first objective rises above a fixed value",
    paper: None,
    options: &[Opt::new(
        "above",
        Takes::Number,
        Preset::Required,
        "the value above which a trial is stopped",
    )],
    capabilities: &[],
    build: |mut section, setting, diagnostics| {
        let above = section
            .take_number("above", diagnostics)
            .map(|(above, _)| above)?;
        let metric = setting.objectives.first()?.metric.to_string();
        Some(Box::new(Ceiling {
            above,
            metric,
            judged: BTreeSet::new(),
        }))
    },
};

struct Ceiling {
    above: f64,
    metric: String,
    /// The trials that have already been stopped.
    judged: BTreeSet<TrialId>,
}

impl TrialScheduler for Ceiling {
    fn observe(&mut self, _: &Study, event: &Event) {
        if let Event::Judged { trial, .. } = event {
            self.judged.insert(*trial);
        }
    }

    fn next(&self, study: &Study, room: bool) -> Next {
        fresh_while(room, study)
    }

    fn verdict(&self, study: &Study, trial: TrialId) -> Judgement {
        let metrics = study.trial(trial).map(|trial| &trial.metrics);
        let last = metrics
            .and_then(|metrics| metrics.get(self.metric.as_str()))
            .map(|tally| tally.last.0);
        match last.filter(|last| *last > self.above && !self.judged.contains(&trial)) {
            Some(last) => {
                let why = format!("{} is {last}, above {}", self.metric, self.above);
                Judgement {
                    verdict: Verdict::Stop,
                    why,
                }
            }
            None => Judgement {
                verdict: Verdict::Continue,
                why: String::new(),
            },
        }
    }
}

/// An executor that runs trials on this machine at a low priority.
pub(crate) const NICE: Kind<dyn Site> = Kind {
    name: "nice",
    about: "trials run on this machine at a low priority",
    paper: None,
    options: &[Opt::new(
        "level",
        Takes::Count(0),
        Preset::Count(10),
        "the niceness of the trials, up to 19",
    )],
    capabilities: &[Capability::Local],
    build: |mut section, _, diagnostics| {
        let level = section
            .take_count("level", 0, diagnostics)
            .map_or(10, |(level, _)| level.min(19));
        Some(Box::new(Nice { level }))
    },
};

struct Nice {
    level: u64,
}

impl Site for Nice {
    fn slots(&self, share: &Share) -> usize {
        here().slots(share)
    }

    fn open(&self, mut work: Work) -> Result<Box<dyn Executor>, ExecutorError> {
        let (invoke, level) = (work.program.invoke, self.level.to_string());
        work.program.invoke = Box::new(move |launch: &Launch| {
            let mut invocation = invoke(launch);
            let nice = ["nice", "-n", level.as_str()].map(Text::from);
            invocation.argv.splice(..0, nice);
            invocation
        });
        here().open(work)
    }
}

/// A tracker that writes a line for each trial that has ended.
pub(crate) const DIARY: Kind<dyn Tracker> = Kind {
    name: "diary",
    about: "a text file with a line for each trial that has ended",
    paper: None,
    options: &[Opt::new(
        "file",
        Takes::Text,
        Preset::Text("diary.txt"),
        "its name in the study's folder",
    )],
    capabilities: &[],
    build: |mut section, setting: &Setting, diagnostics| {
        let file = section
            .take_text("file", diagnostics)
            .map_or("diary.txt".to_owned(), |(file, _)| file);
        let path = setting.dir.clone().unwrap_or_default().join(file);
        Some(Box::new(Diary {
            path,
            lines: String::new(),
        }))
    },
};

struct Diary {
    path: PathBuf,
    lines: String,
}

impl Tracker for Diary {
    fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError> {
        if let Event::Ended { trial, .. } = &entry.event
            && let Some(ended) = study.trial(*trial)
        {
            self.lines
                .extend([format!("trial {trial} is {}\n", ended.state.word())]);
        }
        Ok(())
    }

    fn sync(&mut self, _: &Study) -> Result<(), TrackerError> {
        let written = fs::write(&self.path, &self.lines);
        written.map_err(|source| TrackerError::Write {
            path: self.path.display().to_string(),
            source,
        })
    }
}
