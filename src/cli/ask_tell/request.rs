//! The requests of `swath ask-tell`: parses one JSON line each, and explains malformed ones.

use crate::cli::exit::Failure;
use crate::logger::wire::special;
use crate::run::AskTellError;
use crate::source::diagnostic::nearest;
use crate::source::{Diagnostic, Level};
use crate::space::Name;
use crate::study::{Datum, Metric, Objective, TrialId};
use crate::sweep::{Rejected, given};
use serde_json::{Map, Value};

/// The maximum number of trials that one request may ask for.
const MAX_ASK: u64 = 10_000;
const REQUESTS: [&str; 6] = ["ask", "tell", "report", "add", "best", "open"];

/// A parsed request.
#[derive(Debug, PartialEq)]
pub(super) enum Request {
    /// The client asks for this many trials. The reply has one line for each. With `folder`, each
    /// trial gets a folder.
    Ask { count: u64, folder: bool },
    /// The client reports the end of a trial.
    Tell(Tell),
    /// The client reports values of a trial that goes on.
    Report {
        trial: TrialId,
        values: Vec<(Name, Datum)>,
    },
    /// The client adds a configuration to try next; `point` holds it as lines of TOML.
    Add { point: String, again: bool },
    /// The client asks for this many best trials.
    Best(usize),
    /// The client asks for the trials that were handed out and have not ended.
    Open,
}

/// The end of a trial.
#[derive(Debug, PartialEq)]
pub(super) struct Tell {
    pub(super) trial: TrialId,
    /// The reports before the end, in order.
    pub(super) reports: Vec<Vec<(Name, Datum)>>,
    pub(super) values: Values,
    pub(super) ending: Ending,
    pub(super) why: Option<String>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Values {
    None,
    /// One value per objective, in the order of the sweep file.
    Objectives(Vec<f64>),
    Named(Vec<(Name, Datum)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Complete,
    Failed,
    Invalid,
    Stopped,
    /// The client gives the trial back, to be asked for again.
    Waiting,
}

/// The reason why a line was refused, and what the client can do about it.
#[derive(Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) cause: String,
    pub(super) help: String,
}

impl Refusal {
    pub(super) fn new(cause: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            cause: cause.into(),
            help: help.into(),
        }
    }

    pub(super) fn of(error: &AskTellError) -> Self {
        let help = match error {
            AskTellError::NoSuchTrial(_) => {
                "use the id of a trial that was asked for: {\"ask\": 1}".to_owned()
            }
            AskTellError::NotOpen { asked: false, .. } => {
                "ask for it first: {\"ask\": 1}".to_owned()
            }
            AskTellError::NotOpen { .. } => {
                "a trial ends only once; {\"open\": true} lists the open trials".to_owned()
            }
            AskTellError::NothingReported(_) => {
                "send its \"value\", or \"state\": \"failed\"".to_owned()
            }
            AskTellError::Count { wanted, .. } => {
                format!(
                    "send {wanted} values in the order of the sweep file, or name them: {{\"values\": {{…}}}}"
                )
            }
            AskTellError::Impossible => "change the values, or the constraints".to_owned(),
            AskTellError::Duplicate(_) => "send \"again\": true to add it anyway".to_owned(),
            AskTellError::Refused(rejected) => {
                return Self::of_rejected(rejected, "choose values that the space admits");
            }
            _ => String::new(),
        };
        Self::new(error.to_string(), help)
    }

    /// Returns all errors of a sweep file or a configuration on one line. `help` is used if none of
    /// the errors has a hint.
    pub(super) fn of_rejected(rejected: &Rejected, help: &str) -> Self {
        let errors: Vec<&Diagnostic> = rejected
            .diagnostics
            .list
            .iter()
            .filter(|diagnostic| diagnostic.level == Level::Error)
            .collect();
        let causes: Vec<String> = errors.iter().map(|error| labelled_message(error)).collect();
        let hints: Vec<&str> = errors
            .iter()
            .flat_map(|error| &error.hints)
            .map(String::as_str)
            .collect();
        let help = if hints.is_empty() {
            help.to_owned()
        } else {
            hints.join("; ")
        };
        Self::new(causes.join("; "), help)
    }

    /// Returns the failure of the command with its causes on one line.
    pub(super) fn of_failure(failure: &Failure) -> Self {
        let causes = std::iter::once(&failure.message).chain(&failure.causes);
        let causes: Vec<&str> = causes.map(String::as_str).collect();
        Self::new(causes.join(": "), failure.hints.join("; "))
    }
}

