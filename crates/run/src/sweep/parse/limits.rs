//! `[limits]`: budgets after which the sweep or a trial ends.

use super::super::{Limits, Spending, TrialBudget};
use super::keys::table;
use std::time::Duration;
use swath_model::source::units::{duration_of, size_of};
use swath_model::source::{
    Diagnostic, Diagnostics, Node, NodeValue, Opt, Preset, Section, Span, Takes,
};
use swath_model::space::Name;
use swath_model::study::Resource;

pub(in crate::sweep) const OPTIONS: &[Opt] = &[
    Opt::new(
        "time",
        Takes::Duration,
        Preset::Absent,
        "of the whole sweep: all its runs together, without the time between them",
    ),
    Opt::new(
        "trial_time",
        Takes::Duration,
        Preset::Absent,
        "of one attempt of a trial",
    ),
    Opt::new(
        "trial_budget",
        Takes::Either(&[Takes::Duration, Takes::Table(&Takes::Count(1))]),
        Preset::Absent,
        "what a trial may use, as `\"5m\"` or `{ epoch = 20 }`: it is then stopped, and complete with what it \
         has reported",
    ),
    Opt::new(
        "cost",
        Takes::Number,
        Preset::Absent,
        "of all trials together, by `price`",
    ),
    Opt::new(
        "price",
        Takes::Either(&[Takes::Number, Takes::Text]),
        Preset::Absent,
        "of an hour of one trial; or the reported metric whose last value is the cost of a trial",
    ),
    Opt::new(
        "gpu_hours",
        Takes::Number,
        Preset::Absent,
        "of all trials together: `gpus` of each times its running time",
    ),
    Opt::new(
        "failures",
        Takes::Count(1),
        Preset::Absent,
        "failed trials of one run after which it ends",
    ),
    Opt::new(
        "quick_failures",
        Takes::Count(0),
        Preset::Count(Limits::QUICK_FAILURES as u64),
        "trials in a row that fail within ten seconds without their objective: a slot is then paused, or the \
         sweep ends; `0`: never",
    ),
    Opt::new(
        "disk",
        Takes::Size,
        Preset::Absent,
        "space the study's folder may take; beyond it no trial is started",
    ),
    Opt::new(
        "log",
        Takes::Size,
        Preset::Size(Limits::LOG),
        "kept of each output stream of a trial: its head and its tail",
    ),
];

/// The content of the section.
#[derive(Default)]
pub(super) struct Budgets {
    pub(super) limits: Limits,
    pub(super) spending: Spending,
    pub(super) price: Option<Name>,
}

/// Reads the section. `resource` is the key that the scheduler counts; a budget may name it
/// instead.
pub(super) fn read(
    file: &mut Section,
    resource: &mut Option<Name>,
    has_gpus: bool,
    diagnostics: &mut Diagnostics,
) -> Budgets {
    let Some(mut section) = table(file, "limits", diagnostics) else {
        return Budgets::default();
    };
    let mut limits = Limits::default();
    let (spending, price) = spending(&mut section, has_gpus, diagnostics);
    limits.time = time(&mut section, "time", diagnostics);
    limits.trial_time = time(&mut section, "trial_time", diagnostics);
    limits.trial_budget = trial_budget(&mut section, resource, diagnostics);
    if let (Some(TrialBudget::Time(budget)), Some(trial_time)) =
        (limits.trial_budget, limits.trial_time)
        && budget >= trial_time
    {
        let message =
            "every trial would fail at `trial_time` before it has used its `trial_budget`";
        let error = Diagnostic::error("budget-too-large", message).at(section.span.clone(), "");
        diagnostics
            .push(error.hint("make `trial_time` longer than `trial_budget`, or leave it out"));
    }
    limits.failures = section
        .take_count("failures", 1, diagnostics)
        .map(|(count, _)| count);
    if let Some((count, _)) = section.take_count("quick_failures", 0, diagnostics) {
        limits.quick_failures = u32::try_from(count).ok().filter(|count| *count > 0);
    }
    if let Some(node) = section.take("disk") {
        limits.disk = size_of("disk", &node, diagnostics);
    }
    if let Some(bytes) = section
        .take("log")
        .and_then(|node| size_of("log", &node, diagnostics))
    {
        limits.log = bytes;
    }
    Budgets {
        limits,
        spending,
        price,
    }
}

