//! What the space language means, and what it says about mistakes.

use crate::source::{Diagnostics, NodeValue, Section, Source, Table, render};
use crate::space::{AxisKind, Params, Refusal, Space, Value};

fn section(table: &Table, name: &str) -> Option<Section> {
    let node = table.get(name)?;
    let NodeValue::Table(inner) = &node.value else { return None };
    Some(Section::new(name, node.span.clone(), inner.clone()))
}

/// Parses `[space]`, `[constraints]` and one `[point]` of a text.
fn read(text: &str) -> (Option<Space>, Option<Params>, Diagnostics) {
    let mut d = Diagnostics::default();
    let table = Table::parse(text, &mut d);
    let Some(section_of_space) = section(&table, "space") else { return (None, None, d) };
    let space = Space::parse(section_of_space, section(&table, "constraints"), &mut d);
    let point = section(&table, "point").and_then(|point| space.as_ref()?.parse_point(point, &mut d));
    (space, point, d)
}

fn space(text: &str) -> Space {
    let (space, _, d) = read(text);
    let source = Source { name: "sweep.toml".into(), text: text.into() };
    let shown: Vec<_> = d.list.iter().map(|found| render::text(&source, found, false)).collect();
    assert!(d.list.is_empty(), "{}", shown.join("\n\n"));
    space.unwrap()
}

/// All that is said about a text, as a terminal shows it.
fn complaints(text: &str) -> String {
    let source = Source { name: "sweep.toml".into(), text: text.into() };
    let (_, _, d) = read(text);
    d.list.iter().map(|found| render::text(&source, found, false)).collect::<Vec<_>>().join("\n\n")
}

/// The codes of all errors, in order.
fn codes(text: &str) -> Vec<&'static str> {
    read(text).2.list.iter().map(|found| found.code).collect()
}

fn shown(params: &Params) -> String {
    params.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
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
fn the_example_of_the_manual_means_what_it_says() {
    let space = space(EXAMPLE);
    let axes: Vec<_> = space.axes().iter().map(|axis| axis.name.to_string()).collect();
    assert_eq!(
        axes,
        ["lr", "layers", "optimizer", "momentum", "units[0]", "units[1]", "units[2]", "units[3]"]
    );
    assert_eq!(space.axes()[1].kind, AxisKind::Ordered(4));
    let names: Vec<_> = space.names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["lr", "layers", "optimizer", "momentum", "units", "epochs"]);

    let sgd = space.decode(&[0.5, 0.4, 0.1, 0.5, 0.0, 0.999, 0.5, 0.5]);
    assert_eq!(shown(&sgd), "lr=0.001 layers=2 optimizer=sgd momentum=0.495 units=[16,512] epochs=20");
    assert_eq!(space.active(&sgd), [true, true, true, true, true, true, false, false]);
    assert_eq!(space.admits(&sgd), Ok(()));

    let adam = space.decode(&[0.5, 0.0, 0.5, 0.9, 0.5, 0.5, 0.5, 0.5]);
    assert_eq!(shown(&adam), "lr=0.001 layers=1 optimizer=adam units=[91] epochs=20");
    assert_eq!(space.size(), None);
}

#[test]
fn a_point_is_taken_and_what_it_leaves_out_is_drawn() {
    let (space, point, _) = read(EXAMPLE);
    let (space, point) = (space.unwrap(), point.unwrap());
    assert_eq!(shown(&point), "lr=0.0003 layers=2 optimizer=adam units=[128,64]");
    let complete = space.complete(&point, &[0.5; 8]);
    assert_eq!(shown(&complete), "lr=0.0003 layers=2 optimizer=adam units=[128,64] epochs=20");
    assert_eq!(space.admits(&complete), Ok(()));
    let other: Params = [("optimizer".into(), Value::Text("sgd".into()))].into_iter().collect();
    let complete = space.complete(&other, &[0.5; 8]);
    assert_eq!(shown(&complete), "lr=0.001 layers=3 optimizer=sgd momentum=0.495 units=[91,91,91] epochs=20");
}