/// Returns the message of a diagnostic, with the label of its first span in parentheses.
pub(super) fn labelled_message(diagnostic: &Diagnostic) -> String {
    match diagnostic.labels.first() {
        Some((_, label)) if !label.is_empty() => format!("{} ({label})", diagnostic.message),
        _ => diagnostic.message.clone(),
    }
}

impl Request {
    /// Parses a line. NaN and the infinities are accepted as Python writes them. Fails if the line
    /// is not one JSON object with exactly one request.
    pub(super) fn parse(
        line: &[u8],
        objectives: &[Objective],
        resource: Option<&Name>,
    ) -> Result<Self, Refusal> {
        let mut object = object_of(line)?;
        let again = object.remove("again");
        let folder = match object.contains_key("ask") {
            true => object.remove("folder") == Some(Value::Bool(true)),
            false => false,
        };
        let mut entries = object.into_iter();
        let (Some((key, value)), rest) = (entries.next(), entries.next()) else {
            return Err(Refusal::new(
                "the request is empty",
                "send a request such as {\"ask\": 1}",
            ));
        };
        if let Some((other, _)) = rest {
            return Err(Refusal::new(
                format!("`{key}` and `{other}` are two requests"),
                "send one request per line",
            ));
        }
        let parser = ValueParser {
            objectives,
            resource,
        };
        match key.as_str() {
            "ask" => match value {
                Value::Bool(true) | Value::Null => Ok(Self::Ask { count: 1, folder }),
                other => match other.as_u64().filter(|count| (1..=MAX_ASK).contains(count)) {
                    Some(count) => Ok(Self::Ask { count, folder }),
                    None => Err(Refusal::new(
                        format!("`ask` is {other}"),
                        format!("send a number of trials from 1 to {MAX_ASK}: {{\"ask\": 1}}"),
                    )),
                },
            },
            "tell" => parser.tell(value),
            "report" => parser.report(value),
            "add" => Ok(Self::Add {
                point: point(value)?,
                again: again == Some(Value::Bool(true)),
            }),
            "best" => Ok(Self::Best(
                value
                    .as_u64()
                    .map_or(1, |count| usize::try_from(count).unwrap_or(1)),
            )),
            "open" => Ok(Self::Open),
            other => Err(unknown("request", other, &REQUESTS)),
        }
    }
}

fn unknown(kind: &str, word: &str, known: &[&str]) -> Refusal {
    let help = match nearest(word, known.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("known are {}", known.join(", ")),
    };
    Refusal::new(format!("there is no {kind} `{}`", clipped(word)), help)
}

fn clipped(word: &str) -> String {
    if word.chars().count() <= 60 {
        word.to_owned()
    } else {
        word.chars().take(60).chain(['…']).collect()
    }
}

fn object_of(line: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let example = "send one JSON object per line: {\"ask\": 1}";
    let Ok(text) = std::str::from_utf8(line) else {
        return Err(Refusal::new("the line is not UTF-8", example));
    };
    // The bare words of Python are quoted only if plain JSON fails. The first error is kept: its
    // column refers to the line as sent.
    let read = serde_json::from_str(text)
        .or_else(|error| serde_json::from_str(&quoted_specials(text)).map_err(|_| error));
    match read {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Refusal::new("the line is JSON, but not an object", example)),
        Err(error) => Err(Refusal::new(
            format!("the line is not JSON: {error}"),
            example,
        )),
    }
}

/// Returns the text with NaN, Infinity and -Infinity in quotes. Python's `json` writes them as bare
/// words. Words inside strings are left alone.
fn quoted_specials(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let mut quoted = false;
    while let Some(char) = rest.chars().next() {
        let word = ["-Infinity", "Infinity", "NaN"]
            .into_iter()
            .find(|word| !quoted && rest.starts_with(word));
        if let Some(word) = word {
            out.extend(["\"", word, "\""]);
            rest = &rest[word.len()..];
            continue;
        }
        out.push(char);
        rest = &rest[char.len_utf8()..];
        // The character after a backslash is copied as it is: it may be an escaped quote.
        if char == '\\' && quoted {
            if let Some(escaped) = rest.chars().next() {
                out.push(escaped);
                rest = &rest[escaped.len_utf8()..];
            }
        } else if char == '"' {
            quoted = !quoted;
        }
    }
    out
}

/// Returns a configuration as lines of TOML. Fails if `value` is not an object of parameter values.
fn point(value: Value) -> Result<String, Refusal> {
    let Value::Object(params) = value else {
        return Err(point_refusal());
    };
    let pairs: Vec<(String, String)> = params
        .into_iter()
        .map(|(name, value)| Ok((name, toml_literal(value)?)))
        .collect::<Result<_, Refusal>>()?;
    Ok(given::lines(
        pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    ))
}

