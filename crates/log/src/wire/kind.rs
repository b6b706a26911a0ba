//! The kinds of lines.

use super::Refused;

/// The kind of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineKind {
    Report,
    Metric,
    Param,
    /// Parameters that the call for all kinds takes as an object. In a line it is the same as
    /// `Param`.
    Params,
    Dataset,
    Model,
    Artifact,
    Checkpoint,
    Note,
    Invalid,
    Output,
    Version,
    Dict,
    Text,
    Image,
    BestModel,
    Optimizer,
    /// Floating point operations; per batch or epoch, if the kind says so.
    Flops(Option<&'static str>),
    ProvDocuments,
    Ask,
    /// A kind that the program's own objects are needed for: its name, and the reason and the
    /// remedy.
    Meaningless(&'static str, &'static str),
}

const WATCH: LineKind = LineKind::Meaningless(
    "watch",
    "following a model's gradients needs the model itself; record them as metrics, or histograms \
     as a `dict`",
);
const TORCH: LineKind = LineKind::Meaningless(
    "torch",
    "an object of Python has no line; save it to a file and record that as `model` or `artifact`",
);
const SYSTEM: LineKind = LineKind::Meaningless(
    "system",
    "swath samples the system itself, into `metrics/system.json`; leave it out",
);
const CARBON: LineKind = LineKind::Meaningless(
    "carbon",
    "energy is sampled into `metrics/system.json` where counters are readable; record what you \
     computed as metrics",
);
const TIME: LineKind = LineKind::Meaningless(
    "execution_time",
    "swath records when each attempt begins and ends; leave it out",
);

const KINDS: [(&str, LineKind); 28] = [
    ("report", LineKind::Report),
    ("metric", LineKind::Metric),
    ("param", LineKind::Param),
    ("dataset", LineKind::Dataset),
    ("model", LineKind::Model),
    ("artifact", LineKind::Artifact),
    ("checkpoint", LineKind::Checkpoint),
    ("note", LineKind::Note),
    ("invalid", LineKind::Invalid),
    ("output", LineKind::Output),
    ("version", LineKind::Version),
    ("params", LineKind::Params),
    ("dict", LineKind::Dict),
    ("text", LineKind::Text),
    ("figure", LineKind::Image),
    ("image", LineKind::Image),
    ("best_model", LineKind::BestModel),
    ("optimizer", LineKind::Optimizer),
    ("flops", LineKind::Flops(None)),
    // The names that itwinai's loggers have.
    ("flops_pb", LineKind::Flops(Some("batch"))),
    ("flops_pe", LineKind::Flops(Some("epoch"))),
    ("prov_documents", LineKind::ProvDocuments),
    ("watch", WATCH),
    ("torch", TORCH),
    ("system", SYSTEM),
    ("carbon", CARBON),
    ("execution_time", TIME),
    ("ask", LineKind::Ask),
];

/// The longest part of an unknown kind that is named, in characters.
const LONGEST_SHOWN: usize = 40;

impl LineKind {
    /// Returns whether a line of this kind carries the rank of its worker.
    pub(super) fn takes_rank(self) -> bool {
        matches!(self, Self::Report | Self::Metric | Self::Flops(_))
    }

    /// Returns whether the call for all kinds takes this kind. The others have a method of their
    /// own, or no meaning outside the program.
    pub(crate) fn is_item(self) -> bool {
        !matches!(
            self,
            Self::Report
                | Self::Output
                | Self::Checkpoint
                | Self::Invalid
                | Self::Version
                | Self::Ask
                | Self::Meaningless(..)
        )
    }

    /// Returns the names of the kinds that the call for all kinds takes.
    pub(crate) fn items() -> Vec<&'static str> {
        let items = KINDS.iter().filter(|(_, kind)| kind.is_item());
        items.map(|(name, _)| *name).collect()
    }

    /// Returns the kind with this name.
    ///
    /// # Errors
    /// If there is none, with the name of a similar kind.
    pub(crate) fn find(word: &str) -> Result<Self, Refused> {
        if let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == word) {
            return Ok(*kind);
        }
        let kind = match word.char_indices().nth(LONGEST_SHOWN) {
            None => word.to_owned(),
            Some((end, _)) => format!("{}…", &word[..end]),
        };
        let nearest = KINDS
            .iter()
            .map(|(name, _)| (distance(word, name), *name))
            .min();
        // A hint helps only if at most a third of the letters differ.
        let hint = nearest
            .filter(|(distance, name)| *distance <= name.len().div_ceil(3))
            .map(|(_, name)| name);
        Err(Refused::UnknownKind { kind, hint })
    }
}

/// Returns the edit distance between two words: the number of letters to add, remove or change. A
/// word `a` of more than 40 bytes is far from all others.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 40 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
