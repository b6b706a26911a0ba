//! Proposes the values of a parameter from the default of an option and from its name.

use super::script::{DeclaredOption, OptionKind};
use serde_json::Value;

/// Words in the names of options that are kept at their defaults: they set the cost of a trial, its
/// repetition or its machine.
const FIXED: [&str; 24] = [
    "epoch",
    "steps",
    "iters",
    "iterations",
    "seed",
    "worker",
    "thread",
    "jobs",
    "device",
    "gpu",
    "port",
    "rank",
    "interval",
    "every",
    "verbose",
    "log",
    "eval",
    "debug",
    "save",
    "compile",
    "test",
    "val",
    "valid",
    "validation",
];

/// Words in the names of choices that are kept at their defaults: they say what is trained, and
/// where.
const FIXED_CHOICES: [&str; 10] = [
    "data",
    "dataset",
    "task",
    "split",
    "backend",
    "trainer",
    "logger",
    "mode",
    "dtype",
    "precision",
];

/// Words in the names of switches that are kept at their defaults: they say where and what the
/// program does, and not how it trains.
const FIXED_SWITCHES: [&str; 26] = [
    "cuda",
    "mps",
    "cpu",
    "accel",
    "dry",
    "train",
    "test",
    "predict",
    "evaluate",
    "validate",
    "resume",
    "overwrite",
    "download",
    "upload",
    "pin",
    "deterministic",
    "distributed",
    "quiet",
    "progress",
    "plot",
    "render",
    "video",
    "wandb",
    "track",
    "cache",
    "profile",
];

/// Words in the names of options whose values lie between 0 and 1, without 1.
const BELOW_ONE: [&str; 6] = [
    "drop",
    "momentum",
    "beta",
    "gamma",
    "decay_rate",
    "alpha_ema",
];

/// Words in the names of options that are shares of something, up to 1.
const SHARES: [&str; 15] = [
    "subsample",
    "colsample",
    "fraction",
    "frac",
    "ratio",
    "proportion",
    "smoothing",
    "percent",
    "features",
    "samples",
    "size",
    "split",
    "prob",
    "threshold",
    "quantile",
];

/// Returns the entry of `[space]` for an option, as TOML; a constant is its own value.
pub(super) fn entry(option: &DeclaredOption) -> Option<String> {
    match option.kind {
        OptionKind::Choice if is_fixed(&option.name) || has_part(&option.name, &FIXED_CHOICES) => {
            default(option)
        }
        OptionKind::Choice => Some(list(&option.choices)),
        OptionKind::Switch | OptionKind::Pair | OptionKind::TextBool | OptionKind::Bool => {
            let is_kept = is_fixed(&option.name) || has_part(&option.name, &FIXED_SWITCHES);
            Some(match is_kept {
                true => option.default.to_string(),
                false => "[true, false]".to_owned(),
            })
        }
        OptionKind::List => {
            let items = option.default.as_array()?;
            let is_plain = items
                .iter()
                .all(|item| item.is_number() || item.is_string());
            is_plain.then(|| format!("{{ value = {} }}", list(items)))
        }
        OptionKind::Int => integers(option, option.default.as_i64()?),
        OptionKind::Float => floats(option, option.default.as_f64()?),
    }
}

/// Returns the entry of `[space]` that gives an option its default. `None` if the default is not
/// known, so that the program uses it by itself.
pub(super) fn default(option: &DeclaredOption) -> Option<String> {
    match &option.default {
        Value::Null | Value::Object(_) => None,
        Value::Array(items) => Some(format!("{{ value = {} }}", list(items))),
        Value::Number(number) if option.kind == OptionKind::Float => {
            Some(format!("{:?}", number.as_f64()?))
        }
        other => Some(literal(other)),
    }
}

fn list(values: &[Value]) -> String {
    let values: Vec<String> = values.iter().map(literal).collect();
    format!("[{}]", values.join(", "))
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => toml::Value::from(text.as_str()).to_string(),
        other => other.to_string(),
    }
}

fn is_fixed(name: &str) -> bool {
    has_word(name, &FIXED)
}

/// Returns whether a name contains one of the words as a whole word, also in the plural, or a long
/// word anywhere.
fn has_word(name: &str, words: &[&str]) -> bool {
    let lower = name.to_lowercase();
    has_part(name, words)
        || words
            .iter()
            .any(|word| word.len() > 3 && lower.contains(word))
}

/// Returns whether a name contains one of the words as a whole word, also in the plural.
fn has_part(name: &str, words: &[&str]) -> bool {
    let name = name.to_lowercase();
    let mut parts = name.split(['-', '_', '.', '/']);
    parts.any(|part| {
        words
            .iter()
            .any(|word| part == *word || part.strip_suffix('s') == Some(*word))
    })
}

/// Half to twice the default. A default below 2 gives no useful range, so it goes up only.
fn integers(option: &DeclaredOption, default: i64) -> Option<String> {
    if is_fixed(&option.name) {
        return Some(default.to_string());
    }
    let (mut min, mut max) = match default {
        i64::MIN..=-1 => return Some(default.to_string()),
        0 => (0, 4),
        1 => (1, 4),
        _ => (default / 2, default.saturating_mul(2)),
    };
    if let Some(low) = option.low {
        min = min.max(low as i64);
    }
    if let Some(high) = option.high {
        max = max.min(high as i64);
    }
    (min < max).then(|| {
        let log = if max >= 64 && min > 0 {
            ", log = true"
        } else {
            ""
        };
        format!("{{ min = {min}, max = {max}{log} }}")
    })
}