fn toml_literal(value: Value) -> Result<String, Refusal> {
    let value: crate::space::Value = serde_json::from_value(value).map_err(|_| point_refusal())?;
    Ok(given::literal(&value))
}

fn point_refusal() -> Refusal {
    Refusal::new(
        "`add` is not an object of parameters",
        "name them: {\"add\": {\"lr\": 0.1, \"layers\": 2}}",
    )
}

/// Parses the values of `tell` and `report` with the names that the sweep file defines.
struct ValueParser<'a> {
    objectives: &'a [Objective],
    resource: Option<&'a Name>,
}

const TELL: [&str; 8] = [
    "trial", "value", "values", "step", "reports", "state", "why", "verdict",
];

impl ValueParser<'_> {
    fn tell(&self, value: Value) -> Result<Request, Refusal> {
        let (trial, mut object) = self.take_trial("tell", value)?;
        // A step without a state means that the trial goes on, so this is an intermediate report.
        if object.contains_key("step") && !object.contains_key("state") {
            return self.report_of(trial, object);
        }
        let has_state = object.contains_key("state");
        let ending = match object.remove("state") {
            None => Ending::Complete,
            Some(Value::String(word)) => match word.as_str() {
                "complete" | "done" => Ending::Complete,
                "failed" | "fail" => Ending::Failed,
                "invalid" => Ending::Invalid,
                "stopped" | "pruned" => Ending::Stopped,
                "waiting" => Ending::Waiting,
                other => {
                    return Err(unknown(
                        "state",
                        other,
                        &["complete", "failed", "invalid", "stopped", "waiting"],
                    ));
                }
            },
            Some(other) => {
                return Err(Refusal::new(
                    format!("`state` is {other}"),
                    "send \"complete\", \"failed\", \"invalid\", \"stopped\" or \"waiting\"",
                ));
            }
        };
        let reports = match object.remove("reports") {
            None => Vec::new(),
            Some(Value::Array(reports)) => reports
                .into_iter()
                .map(|report| match report {
                    Value::Object(report) => named(report),
                    _ => Err(reports_refusal()),
                })
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(reports_refusal()),
        };
        let step = self.step(&mut object)?;
        let mut values = self.values(&mut object)?;
        if let (Some(step), Values::Named(values)) = (step, &mut values) {
            values.insert(0, step);
        }
        let why = object
            .remove("why")
            .map(|why| why.as_str().map_or_else(|| why.to_string(), str::to_owned));
        self.refuse_other_keys("tell", &object)?;
        if !has_state && reports.is_empty() && values == Values::None {
            return Err(Refusal::new(
                format!("`tell` has no result of trial {trial}"),
                "send its \"value\", or \"state\": \"complete\" after its reports, or \"state\": \"failed\"",
            ));
        }
        Ok(Request::Tell(Tell {
            trial,
            reports,
            values,
            ending,
            why,
        }))
    }

    fn report(&self, value: Value) -> Result<Request, Refusal> {
        let (trial, object) = self.take_trial("report", value)?;
        self.report_of(trial, object)
    }

    fn report_of(
        &self,
        trial: TrialId,
        mut object: Map<String, Value>,
    ) -> Result<Request, Refusal> {
        let step = self.step(&mut object)?;
        let values = match self.values(&mut object)? {
            Values::None => {
                return Err(Refusal::new(
                    "the report has no values",
                    "send \"value\", or name them: {\"values\": {…}}",
                ));
            }
            Values::Named(values) => values,
            Values::Objectives(values) if values.len() == self.objectives.len() => {
                let metrics = self.objectives.iter().map(|objective| &objective.metric);
                metrics
                    .zip(values)
                    .map(|(metric, value)| (metric.clone(), Datum::Number(Metric(value))))
                    .collect()
            }
            Values::Objectives(values) => {
                let error = AskTellError::Count {
                    given: values.len(),
                    wanted: self.objectives.len(),
                };
                return Err(Refusal::of(&error));
            }
        };
        self.refuse_other_keys("report", &object)?;
        Ok(Request::Report {
            trial,
            values: step.into_iter().chain(values).collect(),
        })
    }

    /// Removes the trial from the object of a request. Returns its id and the other keys.
    fn take_trial(
        &self,
        request: &str,
        value: Value,
    ) -> Result<(TrialId, Map<String, Value>), Refusal> {
        let help = format!("send {{\"{request}\": {{\"trial\": 7, \"value\": 0.31}}}}");
        let Value::Object(mut object) = value else {
            return Err(Refusal::new(format!("`{request}` is not an object"), help));
        };
        let trial = match object.remove("trial") {
            None => return Err(Refusal::new(format!("`{request}` names no trial"), help)),
            Some(id) => match id.as_u64().and_then(|id| u32::try_from(id).ok()) {
                Some(id) => TrialId(id),
                None => {
                    let cause = format!("`trial` is {}", clipped(&id.to_string()));
                    return Err(Refusal::new(
                        cause,
                        "send the number from the reply to `ask`",
                    ));
                }
            },
        };
        Ok((trial, object))
    }

    /// Removes the step from a report. Returns it under the name of the sweep's resource, or as
    /// `step`.
    fn step(&self, object: &mut Map<String, Value>) -> Result<Option<(Name, Datum)>, Refusal> {
        let Some(step) = object.remove("step") else {
            return Ok(None);
        };
        let number = number(&step)
            .ok_or_else(|| Refusal::new(format!("`step` is {step}"), "send a number"))?;
        let name = self.resource.cloned().unwrap_or_else(|| "step".into());
        Ok(Some((name, Datum::Number(Metric(number)))))
    }

    fn values(&self, object: &mut Map<String, Value>) -> Result<Values, Refusal> {
        match (object.remove("value"), object.remove("values")) {
            (None, None) => Ok(Values::None),
            (Some(_), Some(_)) => Err(Refusal::new(
                "the request has both `value` and `values`",
                "send one of them",
            )),
            (Some(value), None) => self
                .in_order(&[value])
                .map_err(|value| value_refusal("value", value)),
            (None, Some(Value::Array(items))) => self
                .in_order(&items)
                .map_err(|item| value_refusal("values", item)),
            (None, Some(Value::Object(values))) => Ok(Values::Named(named(values)?)),
            (None, Some(other)) => self
                .in_order(&[other])
                .map_err(|value| value_refusal("values", value)),
        }
    }

    /// Reads values in the order of the objectives. If some are numbers in quotes, all values are
    /// returned by name and those stay texts, so that the study warns about them. Returns the first
    /// item that is not a number as the error.
    fn in_order<'v>(&self, items: &'v [Value]) -> Result<Values, &'v Value> {
        if let Some(numbers) = items.iter().map(number).collect() {
            return Ok(Values::Objectives(numbers));
        }
        if let Some(item) = items.iter().find(|item| !is_numeric(item)) {
            return Err(item);
        }
        let names = self
            .objectives
            .iter()
            .map(|objective| objective.metric.clone());
        if items.len() != self.objectives.len() {
            // The caller checks the count and reports a wrong one before anything else.
            return Ok(Values::Objectives(vec![f64::NAN; items.len()]));
        }
        Ok(Values::Named(
            names.zip(items.iter().map(number_or_text)).collect(),
        ))
    }

    fn refuse_other_keys(&self, request: &str, object: &Map<String, Value>) -> Result<(), Refusal> {
        let Some(key) = object.keys().next() else {
            return Ok(());
        };
        if self
            .objectives
            .iter()
            .any(|objective| *objective.metric == **key)
        {
            let help = format!("move it into `values`: {{\"values\": {{\"{key}\": …}}}}");
            return Err(Refusal::new(format!("`{key}` is outside `values`"), help));
        }
        Err(unknown(&format!("key of `{request}`"), key, &TELL[..7]))
    }
}

