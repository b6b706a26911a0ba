//! Slurm, used through the text output of `sbatch`, `squeue` and `scancel` alone; accounting is not
//! needed.

mod calls;

use super::pilot::{self, Fleet, Options};
use super::{Executor, ExecutorError, Share, Site, Work};
use calls::Slurm;
use swath_model::source::opt::joined;
use swath_model::source::{Diagnostics, Opt, Preset, Section, Takes};
use swath_model::study::Kind;

pub(super) const KIND: Kind<dyn Site> = Kind {
    name: "slurm",
    about: "trials run in jobs of Slurm, each of which runs many of them with this very program",
    paper: None,
    options: &OPTIONS,
    capabilities: &[],
    build: |mut section, _, diagnostics| {
        let before = diagnostics.list.len();
        let options = Options::take(&mut section, diagnostics);
        let slurm = SlurmOptions {
            partition: text(&mut section, "partition", diagnostics),
            account: text(&mut section, "account", diagnostics),
            qos: text(&mut section, "qos", diagnostics),
            nodes: section
                .take_count("nodes", 1, diagnostics)
                .map(|(count, _)| count),
            extra: section
                .take_texts("extra", diagnostics)
                .map(|(words, _)| words)
                .unwrap_or_default(),
            requeue: section
                .take_bool("requeue", diagnostics)
                .is_some_and(|(flag, _)| flag),
        };
        (diagnostics.list.len() == before)
            .then(|| Box::new(OnSlurm { options, slurm }) as Box<dyn Site>)
    },
};

fn text(section: &mut Section, key: &'static str, diagnostics: &mut Diagnostics) -> Option<String> {
    section.take_text(key, diagnostics).map(|(text, _)| text)
}

const OPTIONS: [Opt; pilot::OPTIONS.len() + OWN.len()] = joined(pilot::OPTIONS, OWN);

/// The options that only Slurm has.
const OWN: &[Opt] = &[
    Opt::new(
        "partition",
        Takes::Text,
        Preset::Derived("the site's"),
        "the partition of the jobs",
    ),
    Opt::new(
        "account",
        Takes::Text,
        Preset::Derived("the site's"),
        "the account that is charged",
    ),
    Opt::new(
        "qos",
        Takes::Text,
        Preset::Derived("the site's"),
        "the quality of service of the jobs",
    ),
    Opt::new(
        "nodes",
        Takes::Count(1),
        Preset::Count(1),
        "nodes of a job: its one pilot runs on the first, its trials use the others with `srun`",
    ),
    Opt::new(
        "extra",
        Takes::List(&Takes::Text),
        Preset::Texts(&[]),
        "further words for `sbatch`, such as `\"--constraint=a100\"`",
    ),
    Opt::new(
        "requeue",
        Takes::Switch,
        Preset::Flag(false),
        "lets Slurm start a job again that was preempted; without it swath submits another",
    ),
];

/// Options of a job beside cores, memory, GPUs and walltime.
#[derive(Debug, Clone, Default)]
struct SlurmOptions {
    partition: Option<String>,
    account: Option<String>,
    qos: Option<String>,
    nodes: Option<u64>,
    /// Additional arguments for `sbatch`.
    extra: Vec<String>,
    /// Whether Slurm restarts a job that was preempted or whose node failed.
    requeue: bool,
}

struct OnSlurm {
    options: Options,
    slurm: SlurmOptions,
}

impl Site for OnSlurm {
    fn slots(&self, share: &Share) -> usize {
        self.options.jobs(share)
    }

    fn outlives(&self) -> bool {
        true
    }

    fn open(&self, work: Work) -> Result<Box<dyn Executor>, ExecutorError> {
        let engine = Box::new(Slurm::new(self.slurm.clone()));
        Ok(Box::new(Fleet::open(
            engine,
            &self.options,
            &["SLURM_ARRAY_TASK_ID"],
            work,
        )?))
    }
}
