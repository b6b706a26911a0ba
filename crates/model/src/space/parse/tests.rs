//! Tests of the meaning of the space language.

mod growth;
mod mistakes;

use crate::source::{Diagnostics, NodeValue, Section, Source, Table, render};
use crate::space::{AxisKind, Digits, Extent, Params, Refusal, Space, Value};

fn section(table: &Table, name: &str) -> Option<Section> {
    let node = table.get(name)?;
    let NodeValue::Table(inner) = &node.value else {
        return None;
    };
    Some(Section::new(name, node.span.clone(), inner.clone()))
}

/// Parses `[space]`, `[constraints]` and one `[point]` of a text.
fn read(text: &str) -> (Option<Space>, Option<Params>, Diagnostics) {
    let mut d = Diagnostics::default();
    let table = Table::parse(text, &mut d);
    let Some(section_of_space) = section(&table, "space") else {
        return (None, None, d);
    };
    let space = Space::parse(section_of_space, section(&table, "constraints"), &mut d);
    let point = section(&table, "point")
        .and_then(|point| space.as_ref()?.parse_point(point, Digits::Exact, &mut d));
    (space, point, d)
}

fn space(text: &str) -> Space {
    let (space, _, d) = read(text);
    let source = Source {
        name: "sweep.toml".into(),
        text: text.into(),
    };
    let shown: Vec<_> = d
        .list
        .iter()
        .map(|diagnostic| render::text(&source, diagnostic, false))
        .collect();
    assert!(d.list.is_empty(), "{}", shown.join("\n\n"));
    space.unwrap()
}

/// Returns all diagnostics about a text as a terminal shows them.
fn diagnostics(text: &str) -> String {
    let source = Source {
        name: "sweep.toml".into(),
        text: text.into(),
    };
    let (_, _, d) = read(text);
    d.list
        .iter()
        .map(|diagnostic| render::text(&source, diagnostic, false))
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// Returns the codes of all diagnostics, in order.
fn codes(text: &str) -> Vec<&'static str> {
    read(text)
        .2
        .list
        .iter()
        .map(|diagnostic| diagnostic.code)
        .collect()
}

fn shown(params: &Params) -> String {
    params
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join(" ")
}

const EXAMPLE: &str = r#"
[space]
lr        = { min = 1e-5, max = 1e-1, log = true }
layers    = { min = 1, max = 4 }
optimizer = ["sgd", "adam", "adamw"]
momentum  = { min = 0.0, max = 0.99, when = "optimizer == 'sgd'" }
units     = { min = 16, max = 512, log = true, repeat = "layers" }
epochs    = 20

[constraints]
budget = "layers * 64 <= 4096"

[point]
lr = 3e-4
layers = 2
optimizer = "adam"
units = [128, 64]
"#;

#[test]
fn the_example_of_the_manual_has_the_axes_and_configurations_it_describes() {
    let space = space(EXAMPLE);
    let axes: Vec<_> = space
        .axes()
        .iter()
        .map(|axis| axis.name.to_string())
        .collect();
    assert_eq!(
        axes,
        [
            "lr",
            "layers",
            "optimizer",
            "momentum",
            "units[0]",
            "units[1]",
            "units[2]",
            "units[3]"
        ]
    );
    assert_eq!(space.axes()[1].kind, AxisKind::Ordered(4));
    let names: Vec<_> = space.names().iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        ["lr", "layers", "optimizer", "momentum", "units", "epochs"]
    );

    let sgd = space.decode(&[0.5, 0.4, 0.1, 0.5, 0.0, 0.999, 0.5, 0.5]);
    assert_eq!(
        shown(&sgd),
        "lr=0.001 layers=2 optimizer=sgd momentum=0.495 units=[16,511] epochs=20"
    );
    assert_eq!(
        space.active(&sgd),
        [true, true, true, true, true, true, false, false]
    );
    assert_eq!(space.admits(&sgd), Ok(()));

    let adam = space.decode(&[0.5, 0.0, 0.5, 0.9, 0.5, 0.5, 0.5, 0.5]);
    assert_eq!(
        shown(&adam),
        "lr=0.001 layers=1 optimizer=adam units=[89] epochs=20"
    );
    assert_eq!(space.size(), None);
}

