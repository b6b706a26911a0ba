//! Typed access to the parameters of a configuration, for trainables in Rust.

use super::{Params, Value};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

/// A parameter that is absent or of another type than the caller asks for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamError {
    /// The configuration has no parameter of this name.
    #[error("there is no parameter `{name}`; the configuration has {names}")]
    Missing {
        /// The name that the caller asks for.
        name: String,
        /// The names of the configuration, separated by commas.
        names: String,
    },
    /// The parameter has a value of another type.
    #[error("parameter `{name}` is {value}, which is not {expected}")]
    WrongType {
        /// The name of the parameter.
        name: String,
        /// The value as it stands in tables.
        value: String,
        /// The type that the caller asks for, with its article.
        expected: &'static str,
    },
    /// The configuration does not fit the type that it is read into.
    #[error("the parameters do not fit: {0}")]
    Config(String),
}

impl Params {
    /// Returns a number. An integer parameter is converted.
    ///
    /// # Errors
    /// [`ParamError`] if the parameter is absent or no number.
    pub fn float(&self, name: &str) -> Result<f64, ParamError> {
        self.typed(name, "a number", Value::as_f64)
    }

    /// Returns a whole number.
    ///
    /// # Errors
    /// [`ParamError`] if the parameter is absent or no integer.
    pub fn int(&self, name: &str) -> Result<i64, ParamError> {
        self.typed(name, "a whole number", |value| match value {
            Value::Int(number) => Some(*number),
            _ => None,
        })
    }

    /// Returns a text.
    ///
    /// # Errors
    /// [`ParamError`] if the parameter is absent or no text.
    pub fn text(&self, name: &str) -> Result<&str, ParamError> {
        self.typed(name, "a text", |value| match value {
            Value::Text(text) => Some(&**text),
            _ => None,
        })
    }

    /// Returns a switch.
    ///
    /// # Errors
    /// [`ParamError`] if the parameter is absent or no switch.
    pub fn flag(&self, name: &str) -> Result<bool, ParamError> {
        self.typed(name, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// Reads the whole configuration into a type. Names with dots (`model.layers`) are fields of
    /// nested structures; a parameter that does not exist in this configuration is absent, so its
    /// field is an `Option` or has a default.
    ///
    /// # Errors
    /// [`ParamError::Config`] if a field is absent or of another type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ParamError> {
        let mut root = Map::new();
        for (name, value) in self {
            let leaf = serde_json::to_value(value);
            let leaf = leaf.map_err(|error| ParamError::Config(error.to_string()))?;
            insert(&mut root, name, leaf)?;
        }
        serde_json::from_value(Json::Object(root))
            .map_err(|error| ParamError::Config(error.to_string()))
    }

    fn typed<'a, T>(
        &'a self,
        name: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, ParamError> {
        let Some(value) = self.get(name) else {
            let names: Vec<_> = self.iter().map(|(name, _)| format!("`{name}`")).collect();
            return Err(ParamError::Missing {
                name: name.to_owned(),
                names: names.join(", "),
            });
        };
        read(value).ok_or_else(|| ParamError::WrongType {
            name: name.to_owned(),
            value: value.to_string(),
            expected,
        })
    }
}

/// Puts a value at the place that the dots of its name describe.
fn insert(group: &mut Map<String, Json>, name: &str, leaf: Json) -> Result<(), ParamError> {
    let Some((first, rest)) = name.split_once('.') else {
        group.insert(name.to_owned(), leaf);
        return Ok(());
    };
    let inner = group
        .entry(first)
        .or_insert_with(|| Json::Object(Map::new()));
    match inner {
        Json::Object(inner) => insert(inner, rest, leaf),
        _ => Err(ParamError::Config(format!(
            "`{first}` is a parameter and a group of parameters"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::ParamError;
    use crate::space::{Params, Value};
    use serde::Deserialize;

    fn params() -> Params {
        let entries = [
            ("lr", Value::Float(0.5)),
            ("model.layers", Value::Int(3)),
            (
                "model.units",
                Value::List(vec![Value::Int(8), Value::Int(4)]),
            ),
            ("optimizer", Value::Text("adam".into())),
            ("bias", Value::Bool(true)),
        ];
        let entries = entries.into_iter();
        entries.map(|(name, value)| (name.into(), value)).collect()
    }

    #[test]
    fn parameters_are_read_by_name_and_type_and_an_error_names_those_that_exist() {
        let params = params();
        assert_eq!(
            (params.float("lr"), params.float("model.layers")),
            (Ok(0.5), Ok(3.0))
        );
        assert_eq!(
            (params.int("model.layers"), params.flag("bias")),
            (Ok(3), Ok(true))
        );
        assert_eq!(params.text("optimizer"), Ok("adam"));
        let missing = params.float("lrr").unwrap_err().to_string();
        assert!(
            missing.starts_with("there is no parameter `lrr`; the configuration has `lr`,"),
            "{missing}"
        );
        let wrong = params.int("lr").unwrap_err().to_string();
        assert_eq!(wrong, "parameter `lr` is 0.5, which is not a whole number");
    }

    #[test]
    fn a_configuration_is_read_into_a_type_with_groups_and_absent_parameters() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Config {
            lr: f64,
            optimizer: String,
            momentum: Option<f64>,
            model: Model,
        }
        #[derive(Debug, PartialEq, Deserialize)]
        struct Model {
            layers: u32,
            units: Vec<u32>,
        }
        let expected = Config {
            lr: 0.5,
            optimizer: "adam".to_owned(),
            momentum: None,
            model: Model {
                layers: 3,
                units: vec![8, 4],
            },
        };
        assert_eq!(params().read::<Config>(), Ok(expected));
        #[derive(Debug, PartialEq, Deserialize)]
        struct Other {
            width: u32,
        }
        let error = params().read::<Other>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the parameters do not fit: missing field `width`"
        );
        let clash = [("a", 1), ("a.b", 2)].map(|(name, value)| (name.into(), Value::Int(value)));
        let clash: Params = clash.into_iter().collect();
        assert!(matches!(clash.read::<Other>(), Err(ParamError::Config(_))));
    }
}