#[test]
fn every_other_row_of_the_manual_s_table_is_understood() {
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
        "flag=true shape=[1,2] size=32 kind=b grade=high drop=0.4 rough=0.8 noise=0.841621 scale=1.38312 twice=64 m=b o=2 \
         image=32 patch=13 masks=[1,1,1]"
    );
    let kinds: Vec<_> = space.axes().iter().map(|axis| (&*axis.name, axis.kind.clone())).collect();
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
    assert_eq!(names, ["batch", "model.layers", "optimizer", "lr", "momentum"]);
    let at = |optimizer| shown(&space.decode(&[0.1, 0.5, optimizer, 0.5, 0.9, 0.5]));
    assert_eq!(at(0.1), "batch=32 model.layers=2 optimizer=sgd lr=0.505 momentum=0.9");
    assert_eq!(at(0.5), "batch=32 model.layers=2 optimizer=adam lr=0.001");
    assert_eq!(at(0.9), "batch=32 model.layers=2 optimizer=plain");
    let adam = space.decode(&[0.1, 0.5, 0.5, 0.5, 0.9, 0.25]);
    assert_eq!(space.encode(&adam), [0.25, 0.5, 0.5, 0.5, 0.5, 0.25]);
}

#[test]
fn what_is_missing_superfluous_or_outside_is_refused() {
    let space = space(BRANCHES);
    let params = |text: &str| serde_json::from_str::<Params>(text).unwrap();
    let check = |text: &str| space.admits(&params(text));
    assert_eq!(check(r#"{"batch":32,"model.layers":1,"optimizer":"plain"}"#), Ok(()));
    assert_eq!(check(r#"{"batch":32,"optimizer":"plain"}"#), Err(Refusal::Missing("model.layers".into())));
    assert_eq!(
        check(r#"{"batch":32,"model.layers":1,"optimizer":"plain","lr":0.5}"#),
        Err(Refusal::Inactive("lr".into()))
    );
    assert_eq!(
        check(r#"{"batch":32,"model.layers":1,"optimizer":"adam","lr":0.5}"#),
        Err(Refusal::Outside { name: "lr".into(), value: Value::Float(0.5) })
    );
    assert_eq!(check(r#"{"epochs":1}"#), Err(Refusal::Inactive("epochs".into())));
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
    assert_eq!(space("[space]\na = [1, 2, 3]\nb = { min = 1, max = \"a\" }").size(), Some(6));
}

#[test]
fn constraints_refuse_and_are_measured() {
    let text = "[space]\na = { min = 0.0, max = 1.0 }\nm = { min = 0.0, max = 1.0, when = 'a > 2' }\n\
                [constraints]\nhalf = 'a < 0.5'\nabsent = 'm > 0.5'";
    let space = space(text);
    assert_eq!(space.admits(&space.decode(&[0.75, 0.0])), Err(Refusal::Constraint("half".into())));
    assert_eq!(
        space.admits(&space.decode(&[0.25, 0.0])),
        Ok(()),
        "a constraint on what does not exist refuses nothing"
    );
    assert!((space.acceptance(1, 1000) - 0.5).abs() < 0.05);
}

#[test]
fn what_cannot_be_computed_refuses_the_configuration() {
    let text =
        "[space]\na = { min = 0, max = 2 }\nb = { min = 1.0, max = \"a\" }\nc = { expr = \"1 / (a - 2)\" }";
    let space = space(text);
    let refusal = |a: f64| space.admits(&space.decode(&[a, 0.5])).map_err(|refusal| refusal.to_string());
    assert_eq!(refusal(0.1), Err("constraint `b: the range is empty` does not hold".into()));
    assert_eq!(refusal(0.5), Ok(()));
    assert_eq!(
        refusal(0.9),
        Err("constraint `c: expr = 1 / (a - 2): division by zero` does not hold".into())
    );
}

#[test]
fn defaults_are_the_first_point_as_far_as_they_go() {
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
    assert_eq!(shown(&space.defaults()), "layers=2 units=[32,32] drop=0.0 m=b o=2");
}

#[test]
fn cells_of_uneven_axes_are_found_by_number() {
    let space = space(
        "[space]\nn = { min = 1, max = 1024, log = true }\nc = { choice = ['a', 'b'], weights = [9, 1] }",
    );
    let value = |k: u64| space.decode(&[space.cell(0, k).unwrap(), 0.0]).get("n").cloned();
    assert!((0..1024).all(|k| value(k) == Some(Value::Int(k as i64 + 1))));
    assert_eq!((space.cell(0, 1024), space.cell(1, 1), space.cell(2, 0)), (None, Some(0.95), None));
}

#[test]
fn an_empty_range_is_shown_with_both_bounds_and_the_remedy() {
    let text = "[space]\nlr     = { min = 1e-1, max = 1e-5, log = true }\n";
    insta::assert_snapshot!(complaints(text), @r"
    error[empty-range]: the range of `lr` is empty
     --> sweep.toml:2:18
      |
    2 | lr     = { min = 1e-1, max = 1e-5, log = true }
      |                  ^^^^        ---- `max` is 1e-5
      |                  |
      |                  `min` is 1e-1
      |
    help: swap them: { min = 1e-5, max = 1e-1, log = true }
    ");
}

#[test]
fn names_in_expressions_are_pointed_at_within_the_text() {
    let text = "[space]\nlayers = [1, 2]\nunits = { min = 1, max = 9, repeat = \"layer\", when = 'layers > 1 and lyers < 3' }\n";
    insta::assert_snapshot!(complaints(text), @r#""#);
}

#[test]
fn parameters_in_a_circle_are_named() {
    let text = "[space]\na = { min = 0, max = \"b\" }\nb = { min = 0, max = 3, when = \"c > 1\" }\nc = { expr = \"a + 1\" }\n";
    insta::assert_snapshot!(complaints(text), @r#""#);
}

#[test]
fn all_mistakes_are_found_at_once() {
    let text = r#"
[space]
a = { min = 2, max = 1 }
b = { min = 0.0, max = 1.0, log = true }
c = { min = 0, max = 4, step = 5 }
d = { min = 1, max = 4, step = 0 }
e = { min = 1, max = 4, step = 1, log = true }
f = []
g = ["x", "y", "x"]
h = { choice = ["x", "y"], weights = [1] }
i = { choice = ["x", "y"], weights = [0, 0] }
j = { choice = ["x", "y"], weights = [1, -1] }
k = { rows = [{ m = 1 }, { n = 1 }] }
l = { min = 0.0, max = 1.0, repeat = "p" }
m = { min = 0.0, max = 1.0, default = 2 }
n = { min = 0.0, choice = ["x"] }
o = { min = 0.0, max = 1.0, lgo = true }
p = { min = 0.5, max = nan }
q = inf
"r s" = 1
t = { choices = [1, 2] }
u = { min = 1 }
v = { mean = 0.0, std = -1.0 }
w = { min = 0.0, max = 1.0, when = "z == 'x'" }
x = { min = 0.0, max = 1.0, when = "z + 1" }
y = { min = "g", max = 3 }
z = 3
aa = 1979-05-27
bb = { min = 1, max = 4, digits = 3 }
cc = { min = 1.0, max = 4.0, digits = 30 }
dd = { min = 1, max = 4, repeat = -1 }
ee = { min = 0.0, max = 1.0, repeat = "o" }
ff = { min = 0.0, max = 1.0, when = "g == 'xx'" }
gg = { min = 0.0, max = 1.0, when = "(z" }
[space.g.q]
hh = 1
"#;
    insta::assert_debug_snapshot!(codes(text), @r#""#);
}

#[test]
fn a_point_is_checked_against_the_space() {
    let text = r#"
[space]
lr = { min = 1e-5, max = 1e-1, log = true }
layers = { min = 1, max = 4 }
optimizer = ["sgd", "adam"]
momentum = { min = 0.0, max = 0.99, when = "optimizer == 'sgd'" }
units = { min = 16, max = 512, repeat = "layers" }
epochs = 20
twice = { expr = "layers * 2" }

[constraints]
budget = "layers < 4"

[point]
lr = 0.000123456789
layrs = 2
optimizer = "adam"
momentum = 0.5
units = [16]
epochs = 30
twice = 4
"#;
    insta::assert_snapshot!(complaints(text), @r#""#);
    let broken = text.split("[point]").next().unwrap().to_owned() + "[point]\nlayers = 4";
    assert_eq!(codes(&broken), ["broken-constraint"]);
}