#[test]
fn parameters_missing_in_a_point_are_drawn() {
    let (space, point, _) = read(EXAMPLE);
    let (space, point) = (space.unwrap(), point.unwrap());
    assert_eq!(
        shown(&point),
        "lr=0.0003 layers=2 optimizer=adam units=[128,64]"
    );
    let complete = space.complete(&point, &[0.5; 8]);
    assert_eq!(
        shown(&complete),
        "lr=0.0003 layers=2 optimizer=adam units=[128,64] epochs=20"
    );
    assert_eq!(space.admits(&complete), Ok(()));
    let other: Params = [("optimizer".into(), Value::Text("sgd".into()))]
        .into_iter()
        .collect();
    let complete = space.complete(&other, &[0.5; 8]);
    assert_eq!(
        shown(&complete),
        "lr=0.001 layers=3 optimizer=sgd momentum=0.495 units=[89,89,89] epochs=20"
    );
}

#[test]
fn a_logarithm_and_a_step_make_a_grid_on_which_small_values_come_more_often() {
    let space = space(
        r#"
[space]
lr    = { min = 1e-4, max = 0.1, step = 1e-4, log = true }
batch = { min = 16, max = 1024, step = 16, log = true }
top   = { min = 8, max = 64, step = 8 }
bound = { min = 8, max = "top", step = 8, log = true }
"#,
    );
    let kinds: Vec<_> = space.axes().iter().map(|axis| axis.kind.clone()).collect();
    assert_eq!(kinds, [1000, 64, 8, 8].map(AxisKind::Ordered));
    let params = space.decode(&[0.5, 0.5, 0.99, 0.5]);
    assert_eq!(shown(&params), "lr=0.0032 batch=128 top=64 bound=24");
    assert_eq!(space.admits(&params), Ok(()));
    let coordinates = space.encode(&params);
    assert_eq!(space.decode(&coordinates), params);
    let shown = diagnostics("[space]\nx = { min = 0.0, max = 1.0, step = 0.1, log = true }\n");
    assert!(
        shown.contains("give a small positive `min`, such as 0.1"),
        "{shown}"
    );
    for (name, is_log) in [("lr", true), ("batch", true), ("top", false)] {
        assert!(
            matches!(space.extent(name), Some(Extent::Range { log, .. }) if log == is_log),
            "{name}"
        );
    }
}

#[test]
fn every_form_of_parameter_in_the_manual_is_read() {
    let space = space(
        r#"
[space]
flag    = true
shape   = { value = [1, 2] }
size    = [8, 16, 32]
kind    = { choice = ["a", "b"], weights = [3, 1] }
grade   = { choice = ["low", "high"], ordered = true }
drop    = { min = 0.0, max = 0.5, step = 0.05 }
rough   = { min = 0, max = 1.0, digits = 2 }
noise   = { mean = 0.0, std = 1.0 }
scale   = { mean = 0.0, std = 0.5, log = true, max = 2 }
twice   = { expr = "size * 2" }
pair    = { rows = [{ m = "a", o = 1 }, { m = "b", o = 2 }] }
image   = 32
patch   = { min = 1, max = "image / 2" }
masks   = { choice = [0, 1], repeat = 3 }
"#,
    );
    let params = space.decode(&vec![0.8; space.dims()]);
    assert_eq!(
        shown(&params),
        "flag=true shape=[1,2] size=32 kind=b grade=high drop=0.4 rough=0.8 noise=0.841621 scale=1.36626 twice=64 m=b o=2 \
         image=32 patch=13 masks=[1,1,1]"
    );
    let kinds: Vec<_> = space
        .axes()
        .iter()
        .map(|axis| (&*axis.name, axis.kind.clone()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("size", AxisKind::Ordered(3)),
            ("kind", AxisKind::Choice(vec![0.75, 0.25])),
            ("grade", AxisKind::Ordered(2)),
            ("drop", AxisKind::Ordered(11)),
            ("rough", AxisKind::Real),
            ("noise", AxisKind::Real),
            ("scale", AxisKind::Real),
            ("pair", AxisKind::Choice(vec![0.5, 0.5])),
            ("patch", AxisKind::Ordered(16)),
            ("masks[0]", AxisKind::Ordered(2)),
            ("masks[1]", AxisKind::Ordered(2)),
            ("masks[2]", AxisKind::Ordered(2)),
        ]
    );
    assert_eq!(space.admits(&params), Ok(()));
}

