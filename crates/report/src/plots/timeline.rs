//! Timeline: the attempts and the preparations in each slot over time, and their exits. Long idle periods are cut out.

use super::figure::{Figure, Guide, Mark, Panel, Scale, Side, Tone, Weight};
use super::{Input, Plot, WHERE, nothing, stacked};
use crate::number;
use serde::Serialize;
use std::collections::BTreeSet;
use swath_model::study::{Exit, Kind, TrialId, TrialState};

pub(super) const KIND: Kind<dyn Plot> = Kind {
    name: "timeline",
    about: "the trials in each slot over time, and how they ended",
    paper: None,
    options: &[WHERE],
    capabilities: &[],
    build: |_, _, _| Some(Box::new(figure)),
};

/// Maximum number of attempts in a picture; the last ones are shown.
const PICTURE: usize = 5000;

/// The attempts of a study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    /// The start of the first attempt, in milliseconds since 1970.
    pub began: i64,
    /// The attempts in the order of their starts.
    pub bars: Vec<Bar>,
    /// Idle periods that were cut: their position on the shown time axis and their original length,
    /// both in seconds.
    pub gaps: Vec<(f64, f64)>,
    /// The highest slot with an attempt, plus one.
    pub slots: u32,
    /// Share of the time of all slots in which an attempt ran, from 0 to 1. Cut periods do not
    /// count.
    pub busy: f64,
}

/// One attempt as a bar in the row of its slot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    /// The id of the trial; 0 for a preparation.
    pub trial: u32,
    /// The name of the preparation; `None` for a trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preparation: Option<String>,
    /// The slot, from 0.
    pub slot: u32,
    /// Start in seconds since the beginning, without cut periods.
    pub from: f64,
    /// End in seconds since the beginning, without cut periods.
    pub to: f64,
    /// The word for the exit of the attempt; `running` if it still runs, `prepared` after a
    /// preparation.
    pub state: &'static str,
}

impl Timeline {
    /// Collects the last `most` attempts.
    #[must_use]
    pub fn of(input: &Input<'_>, most: usize) -> Self {
        let trials: BTreeSet<TrialId> = input.ran().map(|trial| trial.id).collect();
        let mut spans: Vec<_> = input
            .chronicle
            .attempts
            .iter()
            .filter(|span| trials.contains(&span.trial))
            .map(|span| (None, span))
            .collect();
        let preparations = input.chronicle.preparations.iter();
        spans.extend(preparations.map(|(name, span)| (Some(name), span)));
        spans.sort_by_key(|(_, span)| span.start);
        spans.drain(..spans.len().saturating_sub(most));
        let now = input.study.at();
        let began = spans.first().map_or(0, |(_, span)| span.start.as_micros());

        let mut bars: Vec<Bar> = spans
            .iter()
            .map(|(preparation, span)| {
                // A running attempt is drawn up to the last event of the study.
                let end = span.end.or(now).unwrap_or(span.start);
                Bar {
                    trial: preparation.map_or(span.trial.0, |_| 0),
                    preparation: preparation.map(ToString::to_string),
                    slot: span.slot,
                    from: (span.start.as_micros() - began) as f64 / 1e6,
                    to: (end.as_micros().max(span.start.as_micros()) - began) as f64 / 1e6,
                    state: match (preparation, span.exit.as_ref()) {
                        (Some(_), Some(Exit::Done)) => "prepared",
                        (_, exit) => state(exit),
                    },
                }
            })
            .collect();
        let gaps = cut(&mut bars);
        let slots = bars.iter().map(|bar| bar.slot + 1).max().unwrap_or(0);
        let length = bars.iter().map(|bar| bar.to).fold(0.0, f64::max);
        let ran: f64 = bars.iter().map(|bar| bar.to - bar.from).sum();
        let busy = if length > 0.0 {
            ran / (length * f64::from(slots))
        } else {
            0.0
        };
        Self {
            began: began / 1000,
            bars,
            gaps,
            slots,
            busy,
        }
    }
}

impl Bar {
    /// Returns the text in the bar.
    fn label(&self) -> String {
        match &self.preparation {
            Some(name) => name.clone(),
            None => self.trial.to_string(),
        }
    }
}

/// Returns the word for an exit.
fn state(exit: Option<&Exit>) -> &'static str {
    match exit {
        None => "running",
        Some(Exit::Done) => "complete",
        Some(Exit::Paused) => "paused",
        Some(Exit::Stopped) => "stopped",
        Some(Exit::Failed(_)) => "failed",
        Some(Exit::Interrupted | Exit::Lost) => "lost",
    }
}

