//! Tests of the diagnostics for mistakes, as a terminal shows them.

use super::{codes, diagnostics};

#[test]
fn an_empty_range_is_shown_with_both_bounds_and_the_remedy() {
    let text = "[space]\nlr     = { min = 1e-1, max = 1e-5, log = true }\n";
    insta::assert_snapshot!(diagnostics(text), @r"
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
fn unknown_names_in_expressions_are_labelled_within_the_text() {
    let text = "[space]\nlayers = [1, 2]\nunits = { min = 1, max = 9, repeat = \"layer\", when = 'layers > 1 and lyers < 3' }\n";
    insta::assert_snapshot!(diagnostics(text), @r#"
    error[unknown-name]: there is no parameter `layer`
     --> sweep.toml:3:39
      |
    3 | units = { min = 1, max = 9, repeat = "layer", when = 'layers > 1 and lyers < 3' }
      |                                       ^^^^^ unknown
      |
    help: did you mean `layers`?

    error[unknown-name]: there is no parameter `lyers`
     --> sweep.toml:3:70
      |
    3 | units = { min = 1, max = 9, repeat = "layer", when = 'layers > 1 and lyers < 3' }
      |                                                                      ^^^^^ unknown
      |
    help: did you mean `layers`?
    "#);
}

#[test]
fn parameters_in_a_dependency_cycle_are_named() {
    let text = "[space]\na = { min = 0, max = \"b\" }\nb = { min = 0, max = 3, when = \"c > 1\" }\nc = { expr = \"a + 1\" }\n";
    insta::assert_snapshot!(diagnostics(text), @r#"
    error[cycle]: these parameters depend on each other in a cycle: `a` needs `b` needs `c` needs `a`
     --> sweep.toml:2:1
      |
    2 | a = { min = 0, max = "b" }
      | ^ needs `b`
    3 | b = { min = 0, max = 3, when = "c > 1" }
      | - needs `c`
    4 | c = { expr = "a + 1" }
      | - needs `a`
      |
    help: a `when`, bound, `repeat` or `expr` may only use parameters that do not use this one
    "#);
}

#[test]
fn all_mistakes_are_found_at_once() {
    let text = r#"
[space]
a = { min = 2, max = 1 }
b = { min = 0.0, max = 1.0, log = true }
c = { min = 0, max = 4, step = 5 }
d = { min = 1, max = 4, step = 0 }
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
y = { min = "ii", max = 3 }
z = 3
aa = 1979-05-27
bb = { min = 1, max = 4, digits = 3 }
cc = { min = 1.0, max = 4.0, digits = 30 }
dd = { min = 1, max = 4, repeat = -1 }
ee = { min = 0.0, max = 1.0, repeat = "z / 2" }
ff = { min = 0.0, max = 1.0, when = "ii == 'xx'" }
gg = { min = 0.0, max = 1.0, when = "(z" }
hh = { min = 0.0, max = 1.0, repeat = "m" }
kk = { min = 0.0, max = 1.0, step = 0.5, digits = 3 }
z = 4
[space.ii]
choice = ["x", "y"]
[space.ii.xx]
jj = 1
[space.ii.y]
m = 1
"#;
    insta::assert_debug_snapshot!(codes(text), @r#"
    [
        "syntax",
        "empty-range",
        "log-of-zero",
        "bad-step",
        "bad-step",
        "empty-choice",
        "duplicate-choice",
        "bad-weights",
        "bad-weights",
        "bad-weights",
        "uneven-rows",
        "bad-default",
        "mixed-keys",
        "unknown-key",
        "not-finite",
        "not-finite",
        "bad-name",
        "no-range",
        "no-range",
        "bad-std",
        "bad-expression",
        "wrong-type",
        "wrong-type",
        "wrong-type",
        "mixed-keys",
        "bad-digits",
        "bad-repeat",
        "bad-repeat",
        "unknown-choice",
        "bad-expression",
        "bad-repeat",
        "mixed-keys",
        "unknown-branch",
        "duplicate-name",
    ]
    "#);
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
    insta::assert_snapshot!(diagnostics(text), @r#"
    error[bad-point]: `lr` cannot be 0.000123456789 here
      --> sweep.toml:15:6
       |
    15 | lr = 0.000123456789
       |      ^^^^^^^^^^^^^^ more than the 6 digits that are kept
       |
    help: write 0.000123457, or give the parameter `digits`

    error[unknown-name]: there is no parameter `layrs`
      --> sweep.toml:16:1
       |
    16 | layrs = 2
       | ^^^^^ not in `[space]`
       |
    help: did you mean `layers`?

    error[inactive]: `momentum` does not exist in this point
      --> sweep.toml:18:1
       |
    18 | momentum = 0.5
       | ^^^^^^^^ leave it out
       |
    help: it exists only when optimizer == 'sgd'

    error[bad-point]: `units` cannot be [16] here
      --> sweep.toml:19:9
       |
    19 | units = [16]
       |         ^^^^ its length is not determined
       |
    help: also set the parameters that determine its length

    error[bad-point]: `epochs` cannot be 30 here
      --> sweep.toml:20:10
       |
    20 | epochs = 30
       |          ^^ it is a constant, 20

    error[bad-point]: `twice` cannot be 4 here
      --> sweep.toml:21:9
       |
    21 | twice = 4
       |         ^ it is derived: layers * 2
       |
    help: leave it out
    "#);
    let broken = text.split("[point]").next().unwrap().to_owned() + "[point]\nlayers = 4";
    assert_eq!(codes(&broken), ["broken-constraint"]);
}