const BRANCHES: &str = r#"
[space]
batch = [32, 64]

[space.model]
layers = { min = 1, max = 3 }

[space.optimizer]
choice = ["sgd", "adam", "plain"]

[space.optimizer.sgd]
lr = { min = 0.01, max = 1.0 }
momentum = [0.0, 0.9]

[space.optimizer.adam]
lr = { min = 1e-4, max = 1e-2, log = true }
"#;

#[test]
fn branches_exist_for_their_choice_only_and_may_share_names() {
    let space = space(BRANCHES);
    let names: Vec<_> = space.names().iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        ["batch", "model.layers", "optimizer", "lr", "momentum"]
    );
    for (optimizer, expected) in [
        (0.1, "optimizer=sgd lr=0.505 momentum=0.9"),
        (0.5, "optimizer=adam lr=0.001"),
        (0.9, "optimizer=plain"),
    ] {
        let params = space.decode(&[0.1, 0.5, optimizer, 0.5, 0.9, 0.5]);
        assert_eq!(
            shown(&params),
            format!("batch=32 model.layers=2 {expected}")
        );
    }
    let adam = space.decode(&[0.1, 0.5, 0.5, 0.5, 0.9, 0.5]);
    assert_eq!(space.encode(&adam), [0.25, 0.5, 0.5, 0.5, 0.5, 0.5]);
}