/// Reads the budget of money and GPU time, and the metric that is the price.
fn spending(
    section: &mut Section,
    has_gpus: bool,
    diagnostics: &mut Diagnostics,
) -> (Spending, Option<Name>) {
    let mut spending = Spending::default();
    let mut metric = None;
    let cost = above_zero(section, "cost", diagnostics);
    match section.take("price") {
        Some(Node {
            value: NodeValue::Text(name),
            ..
        }) if !name.is_empty() => metric = Some(Name::from(name)),
        Some(node) => match node.value {
            NodeValue::Int(price @ 1..) => spending.hourly = Some(price as f64),
            NodeValue::Float(price) if price > 0.0 && price.is_finite() => {
                spending.hourly = Some(price);
            }
            _ => {
                let message = "`price` must be a number above 0, or the name of a reported metric";
                diagnostics.push(Diagnostic::error("wrong-type", message).at(node.span, ""));
            }
        },
        None => {
            if let Some((_, span)) = &cost {
                let error = Diagnostic::error("missing-price", "`cost` needs a `price`");
                diagnostics.push(error.at(span.clone(), "").hint(
                    "add the price of an hour of one trial, `price = 2.5`, or the metric that reports it",
                ));
            }
        }
    }
    let gpu_hours = above_zero(section, "gpu_hours", diagnostics);
    if let (Some((_, span)), false) = (&gpu_hours, has_gpus) {
        let error = Diagnostic::error("missing-gpus", "`gpu_hours` needs the GPUs of a trial");
        diagnostics.push(
            error
                .at(span.clone(), "")
                .hint("add `gpus = 1` under `[resources]`"),
        );
    }
    spending.cost = cost.map(|(cost, _)| cost);
    spending.gpu_hours = gpu_hours.map(|(hours, _)| hours);
    (spending, metric)
}

fn above_zero(
    section: &mut Section,
    key: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<(f64, Span)> {
    let (number, span) = section.take_number(key, diagnostics)?;
    if number > 0.0 {
        return Some((number, span));
    }
    let message = format!("`{key}` must be above 0");
    diagnostics.push(Diagnostic::error("too-small", message).at(span, ""));
    None
}

fn trial_budget(
    section: &mut Section,
    resource: &mut Option<Name>,
    diagnostics: &mut Diagnostics,
) -> Option<TrialBudget> {
    let node = section.take("trial_budget")?;
    let NodeValue::Table(table) = node.value else {
        let time = duration_of("trial_budget", &node, diagnostics)?;
        return positive("trial_budget", time, node.span, diagnostics).map(TrialBudget::Time);
    };
    let mut pairs = Section::new("trial_budget", node.span.clone(), table).take_rest();
    let (Some((key, count)), true) = (pairs.pop(), pairs.is_empty()) else {
        let error = Diagnostic::error("wrong-type", "`trial_budget` takes one reported key");
        diagnostics.push(error.at(node.span, "").hint("write `{ epoch = 20 }`"));
        return None;
    };
    let NodeValue::Int(most @ 1..) = count.value else {
        let message = format!("`{}` must be a whole number from 1", key.name);
        diagnostics.push(Diagnostic::error("wrong-type", message).at(count.span, ""));
        return None;
    };
    let counted = resource.get_or_insert_with(|| key.name.as_str().into());
    if **counted != *key.name {
        let message = format!(
            "`trial_budget` counts `{}`, and the scheduler counts `{counted}`",
            key.name
        );
        let error = Diagnostic::error("two-resources", message).at(key.span, "");
        diagnostics.push(error.hint(format!("count the same: `{{ {counted} = {most} }}`")));
        return None;
    }
    Some(TrialBudget::Resource(Resource(most.unsigned_abs())))
}

fn time(
    section: &mut Section,
    key: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<Duration> {
    let node = section.take(key)?;
    let time = duration_of(key, &node, diagnostics)?;
    positive(key, time, node.span, diagnostics)
}

fn positive(
    key: &str,
    time: Duration,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Option<Duration> {
    if time.is_zero() {
        let message = format!("`{key}` leaves no time at all");
        let error = Diagnostic::error("too-small", message).at(span, "");
        diagnostics.push(error.hint("leave it out for no limit"));
        return None;
    }
    Some(time)
}
