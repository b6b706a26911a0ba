//! A program of the user that proposes the configurations, by JSON lines.
//!
//! The program must be deterministic: its answer depends on the lines before it only. After a
//! restart it is told the whole history again, in the same order, and then proposes the same.

use super::{Ask, Sampler};
use crate::dialogue::{self, Dialogue};
use rand::RngExt;
use serde_json::{Value, json};
use swath_model::space::{Extent, Params, Refusal, Space};
use swath_model::study::kind::Capability;
use swath_model::study::{Event, Kind, SearchError, Study};

pub(super) const KIND: Kind<dyn Sampler> = Kind {
    name: "program",
    about: "a program of your own, asked for configurations by JSON lines",
    paper: None,
    options: &dialogue::OPTIONS,
    capabilities: &[Capability::Repeats],
    build: |mut section, setting, diagnostics| {
        let table = "[search.program]";
        let dialogue = Dialogue::take("sampler", table, &mut section, setting, diagnostics)?;
        Some(Box::new(Program { dialogue }))
    },
};

/// Number of proposals for one trial that a constraint may refuse before the run ends.
const TRIES: u32 = 100;

struct Program {
    dialogue: Dialogue,
}

/// The meaning of an answer.
enum Proposal {
    Configuration(Params),
    /// A constraint of the space refuses the configuration; the text names it.
    Refused(String),
    /// The program has nothing left to propose.
    Exhausted,
}

impl Sampler for Program {
    fn observe(&mut self, study: &Study, event: &Event) {
        self.dialogue.tell(study, event);
    }

    fn suggest(&self, ask: &Ask<'_>) -> Option<Params> {
        // 31 bits, so that the generators of all languages accept it.
        let seed = ask.rng().random::<u32>() >> 1;
        let mut last_refusal = String::new();
        for repetition in 0..TRIES {
            let request =
                json!({ "suggest": { "trial": ask.trial, "seed": seed, "try": repetition } });
            match self
                .dialogue
                .ask(&request, |answer| proposal(ask.space, answer))?
            {
                Proposal::Configuration(params) => return Some(params),
                Proposal::Exhausted => return None,
                Proposal::Refused(refusal) => last_refusal = refusal,
            }
        }
        self.dialogue.refuse(&format!(
            "proposed {TRIES} configurations for trial {} that are not allowed; of the last one, \
             {last_refusal}",
            ask.trial
        ));
        None
    }

    fn failure(&self) -> Option<SearchError> {
        self.dialogue.failure()
    }
}

/// Reads an answer to `suggest`.
fn proposal(space: &Space, answer: &Value) -> Result<Proposal, String> {
    let params = match (&answer["params"], &answer["unit"], &answer["done"]) {
        (params @ Value::Object(_), Value::Null, Value::Null) => natural(space, params)?,
        (Value::Null, Value::Array(unit), Value::Null) => space.decode(&coordinates(space, unit)?),
        (Value::Null, Value::Null, Value::Bool(true)) => return Ok(Proposal::Exhausted),
        _ => {
            let forms = "one of `params` (an object), `unit` (a list) and `done` (true)";
            return Err(format!("an answer to `suggest` has {forms}"));
        }
    };
    match space.admits(&params) {
        Ok(()) => Ok(Proposal::Configuration(params)),
        Err(refusal @ Refusal::Constraint(_)) => Ok(Proposal::Refused(refusal.to_string())),
        Err(refusal) => Err(described(space, &refusal)),
    }
}

/// Reads a configuration of natural values. Constants and derived values may be absent.
fn natural(space: &Space, answered: &Value) -> Result<Params, String> {
    let answered: Params =
        serde_json::from_value(answered.clone()).map_err(|error| error.to_string())?;
    let names = space.names();
    if let Some((name, _)) = answered.iter().find(|(name, _)| !names.contains(name)) {
        return Err(format!("the space has no parameter `{name}`"));
    }
    let answered: Params = answered
        .iter()
        .map(|(name, value)| (name.clone(), space.typed(name, value)))
        .collect();
    let params = space.complete(&answered, &vec![0.5; space.dims()]);
    for (name, value) in &params {
        match answered.get(name) {
            None if space.is_drawn(name) => return Err(format!("`{name}` is missing")),
            Some(other) if other != value => {
                return Err(format!("`{name}` = {other}, but it is always {value} here"));
            }
            _ => {}
        }
    }
    match answered.iter().find(|(name, _)| params.get(name).is_none()) {
        Some((name, _)) => Err(Refusal::Inactive(name.clone()).to_string()),
        None => Ok(params),
    }
}