#[test]
fn missing_inactive_and_outside_values_are_refused() {
    let space = space(BRANCHES);
    for (text, expected) in [
        (
            r#"{"batch":32,"model.layers":1,"optimizer":"plain"}"#,
            Ok(()),
        ),
        (
            r#"{"batch":32,"optimizer":"plain"}"#,
            Err(Refusal::Missing("model.layers".into())),
        ),
        (
            r#"{"batch":32,"model.layers":1,"optimizer":"plain","lr":0.5}"#,
            Err(Refusal::Inactive("lr".into())),
        ),
        (
            r#"{"batch":32,"model.layers":1,"optimizer":"adam","lr":0.5}"#,
            Err(Refusal::Outside {
                name: "lr".into(),
                value: Value::Float(0.5),
            }),
        ),
        (r#"{"epochs":1}"#, Err(Refusal::Inactive("epochs".into()))),
    ] {
        let params: Params = serde_json::from_str(text).unwrap();
        assert_eq!(space.admits(&params), expected, "{text}");
    }
}

#[test]
fn the_size_counts_every_branch() {
    let text = r#"
[space]
layers = { min = 1, max = 3 }
units = { choice = [16, 32], repeat = "layers" }
[space.optimizer]
choice = ["sgd", "adam"]
[space.optimizer.sgd]
momentum = [0.0, 0.5, 0.9]
"#;
    assert_eq!(space(text).size(), Some((2 + 4 + 8) * (3 + 1)));
    assert_eq!(space(BRANCHES).size(), None);
    assert_eq!(space("[space]\nx = 3").size(), Some(1));
    assert_eq!(
        space("[space]\na = [1, 2, 3]\nb = { min = 1, max = \"a\" }").size(),
        Some(6)
    );
}

#[test]
fn constraints_refuse_and_are_measured() {
    let text = "[space]\na = { min = 0.0, max = 1.0 }\nm = { min = 0.0, max = 1.0, when = 'a > 2' }\n\
                [constraints]\nhalf = 'a < 0.5'\nabsent = 'm > 0.5'";
    let space = space(text);
    assert_eq!(
        space.admits(&space.decode(&[0.75, 0.0])),
        Err(Refusal::Constraint("half".into()))
    );
    assert_eq!(
        space.admits(&space.decode(&[0.25, 0.0])),
        Ok(()),
        "a constraint on an inactive parameter refuses nothing"
    );
    assert!((space.acceptance(1, 1000) - 0.5).abs() < 0.05);
}

#[test]
fn a_bound_or_value_that_cannot_be_computed_refuses_the_configuration() {
    let text = "[space]\na = { min = 0, max = 2 }\nb = { min = 1.0, max = \"a\" }\nc = { expr = \"1 / (a - 2)\" }";
    let space = space(text);
    for (a, expected) in [
        (0.1, Err("b: the range is empty")),
        (0.5, Ok(())),
        (0.9, Err("c: expr = 1 / (a - 2): division by zero")),
    ] {
        let admitted = space.admits(&space.decode(&[a, 0.5]));
        let expected = expected.map_err(|text| Refusal::Constraint(text.into()));
        assert_eq!(admitted, expected);
    }
}

#[test]
fn defaults_are_a_partial_configuration() {
    let text = r#"
[space]
layers = { min = 1, max = 4, default = 2 }
units = { min = 16, max = 64, repeat = "layers", default = 32 }
lr = { min = 0.0, max = 1.0 }
drop = { min = 0.0, max = 1.0, default = 0 }
deep = { min = 1, max = 5, when = "layers > 3", default = 1 }
pair = { rows = [{ m = "a", o = 1 }, { m = "b", o = 2 }], default = { m = "b", o = 2 } }
"#;
    let space = space(text);
    assert_eq!(
        shown(&space.defaults()),
        "layers=2 units=[32,32] drop=0.0 m=b o=2"
    );
}

#[test]
fn cells_of_uneven_axes_are_found_by_number() {
    let space = space(
        "[space]\nn = { min = 1, max = 1024, log = true }\nc = { choice = ['a', 'b'], weights = [9, 1] }",
    );
    for k in 0..1024 {
        let params = space.decode(&[space.cell(0, k).unwrap(), 0.0]);
        assert_eq!(params.get("n"), Some(&Value::Int(k as i64 + 1)));
    }
    assert_eq!(
        (space.cell(0, 1024), space.cell(1, 1), space.cell(2, 0)),
        (None, Some(0.95), None)
    );
}

mod properties {
    use super::{EXAMPLE, read, space};
    use crate::space::{Refusal, Space};
    use proptest::prelude::*;

    /// Returns one entry of a space by its number: every type of entry in the language, some
    /// depending on earlier entries.
    fn entry(kind: u8, index: usize, width: u8) -> String {
        let name = format!("p{index}");
        let width = i64::from(width);
        match kind {
            0 => format!("{name} = {{ min = {}, max = {} }}", -width, width),
            1 => format!("{name} = {{ min = 1, max = {}, log = true }}", width + 1),
            2 => format!("{name} = {{ min = {}, max = {}.5 }}", -width, width),
            3 => format!(
                "{name} = {{ min = 1e-{}, max = 1e3, log = true, digits = {} }}",
                width % 30,
                width % 12 + 1
            ),
            4 => format!(
                "{name} = {{ min = 0.1, max = {}.2, step = 0.05 }}",
                width + 1
            ),
            5 => format!(
                "{name} = {{ mean = {}, std = 0.{}1, log = true }}",
                width % 5,
                width
            ),
            6 => format!(
                "{name} = {{ mean = {width}, std = 1.5, max = {} }}",
                width + 2
            ),
            7 => format!(
                "{name} = {{ choice = ['a', 'b', 3, true], weights = [1, {width}, 0, 2.5] }}"
            ),
            8 => format!(
                "{name} = {{ rows = [{{ {name}a = 1, {name}b = 'x' }}, {{ {name}a = 2, {name}b = 'y' }}] }}"
            ),
            9 => format!("{name} = {{ expr = \"n * {width} + 1\" }}"),
            10 => format!("{name} = {{ min = 0.0, max = 1.0, when = \"s == 'a' or n > 2\" }}"),
            11 => format!(
                "{name} = {{ min = 1, max = {}, repeat = \"n\" }}",
                width + 1
            ),
            12 => format!("{name} = {{ min = \"n\", max = {} }}", width % 4 + 1),
            13 => {
                format!(
                    "{name} = {{ min = 0.5, max = \"n * 2\", repeat = \"n + 1\", when = \"s != 'c'\" }}"
                )
            }
            14 => format!("{name} = {{ choice = [1, 2], repeat = 2, when = 'f' }}"),
            15 => format!("{name} = {{ value = [1, {width}] }}"),
            _ => format!(
                "{name} = {{ choice = ['u', 'v'] }}\n[space.{name}.u]\nc{index} = [1, 2, 3]\n[space.{name}.v]\nc{index} = {{ min = 0.0, max = 1.0 }}\n[space]"
            ),
        }
    }

    fn spaces() -> impl Strategy<Value = Space> {
        proptest::collection::vec((0..17u8, any::<u8>()), 0..12).prop_map(|entries| {
            let (mut plain, mut tables) = (String::new(), String::new());
            for (index, (kind, width)) in entries.into_iter().enumerate() {
                let text = entry(kind, index, width);
                match text.split_once('\n') {
                    None => plain += &(text + "\n"),
                    Some((_, branches)) => {
                        let branches = branches.trim_end_matches("[space]");
                        tables += &["[space.p", &index.to_string(), "]\nchoice = [\'u\', \'v\']\n", branches, "\n"].concat();
                    }
                }
            }
            let text = format!(
                "[space]\nn = {{ min = 0, max = 4 }}\ns = ['a', 'b', 'c']\nf = [true, false]\n{plain}{tables}\n[constraints]\nc = \"n < 4\"\n"
            );
            space(&text)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn drawn_configurations_are_admitted_and_survive_the_round_trip(
            space in spaces(), seed in proptest::collection::vec(0.0..1.0f64, 16), other in 0.0..1.0f64,
        ) {
            let unit: Vec<f64> = (0..space.dims()).map(|axis| (seed[axis % 16] + axis as f64 * 0.618) % 1.0).collect();
            let params = space.decode(&unit);
            let admitted = space.admits(&params);
            prop_assert!(matches!(admitted, Ok(()) | Err(Refusal::Constraint(_))), "{:?} {:?}", params, admitted);
            let point = space.encode(&params);
            prop_assert_eq!(point.len(), space.dims());
            let active = space.active(&params);
            // Through JSON, as in the journal.
            let text = serde_json::to_string(&params).unwrap();
            prop_assert_eq!(&serde_json::from_str::<crate::space::Params>(&text).unwrap(), &params);
            prop_assert_eq!(space.decode(&point), params.clone());
            prop_assert_eq!(space.snap(&point), point.clone());
            prop_assert_eq!(space.complete(&params, &vec![other; space.dims()]), params.clone());
            let moved: Vec<f64> = unit.iter().zip(&active).map(|(u, active)| if *active { *u } else { other }).collect();
            prop_assert_eq!(space.decode(&moved), params, "coordinates of inactive parameters are ignored");
            prop_assert!(point.iter().zip(&active).all(|(u, active)| *active || *u == 0.5));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in any::<String>()) {
            read(&text);
            read(&format!("[space]\n{text}"));
        }

        #[test]
        fn a_damaged_sweep_file_is_read_without_panic(
            cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0..4usize, "[ -~]{0,3}"), 1..6),
        ) {
            let mut text = EXAMPLE.to_owned();
            for (start, length, insert) in cuts {
                let start = start.index(text.len());
                let end = (start + length).min(text.len());
                text.replace_range(start..end, &insert);
            }
            let (space, _, d) = read(&text);
            for diagnostic in &d.list {
                let source = crate::source::Source { name: "x".into(), text: text.clone() };
                prop_assert!(!crate::source::render::text(&source, diagnostic, false).is_empty());
            }
            if let Some(space) = space {
                let params = space.decode(&vec![0.3; space.dims()]);
                let _ = (space.admits(&params), space.size(), space.defaults());
                prop_assert_eq!(space.decode(&space.encode(&params)), params);
            }
        }
    }
}

#[test]
fn a_huge_space_is_refused_quickly() {
    let mut text = String::from("[space]\n");
    for index in 0..10_001 {
        text += &["p", &index.to_string(), " = { min = 0, max = 'q' }\n"].concat();
    }
    assert_eq!(codes(&text), ["too-many"]);
    assert_eq!(
        codes("[space]\nn = 1000\na = { min = 0.0, max = 1.0, repeat = 'n + 1' }"),
        ["bad-repeat"]
    );
}
