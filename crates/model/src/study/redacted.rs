//! Records and exits without secrets. Texts of trials pass through here before they enter the
//! journal or a file of the study.

use super::{Datum, Exit, Failure, LogRecord};
use crate::source::secret::Secrets;
use crate::space::{Name, Value};

impl LogRecord {
    /// Returns the record without secrets in its texts. Names and paths stay as they are, and so do
    /// parameters.
    #[must_use]
    pub fn redacted(mut self, secrets: &Secrets) -> Self {
        match &mut self {
            Self::Report { values } | Self::Beyond { values } => redact_values(values, secrets),
            Self::Facts { facts, .. } => {
                *facts = facts
                    .iter()
                    .map(|(name, value)| (name.clone(), redacted_value(value, secrets)))
                    .collect();
            }
            Self::Output { value, .. } => *value = redacted_value(value, secrets),
            Self::Note { text }
            | Self::Warning { text }
            | Self::Invalid { why: text }
            | Self::Absent { why: text, .. } => {
                redact(text, secrets);
            }
            Self::Dataset { .. }
            | Self::Model { .. }
            | Self::Param { .. }
            | Self::Artifact { .. }
            | Self::Checkpoint { .. } => {}
        }
        self
    }
}

impl Exit {
    /// Returns the exit without secrets in the reason of a failure.
    #[must_use]
    pub fn redacted(mut self, secrets: &Secrets) -> Self {
        if let Self::Failed(failure) = &mut self {
            redact_failure(failure, secrets);
        }
        self
    }
}

fn redact_failure(failure: &mut Failure, secrets: &Secrets) {
    match failure {
        Failure::Raised { error, ended } => {
            redact(error, secrets);
            redact_failure(ended, secrets);
        }
        Failure::Spawn(text)
        | Failure::Error(text)
        | Failure::Panic(text)
        | Failure::Told(text)
        | Failure::NoObjective(text)
        | Failure::Invalid(text) => redact(text, secrets),
        Failure::Code(_) | Failure::Signal(_) | Failure::Timeout(_) | Failure::Memory => {}
    }
}

/// Replaces the secrets in reported texts.
pub fn redact_values(values: &mut [(Name, Datum)], secrets: &Secrets) {
    for (_, datum) in values {
        if let Datum::Text(text) = datum {
            redact(text, secrets);
        }
    }
}

fn redacted_value(value: &Value, secrets: &Secrets) -> Value {
    match value {
        Value::Text(text) => Value::Text(secrets.redact(text).into()),
        Value::List(items) => Value::List(
            items
                .iter()
                .map(|item| redacted_value(item, secrets))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn redact(text: &mut String, secrets: &Secrets) {
    let redacted = secrets.redact(text);
    if redacted != *text {
        *text = redacted.into_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_trial_lose_secrets_and_parameters_stay() {
        let variables = [("DB_PASSWORD".to_owned(), "correct horse".to_owned())];
        let secrets = Secrets::of_variables(variables, &[]);
        let raised = Exit::Failed(Failure::Raised {
            error: "login with correct horse failed".into(),
            ended: Box::new(Failure::Code(1)),
        });
        assert_eq!(
            raised.redacted(&secrets),
            Exit::Failed(Failure::Raised {
                error: "login with {env:DB_PASSWORD} failed".into(),
                ended: Box::new(Failure::Code(1)),
            })
        );
        let values = vec![("x".into(), Datum::Text("correct horse".into()))];
        let report = LogRecord::Report { values }.redacted(&secrets);
        assert!(!format!("{report:?}").contains("horse"));
        let param = LogRecord::Param {
            name: "x".into(),
            value: Value::Text("correct horse".into()),
        };
        assert_eq!(param.clone().redacted(&secrets), param);
    }
}