/// Cuts out idle periods that are longer than a twentieth of the time in which any attempt ran, and
/// longer than 10 seconds. Returns the cuts; see [`Timeline::gaps`].
fn cut(bars: &mut [Bar]) -> Vec<(f64, f64)> {
    let mut idle: Vec<(f64, f64)> = Vec::new();
    let (mut until, mut ran) = (0.0f64, 0.0);
    for bar in bars.iter() {
        if bar.from > until {
            idle.push((until, bar.from));
            until = bar.from;
        }
        ran += (bar.to - until).max(0.0);
        until = until.max(bar.to);
    }
    let longest = (ran / 20.0).max(10.0);
    idle.retain(|(from, to)| to - from > longest);
    // A rest of each cut stays visible, so that attempts before and after it do not touch.
    let rest = longest / 4.0;
    for bar in bars.iter_mut() {
        bar.from -= removed_before(bar.from, &idle, rest);
        bar.to -= removed_before(bar.to, &idle, rest);
    }
    idle.iter()
        .map(|(from, to)| (from - removed_before(*from, &idle, rest), to - from))
        .collect()
}

/// Returns the seconds that were cut out before a time, if of each idle period a rest stays.
fn removed_before(time: f64, idle: &[(f64, f64)], rest: f64) -> f64 {
    let gone = idle.iter().take_while(|(_, to)| *to <= time);
    gone.map(|(from, to)| to - from - rest).sum()
}

fn figure(inputs: &[Input<'_>]) -> Figure {
    stacked(inputs, "timeline", study_figure)
}

fn study_figure(input: &Input<'_>) -> Figure {
    let data = Timeline::of(input, PICTURE);
    if data.bars.is_empty() {
        return nothing(input, "timeline", "no trial has started");
    }
    let mut figure = Figure::new(input.title("timeline of slots"));
    if data.bars.len() == PICTURE {
        figure.notes.push(format!("the last {PICTURE} attempts"));
    }
    figure.notes.push(format!(
        "slots were busy {:.0} % of the time",
        data.busy * 100.0
    ));
    let length = data.bars.iter().map(|bar| bar.to).fold(0.0, f64::max);
    let (unit, name) = match length {
        0.0..180.0 => (1.0, "seconds"),
        180.0..10_800.0 => (60.0, "minutes"),
        _ => (3600.0, "hours"),
    };
    let kinds = [
        ("complete", super::tone(&TrialState::Complete)),
        ("running", Tone::Live),
        ("paused", Tone::Paused),
        ("stopped", Tone::Stopped),
        ("failed", Tone::Bad),
        ("lost", Tone::Faint),
        ("prepared", Tone::Usual),
    ];
    let mut marks = Vec::new();
    let wide = length / 40.0;
    for bar in &data.bars {
        let tone = kinds
            .iter()
            .find(|(name, _)| *name == bar.state)
            .map_or(Tone::Faint, |(_, tone)| *tone);
        let slot = f64::from(bar.slot);
        marks.push(Mark::Block(
            (bar.from / unit, bar.to / unit),
            (slot + 0.1, slot + 0.9),
            tone,
        ));
        if bar.to - bar.from > wide {
            let middle = f64::midpoint(bar.from, bar.to) / unit;
            marks.push(Mark::Text(
                (middle, slot + 0.5),
                bar.label(),
                Side::Middle,
                Tone::Ink,
            ));
        }
    }
    for (position, left_out) in &data.gaps {
        let position = position / unit;
        marks.push(Mark::Line(
            vec![(position, 0.0), (position, f64::from(data.slots))],
            Tone::Faint,
            Weight::Usual,
        ));
        figure.notes.push(format!(
            "an idle period of {} is left out",
            number::seconds(*left_out)
        ));
    }
    let used = kinds
        .into_iter()
        .filter(|(name, _)| data.bars.iter().any(|bar| bar.state == *name));
    figure.legend = used.map(|(name, tone)| (tone, name.to_owned())).collect();
    figure.panels.push(Panel {
        title: String::new(),
        x: Guide::new(name, Scale::Linear(0.0, (length / unit).max(1e-9))),
        y: Guide::new(
            "slot",
            Scale::Bands((0..data.slots).map(|slot| slot.to_string()).collect()),
        ),
        marks,
    });
    figure
}
