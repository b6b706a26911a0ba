//! The filters and orders of MLflow's search: `metrics.loss < 0.5 AND params.depth = '3'`.

use super::runs::Run;
use std::cmp::Ordering;

/// A value of a run that a search compares.
#[derive(Debug, PartialEq, PartialOrd)]
enum Cell<'r> {
    Number(f64),
    Text(&'r str),
}

/// A condition of a filter.
struct Clause {
    entity: String,
    key: String,
    operator: String,
    values: Vec<String>,
}

/// Returns a check of runs for a filter.
///
/// # Errors
/// The part of the filter that cannot be read.
pub(super) fn parse(filter: &str) -> Result<impl Fn(&Run) -> bool + use<>, String> {
    let mut clauses = Vec::new();
    for text in split_conjunction(filter) {
        clauses.push(clause(text).ok_or_else(|| text.to_owned())?);
    }
    Ok(move |run: &Run| clauses.iter().all(|clause| clause.holds(run)))
}

/// Compares two runs by an entry of `order_by`: `metrics.loss DESC`.
pub(super) fn compare(order: &str, a: &Run, b: &Run) -> Ordering {
    let order = order.trim();
    let (name, is_descending) = match order.rsplit_once(' ') {
        Some((name, word)) if word.eq_ignore_ascii_case("desc") => (name, true),
        Some((name, word)) if word.eq_ignore_ascii_case("asc") => (name, false),
        _ => (order, false),
    };
    let (entity, key) = identifier(name.trim());
    match (cell(a, &entity, &key), cell(b, &entity, &key)) {
        (Some(a), Some(b)) => {
            let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            if is_descending {
                order.reverse()
            } else {
                order
            }
        }
        // A run without the value comes last in both directions.
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

impl Clause {
    fn holds(&self, run: &Run) -> bool {
        let cell = cell(run, &self.entity, &self.key);
        let value = self.values.first().map_or("", String::as_str);
        match &*self.operator {
            "is null" => return cell.is_none(),
            "is not null" => return cell.is_some(),
            _ => {}
        }
        let Some(cell) = cell else {
            return false;
        };
        let order = match cell {
            Cell::Number(number) => value
                .parse()
                .ok()
                .and_then(|value| number.partial_cmp(&value)),
            Cell::Text(text) => Some(text.cmp(value)),
        };
        match &*self.operator {
            "=" | "==" => order == Some(Ordering::Equal),
            "!=" => order != Some(Ordering::Equal),
            "<" => order == Some(Ordering::Less),
            "<=" => order.is_some_and(Ordering::is_le),
            ">" => order == Some(Ordering::Greater),
            ">=" => order.is_some_and(Ordering::is_ge),
            operator => {
                let Cell::Text(text) = cell else {
                    return false;
                };
                match operator {
                    "like" => is_like(text, value),
                    "ilike" => is_like(&text.to_lowercase(), &value.to_lowercase()),
                    "in" => self.values.iter().any(|value| value == text),
                    "not in" => self.values.iter().all(|value| value != text),
                    _ => false,
                }
            }
        }
    }
}

/// Returns the value of a run that an identifier names.
fn cell<'r>(run: &'r Run, entity: &str, key: &str) -> Option<Cell<'r>> {
    match entity {
        "metric" | "metrics" => {
            let point = run.metrics.get(key)?.last()?;
            Some(Cell::Number(point.value))
        }
        "param" | "params" | "parameter" | "parameters" => {
            run.params.get(key).map(|text| Cell::Text(text))
        }
        "tag" | "tags" => run.tags.get(key).map(|text| Cell::Text(text)),
        _ => match key {
            "run_id" => Some(Cell::Text(&run.id)),
            "run_name" | "run name" | "Run name" => Some(Cell::Text(&run.name)),
            "status" => Some(Cell::Text(&run.status)),
            "user_id" => Some(Cell::Text(&run.user)),
            "artifact_uri" => Some(Cell::Text(&run.artifact_uri)),
            "start_time" | "created" | "Created" => Some(Cell::Number(run.start as f64)),
            "end_time" => run.end.map(|end| Cell::Number(end as f64)),
            _ => None,
        },
    }
}

/// Splits `metrics.loss` into entity and key. Quotes around the key are removed.
fn identifier(name: &str) -> (String, String) {
    let (entity, key) = name.split_once('.').unwrap_or(("attributes", name));
    let key = key.trim_matches(['`', '"']);
    (entity.to_lowercase(), key.to_owned())
}

