use super::*;
use crate::source::Source;
use crate::sweep::Sweep;

/// `SWATH_BLESS=1 cargo test --lib reference` rewrites the page.
#[test]
fn the_documentation_shows_the_registries_as_they_are() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sweep-file.md");
    let written = std::fs::read_to_string(path).unwrap();
    if std::env::var_os("SWATH_BLESS").is_some() {
        std::fs::write(path, fill(&written)).unwrap();
    }
    let stands = std::fs::read_to_string(path).unwrap();
    let differs = fill(&stands)
        .lines()
        .zip(stands.lines())
        .find(|(wanted, found)| wanted != found)
        .map(|(wanted, _)| wanted.to_owned());
    assert_eq!(differs, None, "run it with SWATH_BLESS=1");
    for section in SECTIONS {
        let name = if section.name.is_empty() { "-" } else { section.name };
        assert!(section.keys.is_empty() || written.contains(&format!("<!-- keys: {name} -->")), "{name}");
    }
}

#[test]
fn the_first_example_of_the_documentation_is_a_good_sweep_file() {
    let text = include_str!("../../../docs/sweep-file.md").split("```").nth(1).unwrap();
    let text = text.strip_prefix("toml\n").unwrap().to_owned();
    let sweep = Sweep::parse(Source { name: "x.toml".into(), text }).unwrap();
    assert_eq!(sweep.warnings.list, []);
}

#[test]
fn every_documented_key_is_known_to_the_parser() {
    for section in SECTIONS {
        let mut text = String::new();
        if !section.name.is_empty() {
            let _ = writeln!(text, "[{}]", section.name);
        }
        for key in section.keys {
            let _ = writeln!(text, "{} = {}", key.name, example(key.takes));
        }
        let source = Source { name: "x.toml".into(), text };
        let Err(rejected) = Sweep::parse(source) else { continue };
        let bad = ["unknown-key", "wrong-type", "unknown-name", "bad-unit"];
        let found = rejected.diagnostics.list.iter().find(|found| bad.contains(&found.code));
        assert_eq!(found, None, "[{}]", section.name);
    }
}

fn example(takes: Takes) -> String {
    match takes {
        Takes::Text => "'x'".to_owned(),
        Takes::Texts | Takes::OneOrMore => "['x']".to_owned(),
        Takes::TakeRule => "'last:3'".to_owned(),
        Takes::Switch => "true".to_owned(),
        Takes::Count(least) => least.to_string(),
        Takes::Number => "0.5".to_owned(),
        Takes::Duration => "'1h30m'".to_owned(),
        Takes::Size => "'8 GiB'".to_owned(),
        Takes::OneOf(words) => format!("'{}'", words[0]),
        Takes::Failures => "['crash']".to_owned(),
        Takes::Variables => "{ X = '1' }".to_owned(),
        Takes::Waits => "{ crash = '10s' }".to_owned(),
        Takes::KindOf(what) => format!("'{}'", kinds_of(what)[0].0),
    }
}

#[test]
fn the_schema_offers_what_can_be_named() {
    let schema = schema();
    let samplers = schema["properties"]["search"]["properties"]["sampler"]["enum"].as_array().unwrap();
    let there: Vec<_> = SAMPLERS.iter().map(|kind| json!(kind.name)).collect();
    assert_eq!(*samplers, there);
}