fn reports_refusal() -> Refusal {
    Refusal::new(
        "`reports` is not a list of objects",
        "write them as [{\"epoch\": 1, \"loss\": 0.5}, …]",
    )
}

fn value_refusal(key: &str, value: &Value) -> Refusal {
    let cause = format!("`{key}` is {}", clipped(&value.to_string()));
    Refusal::new(
        cause,
        "send numbers only; for a trial without a result send \"state\": \"failed\"",
    )
}

/// Reads reported values by name: numbers, texts and booleans.
fn named(values: Map<String, Value>) -> Result<Vec<(Name, Datum)>, Refusal> {
    values
        .into_iter()
        .map(|(key, value)| {
            let datum = datum(&key, value)?;
            Ok((Name::from(key), datum))
        })
        .collect()
}

fn datum(key: &str, value: Value) -> Result<Datum, Refusal> {
    match (number(&value), value) {
        (Some(number), _) => Ok(Datum::Number(Metric(number))),
        (None, Value::Bool(flag)) => Ok(Datum::Flag(flag)),
        (None, Value::String(text)) => Ok(Datum::Text(text)),
        (None, other) => {
            let cause = format!("`{}` is {}", clipped(key), clipped(&other.to_string()));
            let help = "a value must be a number, a string or a boolean";
            Err(Refusal::new(cause, help))
        }
    }
}