/// Reads a point of the unit cube. 1 counts as the largest number below it.
fn coordinates(space: &Space, unit: &[Value]) -> Result<Vec<f64>, String> {
    if unit.len() != space.dims() {
        let dims = space.dims();
        return Err(format!(
            "`unit` has {} numbers instead of {dims}",
            unit.len()
        ));
    }
    unit.iter().map(coordinate).collect()
}

fn coordinate(value: &Value) -> Result<f64, String> {
    value
        .as_f64()
        .filter(|x| (0.0..=1.0).contains(x))
        .map(|x| x.min(1.0 - f64::EPSILON / 2.0))
        .ok_or_else(|| format!("`unit` contains {value}, which is no number from 0 to 1"))
}

/// Describes why a configuration is not in the space, with the range of a value outside it.
fn described(space: &Space, refusal: &Refusal) -> String {
    let extent = match refusal {
        Refusal::Outside { name, .. } => space.extent(name),
        _ => None,
    };
    match extent {
        Some(Extent::Range { min, max, .. }) => format!("{refusal}, from {min} to {max}"),
        _ => refusal.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an answer over a space with a condition, a constant and a derived value.
    fn read(answer: &Value) -> Result<Option<String>, String> {
        let text = "kind = [\"sgd\", \"adam\"]\nlr = { min = 1e-4, max = 1e-1, log = true }\n\
                    momentum = { min = 0.0, max = 0.9, when = \"kind == 'sgd'\" }\n\
                    layers = { min = 1, max = 4 }\nepochs = 9\nunits = { expr = \"layers * 16\" }\n";
        let mut diagnostics = swath_model::source::Diagnostics::default();
        let table = swath_model::source::Table::parse(text, &mut diagnostics);
        let section = swath_model::source::Section::new("space", 0..0, table);
        let space = Space::parse(section, None, &mut diagnostics).unwrap();
        match proposal(&space, answer)? {
            Proposal::Configuration(params) => Ok(Some(params.key())),
            Proposal::Refused(refusal) => Err(refusal),
            Proposal::Exhausted => Ok(None),
        }
    }

    #[test]
    fn natural_values_are_completed_by_constants_and_derived_values() {
        let answer = json!({ "params": { "kind": "adam", "lr": 0.01, "layers": 2 } });
        assert_eq!(
            read(&answer).unwrap().unwrap(),
            r#"{"kind":"adam","lr":0.01,"layers":2,"epochs":9,"units":32}"#
        );
        let with_constant = json!({
            "params": { "kind": "adam", "lr": 0.01, "layers": 2, "epochs": 9 }
        });
        assert_eq!(read(&with_constant), read(&answer));
        assert_eq!(read(&json!({ "done": true })), Ok(None));
    }

    /// Returns the error about a valid configuration after some changes.
    fn refusal(changes: &Value) -> String {
        let mut params = json!({ "kind": "adam", "lr": 0.01, "layers": 2 });
        for (name, value) in changes.as_object().unwrap() {
            params[name] = value.clone();
        }
        read(&json!({ "params": params })).unwrap_err()
    }

    #[test]
    fn an_answer_that_is_no_configuration_is_refused_with_the_reason() {
        assert_eq!(
            refusal(&json!({ "lr": 3 })),
            "`lr` = 3 is outside its range, from 0.0001 to 0.1"
        );
        assert_eq!(
            refusal(&json!({ "layers": 2.5 })),
            "`layers` = 2.5 is outside its range, from 1 to 4"
        );
        assert_eq!(refusal(&json!({ "kind": "sgd" })), "`momentum` is missing");
        assert_eq!(
            refusal(&json!({ "momentum": 0.5 })),
            "`momentum` does not exist in this configuration"
        );
        assert_eq!(
            refusal(&json!({ "epochs": 3 })),
            "`epochs` = 3, but it is always 9 here"
        );
        assert_eq!(
            refusal(&json!({ "rate": 3 })),
            "the space has no parameter `rate`"
        );
        for answer in [json!({}), json!([1]), json!({ "params": {}, "done": true })] {
            assert!(read(&answer).unwrap_err().contains("one of `params`"));
        }
    }
}
