use super::*;
use crate::sweep::{Rejected, Sweep};
use swath_model::source::Source;

fn page(name: &str) -> (String, String) {
    let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn every_table_has_its_options_in_the_documentation() {
    let (_, tables) = page("sweep-file.md");
    for section in SECTIONS
        .iter()
        .filter(|section| !section.options.is_empty())
    {
        let name = if section.name.is_empty() {
            "-"
        } else {
            section.name
        };
        assert!(tables.contains(&format!("<!-- keys: {name} -->")), "{name}");
    }
}

#[test]
fn the_first_example_of_the_documentation_is_a_good_sweep_file() {
    let text = include_str!("../../../../../docs/sweep-file.md")
        .split("```")
        .nth(1)
        .unwrap();
    let text = text.strip_prefix("toml\n").unwrap().to_owned();
    let sweep = Sweep::parse(Source {
        name: "x.toml".into(),
        text,
    })
    .unwrap();
    assert_eq!(sweep.warnings.list, []);
}

/// Returns a value that the option accepts, as TOML.
fn good(takes: Takes) -> String {
    match takes {
        Takes::Any | Takes::Text | Takes::Pattern => "'x'".to_owned(),
        Takes::Switch => "true".to_owned(),
        Takes::Count(least) => least.to_string(),
        Takes::Integer(least) => least.to_string(),
        Takes::Number => "0.5".to_owned(),
        Takes::Between(least, most) => f64::midpoint(least, most).to_string(),
        Takes::Duration => "'1h30m'".to_owned(),
        Takes::Size => "'8 GiB'".to_owned(),
        Takes::Form(shown, _) => format!("'{}'", shown.replace('N', "3")),
        Takes::OneOf(words) => format!("'{}'", words[0]),
        Takes::List(item) => format!("[{}]", good(*item)),
        Takes::Table(value) => format!("{{ crash = {} }}", good(*value)),
        Takes::Options(options) => {
            let entries = options
                .iter()
                .map(|option| format!("{} = {}", option.name, good(option.takes)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        Takes::Either(alternatives) => good(alternatives[0]),
        Takes::KindOf(part) => {
            let kinds = Registry::standard().declarations();
            format!(
                "'{}'",
                kinds.iter().find(|kind| kind.part == part).unwrap().name
            )
        }
    }
}

/// Returns values that the option rejects, as TOML: one of another type, and one beyond its bound.
fn bad(takes: Takes) -> Vec<String> {
    let mut bad = vec!["[[{}]]".to_owned()];
    match takes {
        Takes::Count(least) => bad.extend([(i128::from(least) - 1).to_string(), "2.5".to_owned()]),
        Takes::Between(least, most) => {
            bad.extend([format!("{:?}", least - 0.5), format!("{:?}", most + 0.5)]);
        }
        Takes::Form(..) | Takes::OneOf(_) | Takes::KindOf(_) => {
            bad.push("'no such word'".to_owned());
        }
        Takes::Duration | Takes::Size => bad.push("'3 parsecs'".to_owned()),
        Takes::Pattern => bad.push("'('".to_owned()),
        Takes::Number => bad.push("'x'".to_owned()),
        _ => {}
    }
    bad
}

fn parse(text: String) -> Result<Sweep, Rejected> {
    Sweep::parse(Source {
        name: "x.toml".into(),
        text,
    })
}

/// Returns the rest of a sweep file around a table, so that its options can refer to it.
fn file(table: &str) -> String {
    let parts = [
        (
            "[run]",
            "[run]\ncommand = ['true', '{args}']\ncheckpoint = true\n",
        ),
        ("objective]", "[objective]\nmetric = 'x'\ngoal = 'min'\n"),
        (
            "[space]",
            "[space]\ncrash = { min = 0.0, max = 1.0 }\nx = [1, 2]\n",
        ),
    ];
    let others = parts
        .iter()
        .filter(|(heading, _)| !table.contains(heading))
        .map(|(_, text)| *text);
    format!("{table}\n{}", others.collect::<String>())
}

/// Returns the lines of a table with one option set, beside the required options.
fn table(heading: &str, options: &[Opt], option: &Opt, value: &str) -> String {
    let others = options
        .iter()
        .filter(|other| other.default == Preset::Required && other.name != option.name);
    let others: String = others
        .map(|other| format!("{} = {}\n", other.name, required_value(other)))
        .collect();
    format!("{heading}\n{} = {value}\n{others}", option.name)
}

/// Returns a value that is consistent with those of the other options.
fn required_value(option: &Opt) -> String {
    match option.name {
        "max" => "9".to_owned(),
        // The command line passes every resource, whichever of the options asks for one.
        "submit" => "['x', '{cpus}', ['{gpus}'], ['{memory_mib}'], ['{walltime}']]".to_owned(),
        _ => good(option.takes),
    }
}

/// Filters diagnostics about one option by itself, not about its relation to others.
fn refused(text: &str, option: &Opt) -> Vec<&'static str> {
    let Err(rejected) = parse(file(text)) else {
        return Vec::new();
    };
    let errors = rejected.diagnostics.list.into_iter();
    errors
        .filter(|error| error.message.contains(option.name))
        .map(|error| error.code)
        .collect()
}

#[test]
fn every_declared_option_of_a_table_is_read_by_the_parser() {
    for section in SECTIONS
        .iter()
        .filter(|section| section.further != Further::OptionsOf("tracker"))
    {
        let heading = match section.name {
            "" => String::new(),
            name => format!("[{name}]"),
        };
        for option in section.options {
            let (name, takes) = (section.name, option.takes);
            let accepted = table(&heading, section.options, option, &good(takes));
            let wrong = [
                "unknown-key",
                "misplaced-key",
                "wrong-type",
                "bad-unit",
                "too-small",
                "out-of-range",
            ];
            let codes = refused(&accepted, option);
            assert!(
                !codes.iter().any(|code| wrong.contains(code)),
                "[{name}] {}: {codes:?}",
                option.name
            );
            for value in bad(takes) {
                let text = table(&heading, section.options, option, &value);
                assert!(
                    parse(file(&text)).is_err(),
                    "[{name}] {} = {value} is accepted",
                    option.name
                );
            }
        }
    }
}

#[test]
fn every_declared_option_of_a_kind_is_read_by_it() {
    for kind in Registry::standard().declarations() {
        let heading = match kind.part {
            "sampler" => format!("[search]\nsampler = '{0}'\n[search.{0}]", kind.name),
            "scheduler" => format!("[scheduler]\nname = '{}'\nresource = 'epoch'", kind.name),
            "tracker" => format!("[[tracker]]\nname = '{}'", kind.name),
            part => format!("[{part}]\nname = '{}'", kind.name),
        };
        for option in kind.options {
            let accepted = table(&heading, kind.options, option, &required_value(option));
            let codes = refused(&accepted, option);
            let wrong = [
                "unknown-key",
                "misplaced-key",
                "wrong-type",
                "bad-unit",
                "too-small",
            ];
            assert!(
                !codes.iter().any(|code| wrong.contains(code)),
                "{} {}: {codes:?}",
                kind.name,
                option.name
            );
            for value in bad(option.takes) {
                let text = table(&heading, kind.options, option, &value);
                assert!(
                    parse(file(&text)).is_err(),
                    "{} {} = {value} is accepted",
                    kind.name,
                    option.name
                );
            }
        }
    }
}

#[test]
fn the_schema_has_a_branch_for_each_kind_with_its_options_and_no_others() {
    let schema = schema(&Registry::standard());
    for (table, part) in [("scheduler", "scheduler"), ("executor", "executor")] {
        let branches = schema["properties"][table]["oneOf"].as_array().unwrap();
        check_branches(branches, part);
    }
    check_branches(
        schema["properties"]["tracker"]["anyOf"][0]["oneOf"]
            .as_array()
            .unwrap(),
        "tracker",
    );
    let search = &schema["properties"]["search"]["properties"];
    for kind in Registry::standard()
        .declarations()
        .iter()
        .filter(|kind| kind.part == "sampler")
    {
        let table = &search[kind.name];
        assert_eq!(table["additionalProperties"], json!(false), "{}", kind.name);
        let keys: Vec<_> = table["properties"].as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            kind.options
                .iter()
                .map(|option| option.name)
                .collect::<Vec<_>>()
        );
    }
}

fn check_branches(branches: &[Value], part: &str) {
    let kinds = Registry::standard().declarations();
    let kinds: Vec<_> = kinds.iter().filter(|kind| kind.part == part).collect();
    assert_eq!(branches.len(), kinds.len());
    for (branch, kind) in branches.iter().zip(kinds) {
        assert_eq!(branch["properties"]["name"]["const"], json!(kind.name));
        assert_eq!(branch["additionalProperties"], json!(false));
        for option in kind.options {
            assert!(
                branch["properties"][option.name]["description"].is_string(),
                "{} {}",
                kind.name,
                option.name
            );
        }
    }
}

#[test]
fn only_the_default_kind_may_go_without_its_name() {
    let schema = schema(&Registry::standard());
    let nameless = |table: &str| -> Vec<String> {
        let branches = schema["properties"][table]["oneOf"]
            .as_array()
            .unwrap()
            .iter();
        let named = |branch: &&Value| {
            branch["required"]
                .as_array()
                .unwrap()
                .contains(&json!("name"))
        };
        branches
            .filter(|branch| !named(branch))
            .map(|branch| branch["title"].to_string())
            .collect()
    };
    assert_eq!(nameless("scheduler"), ["\"fifo\""]);
    assert_eq!(nameless("executor"), ["\"pool\""]);
}