/// Splits a filter at each `AND` outside of quotes.
fn split_conjunction(filter: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quote) = (0, None);
    for (index, letter) in filter.char_indices() {
        match (quote, letter) {
            (None, '\'' | '"' | '`') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, ' ') => {
                let word = filter.get(index..index + 5).unwrap_or_default();
                if word.eq_ignore_ascii_case(" and ") && index >= start {
                    parts.push(&filter[start..index]);
                    start = index + 5;
                }
            }
            _ => {}
        }
    }
    parts.push(filter.get(start..).unwrap_or_default());
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Parses one condition; `None` if it cannot be read.
fn clause(text: &str) -> Option<Clause> {
    let text = text.trim();
    let name_end = match text
        .char_indices()
        .find(|(_, letter)| matches!(letter, '`' | '"'))
    {
        // A key in quotes may contain anything.
        Some((open, quote)) if text[..open].ends_with('.') => {
            open + 1 + text[open + 1..].find(quote)? + 1
        }
        _ => text.find([' ', '<', '>', '=', '!'])?,
    };
    let (entity, key) = identifier(&text[..name_end]);
    let rest = text[name_end..].trim_start();
    let lower = rest.to_ascii_lowercase();
    let operators = [
        "is not null",
        "is null",
        "not in",
        "ilike",
        "like",
        "in",
        "<=",
        ">=",
        "!=",
        "==",
        "=",
        "<",
        ">",
    ];
    let operator = operators.into_iter().find(|word| lower.starts_with(word))?;
    let values = rest[operator.len()..].trim();
    let values = match operator {
        "in" | "not in" => {
            let list = values.strip_prefix('(')?.strip_suffix(')')?;
            list.split(',').map(unquoted).collect()
        }
        "is null" | "is not null" => Vec::new(),
        _ => vec![unquoted(values)],
    };
    let operator = operator.to_owned();
    Some(Clause {
        entity,
        key,
        operator,
        values,
    })
}

fn unquoted(text: &str) -> String {
    text.trim().trim_matches(['\'', '"']).to_owned()
}

/// Returns whether a text matches a pattern of SQL, in which `%` stands for any letters and `_`
/// for one.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) =
        (text.chars().collect(), pattern.chars().collect());
    let (mut at, mut of) = (0, 0);
    // The last `%`, and the place in the text that it is matched up to: the search goes on there.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(of) {
            Some('%') => {
                star = Some((of, at));
                of += 1;
            }
            Some(letter) if *letter == '_' || *letter == text[at] => {
                at += 1;
                of += 1;
            }
            _ => match star {
                Some((percent, end)) => {
                    star = Some((percent, end + 1));
                    (at, of) = (end + 1, percent + 1);
                }
                None => return false,
            },
        }
    }
    pattern[of..].iter().all(|letter| *letter == '%')
}

#[cfg(test)]
mod tests {
    use super::super::points::{Point, Points};
    use super::super::runs::Run;
    use super::{compare, is_like, parse};
    use std::cmp::Ordering;

    fn run(name: &str, loss: f64) -> Run {
        let mut points = Points::default();
        points.add(Point {
            step: 0,
            at: 0,
            value: loss,
        });
        Run {
            id: "1".into(),
            experiment: "0".into(),
            name: name.into(),
            user: String::new(),
            status: "RUNNING".into(),
            start: 7,
            end: None,
            is_deleted: false,
            artifact_uri: String::new(),
            params: [("depth".to_owned(), "3".to_owned())].into(),
            tags: [("a b".to_owned(), "x and y".to_owned())].into(),
            metrics: [("val/loss".to_owned(), points)].into(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        }
    }

    #[test]
    fn a_filter_selects_runs_as_mlflow_does() {
        let run = run("main", 0.5);
        for (filter, expected) in [
            ("", true),
            ("metrics.`val/loss` < 1", true),
            ("metrics.\"val/loss\" >= 0.6", false),
            ("params.depth = '3' AND metrics.`val/loss`=0.5", true),
            ("params.depth = '3' and params.width = '1'", false),
            ("tags.`a b` = 'x and y'", true),
            ("attributes.status = 'RUNNING'", true),
            ("status = \"FINISHED\"", false),
            ("run_name LIKE 'ma%'", true),
            ("run_name ILIKE 'MA_N'", true),
            ("run_name IN ('other', 'main')", true),
            ("run_name not in ('main')", false),
            ("params.width IS NULL", true),
            ("params.depth is not null", true),
            ("start_time > 6", true),
        ] {
            let check = parse(filter).map_err(|part| part.clone()).unwrap();
            assert_eq!(check(&run), expected, "{filter}");
        }
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        let error = parse("params.depth = '3' AND nonsense").err();
        assert_eq!(error.as_deref(), Some("nonsense"));
        for filter in ["metrics.`a", "a in 3", "=", "é and ", "'"] {
            let _ = parse(filter);
        }
    }

    #[test]
    fn runs_are_ordered_by_a_value_in_either_direction() {
        let (a, b) = (run("a", 0.5), run("b", 0.7));
        assert_eq!(compare("metrics.`val/loss` ASC", &a, &b), Ordering::Less);
        assert_eq!(
            compare("metrics.`val/loss` DESC", &a, &b),
            Ordering::Greater
        );
        assert_eq!(compare("run_name", &a, &b), Ordering::Less);
        assert_eq!(compare("metrics.other", &a, &b), Ordering::Equal);
    }

    #[test]
    fn a_percent_sign_stands_for_any_letters() {
        for (text, pattern, expected) in [
            ("abc", "a%c", true),
            ("abc", "%b%", true),
            ("abc", "%d%", false),
            ("aab", "a%ab", true),
            ("", "%", true),
            ("abc", "ab", false),
        ] {
            assert_eq!(is_like(text, pattern), expected, "{text} {pattern}");
        }
    }
}