/// Returns a number as such and any other item as a text.
fn number_or_text(item: &Value) -> Datum {
    match (number(item), item) {
        (Some(number), _) => Datum::Number(Metric(number)),
        (None, Value::String(text)) => Datum::Text(text.clone()),
        (None, other) => Datum::Text(other.to_string()),
    }
}

fn is_numeric(item: &Value) -> bool {
    number(item).is_some() || is_number_in_quotes(item)
}

/// Reads a number. Strings such as `NaN` count as numbers, because JSON cannot write them.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => special(text),
        other => other.as_f64(),
    }
}

fn is_number_in_quotes(value: &Value) -> bool {
    matches!(value, Value::String(text) if text.trim().parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::{Goal, Take};

    fn parse(line: &str) -> Result<Request, Refusal> {
        let objective = Objective {
            metric: "loss".into(),
            goal: Goal::Min,
            take: Take::Best,
        };
        Request::parse(line.as_bytes(), &[objective], Some(&"epoch".into()))
    }

    fn tell(values: Values, ending: Ending) -> Request {
        Request::Tell(Tell {
            trial: TrialId(7),
            reports: Vec::new(),
            values,
            ending,
            why: None,
        })
    }

    #[test]
    fn a_tell_gives_a_result_a_failure_or_a_report() {
        let value = parse(r#"{"tell": {"trial": 7, "value": 0.31}}"#);
        assert_eq!(
            value,
            Ok(tell(Values::Objectives(vec![0.31]), Ending::Complete))
        );
        let failed = parse(r#"{"tell": {"trial": 7, "state": "failed"}}"#);
        assert_eq!(failed, Ok(tell(Values::None, Ending::Failed)));
        let reported = parse(r#"{"tell": {"trial": 7, "step": 3, "value": 0.5}}"#);
        let values = vec![
            ("epoch".into(), Datum::Number(Metric(3.0))),
            ("loss".into(), Datum::Number(Metric(0.5))),
        ];
        assert_eq!(
            reported,
            Ok(Request::Report {
                trial: TrialId(7),
                values
            })
        );
    }

    #[test]
    fn the_bare_nan_of_python_is_a_number() {
        let Ok(Request::Tell(tell)) =
            parse(r#"{"tell": {"trial": 7, "values": {"a\"NaN": "x", "loss": NaN}}}"#)
        else {
            panic!("it is a tell");
        };
        let Values::Named(values) = tell.values else {
            panic!("they are named")
        };
        assert_eq!(values[0], ("a\"NaN".into(), Datum::Text("x".into())));
        assert_eq!(values[1], ("loss".into(), Datum::Number(Metric(f64::NAN))));
    }

    #[test]
    fn every_mistake_has_a_cause_and_a_help() {
        for (line, cause, help) in [
            ("", "not JSON", "one JSON object"),
            ("[1]", "not an object", "one JSON object"),
            ("{}", "empty", "ask"),
            (r#"{"aks": 1}"#, "no request `aks`", "did you mean `ask`?"),
            (r#"{"ask": 0}"#, "`ask` is 0", "1 to"),
            (
                r#"{"ask": 1, "tell": 2}"#,
                "two requests",
                "one request per line",
            ),
            (r#"{"tell": 3}"#, "not an object", "send {"),
            (r#"{"tell": {"value": 1}}"#, "names no trial", "send {"),
            (
                r#"{"tell": {"trial": -1, "value": 1}}"#,
                "`trial` is -1",
                "number",
            ),
            (r#"{"tell": {"trial": 1}}"#, "no result of trial 1", "value"),
            (
                r#"{"tell": {"trial": 1, "value": "good"}}"#,
                "`value` is \"good\"",
                "numbers only",
            ),
            (
                r#"{"tell": {"trial": 1, "vlaue": 1}}"#,
                "no key of `tell` `vlaue`",
                "did you mean `value`?",
            ),
            (
                r#"{"tell": {"trial": 1, "value": 1, "loss": 1}}"#,
                "outside `values`",
                "move it into",
            ),
            (
                r#"{"tell": {"trial": 1, "state": "faild"}}"#,
                "no state `faild`",
                "did you mean `failed`?",
            ),
            (r#"{"report": {"trial": 1}}"#, "no values", "send"),
            (r#"{"add": 3}"#, "not an object", "name them"),
        ] {
            let refusal = parse(line).expect_err(line);
            assert!(refusal.cause.contains(cause), "{line}: {refusal:?}");
            assert!(refusal.help.contains(help), "{line}: {refusal:?}");
        }
    }
}