fn floats(option: &DeclaredOption, default: f64) -> Option<String> {
    let name = &option.name;
    if is_fixed(name) {
        return Some(format!("{default:?}"));
    }
    if let (Some(low), Some(high)) = (option.low, option.high)
        && low < high
    {
        return Some(format!("{{ min = {low:?}, max = {high:?} }}"));
    }
    if (0.0..1.0).contains(&default) && has_word(name, &BELOW_ONE) {
        let max = if has_word(name, &["drop"]) { 0.7 } else { 0.99 };
        return Some(format!(
            "{{ min = 0.0, max = {:?} }}",
            f64::max(max, default)
        ));
    }
    if (0.0..=1.0).contains(&default) && has_word(name, &SHARES) {
        return Some(format!(
            "{{ min = {}, max = 1.0 }}",
            if default > 0.3 { 0.3 } else { 0.0 }
        ));
    }
    if default == 0.0 && has_word(name, &["decay", "weight_decay", "l1", "l2", "reg"]) {
        return Some("{ min = 1e-6, max = 1e-1, log = true }".to_owned());
    }
    if default <= 0.0 {
        return None;
    }
    let (min, mut max) = (default / 10.0, default * 10.0);
    // A learning rate above 1 diverges, and nothing else that is a rate exceeds it.
    if default < 1.0 && has_word(name, &["lr", "rate", "decay"]) {
        max = max.min(1.0);
    }
    Some(format!(
        "{{ min = {}, max = {}, log = true }}",
        short(min),
        short(max)
    ))
}

/// Writes a number with the digits that it needs: 3e-5, not 3.0000000000000004e-5.
fn short(number: f64) -> String {
    let rounded: f64 = format!("{number:.3e}").parse().unwrap_or(number);
    if (0.01..1000.0).contains(&rounded) {
        format!("{rounded:?}")
    } else {
        format!("{rounded:e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn option(name: &str, kind: OptionKind, default: Value) -> DeclaredOption {
        DeclaredOption::new(name.to_owned(), format!("--{name}"), kind, default)
    }

    #[test]
    fn ranges_respect_the_meaning_of_a_name() {
        use OptionKind::{Float, Int};
        for (name, kind, default, expected) in [
            (
                "lr",
                Float,
                json!(3e-4),
                Some("{ min = 3e-5, max = 3e-3, log = true }"),
            ),
            (
                "learning_rate",
                Float,
                json!(0.3),
                Some("{ min = 0.03, max = 1.0, log = true }"),
            ),
            (
                "subsample",
                Float,
                json!(0.8),
                Some("{ min = 0.3, max = 1.0 }"),
            ),
            (
                "max-features",
                Float,
                json!(0.5),
                Some("{ min = 0.3, max = 1.0 }"),
            ),
            ("test_size", Float, json!(0.2), Some("0.2")),
            (
                "feature_fraction",
                Float,
                json!(1.0),
                Some("{ min = 0.3, max = 1.0 }"),
            ),
            (
                "dropout",
                Float,
                json!(0.0),
                Some("{ min = 0.0, max = 0.7 }"),
            ),
            (
                "momentum",
                Float,
                json!(0.9),
                Some("{ min = 0.0, max = 0.99 }"),
            ),
            (
                "weight_decay",
                Float,
                json!(0.0),
                Some("{ min = 1e-6, max = 1e-1, log = true }"),
            ),
            (
                "C",
                Float,
                json!(1.0),
                Some("{ min = 0.1, max = 10.0, log = true }"),
            ),
            ("shift", Float, json!(-1.0), None),
            ("layers", Int, json!(1), Some("{ min = 1, max = 4 }")),
            (
                "batch-size",
                Int,
                json!(64),
                Some("{ min = 32, max = 128, log = true }"),
            ),
            ("epochs", Int, json!(20), Some("20")),
            ("seed", Int, json!(0), Some("0")),
            ("num-workers", Int, json!(4), Some("4")),
        ] {
            let entry = entry(&option(name, kind, default));
            assert_eq!(entry.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_switch_of_the_machine_is_kept() {
        for (name, expected) in [
            ("no-cuda", "false"),
            ("dry-run", "false"),
            ("save-model", "false"),
            ("nesterov", "[true, false]"),
        ] {
            let switch = option(name, OptionKind::Switch, json!(false));
            assert_eq!(entry(&switch).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn a_choice_of_the_data_or_the_machine_is_kept() {
        for (name, expected) in [
            ("dataset", r#""a""#),
            ("device", r#""a""#),
            ("optimizer", r#"["a", "b"]"#),
            ("data-augmentation", r#""a""#),
            ("activation", r#"["a", "b"]"#),
        ] {
            let mut choice = option(name, OptionKind::Choice, json!("a"));
            choice.choices = vec![json!("a"), json!("b")];
            assert_eq!(entry(&choice).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn the_bounds_of_the_script_hold() {
        let mut depth = option("depth", OptionKind::Int, json!(6));
        depth.high = Some(8.0);
        assert_eq!(entry(&depth).unwrap(), "{ min = 3, max = 8 }");
        let mut share = option("x", OptionKind::Float, json!(0.5));
        (share.low, share.high) = (Some(0.0), Some(1.0));
        assert_eq!(entry(&share).unwrap(), "{ min = 0.0, max = 1.0 }");
    }
}
