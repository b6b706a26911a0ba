use super::*;

const YAML: &str = "\
# the model
model:   # a comment
  name: mlp   # its kind
  hidden:
  - 64
  - 32   # the last
  dropout: 0.1
optimizer: {lr: 1e-3, betas: [0.9, 0.999]}
# a list of tables
layers:
  - size: 8
    act: relu
  - size: 16
text: |
  several
  lines
empty:
quoted: 'it''s'
\"a.b\": 1
";

fn changed(name: &str, text: &str, changes: &[(&str, Value)]) -> String {
    let document = Document::parse(Path::new(name), text.to_owned()).unwrap();
    let changes: Vec<Change<'_>> = changes
        .iter()
        .map(|(path, value)| Change { path, value })
        .collect();
    document.with(&changes).unwrap()
}

fn list(items: &[i64]) -> Value {
    Value::List(items.iter().copied().map(Value::Int).collect())
}

#[test]
fn only_the_value_of_a_yaml_file_changes() {
    for (path, value, from, to) in [
        (
            "model.name",
            Value::Text("cnn".into()),
            "name: mlp ",
            "name: cnn ",
        ),
        ("model.dropout", Value::Float(0.25), "0.1\n", "0.25\n"),
        ("optimizer.lr", Value::Float(3e-5), "1e-3", "3.0e-5"),
        ("optimizer.betas.1", Value::Float(0.99), "0.999", "0.99"),
        ("optimizer.betas", list(&[1, 2]), "[0.9, 0.999]", "[1, 2]"),
        ("layers.1.size", Value::Int(32), "size: 16", "size: 32"),
        (
            "model.hidden",
            list(&[1, 2]),
            "  - 64\n  - 32 ",
            "    [1, 2] ",
        ),
        ("empty", Value::Bool(true), "empty:\n", "empty: true\n"),
        ("quoted", Value::Text("no".into()), "'it''s'", "\"no\""),
        ("a.b", Value::Int(2), "\"a.b\": 1", "\"a.b\": 2"),
        (
            "text",
            Value::Text("one".into()),
            "|\n  several\n  lines",
            "one",
        ),
    ] {
        assert!(YAML.contains(from), "{from}");
        assert_eq!(
            changed("base.yaml", YAML, &[(path, value)]),
            YAML.replacen(from, to, 1),
            "{path}"
        );
    }
}

#[test]
fn a_value_that_a_yaml_file_lacks_is_added_to_its_table() {
    let text = "a: 1 # one\nb:\n  c: 2 # two\n\n# the end\n";
    assert_eq!(
        changed(
            "b.yaml",
            text,
            &[("b.d", Value::Int(3)), ("e.f", Value::Bool(true))]
        ),
        "a: 1 # one\nb:\n  c: 2 # two\n  d: 3\ne: {f: true}\n\n# the end\n"
    );
    assert_eq!(changed("b.yml", "", &[("a", Value::Int(1))]), "a: 1\n");
    assert_eq!(
        changed("b.yml", "l:\n  - a: 1\n", &[("l.0.b", Value::Int(2))]),
        "l:\n  - a: 1\n    b: 2\n"
    );
}

#[test]
fn only_the_value_of_a_json_file_changes() {
    let text = "{\n\t\"a\": {\"b\" : 1e-3, \"c\": [1, 2]},\n\t\"d\": \"x\"\n}\n";
    let changes = [
        ("a.b", Value::Float(0.5)),
        ("a.c.1", Value::Int(9)),
        ("d", Value::Text("y\"".into())),
        ("a.e", Value::Bool(false)),
        ("f.g", Value::Int(1)),
    ];
    assert_eq!(
        changed("base.json", text, &changes),
        "{\n\t\"a\": {\"b\" : 0.5, \"c\": [1, 9], \"e\": false},\n\t\"d\": \"y\\\"\",\n\t\"f\": {\"g\": 1}\n}\n"
    );
    assert_eq!(
        changed("b.json", "{}", &[("a", Value::Int(1))]),
        "{\"a\": 1}"
    );
}

#[test]
fn only_the_value_of_a_toml_file_changes() {
    let text = "# top\na = 1 # one\n[t] # a table\nb.c = [1, 2]\n[[l]]\nx = 'y'\nd = 2024-01-01\n";
    let changes = [
        ("a", Value::Float(1e-5)),
        ("t.b.c", list(&[3])),
        ("l.0.x", Value::Text("z".into())),
        ("t.e", Value::Bool(true)),
    ];
    let made = changed("base.toml", text, &changes);
    assert_eq!(
        made,
        "# top\na = 0.00001 # one\n[t] # a table\nb.c = [3]\ne = true\n[[l]]\nx = \"z\"\nd = 2024-01-01\n"
    );
}

#[test]
fn a_value_that_cannot_be_set_alone_is_refused() {
    let text = "a: &a 1\nb: *a\nc: &c {d: 1}\ne: *c\nf: &f 2\n";
    let document = Document::parse(Path::new("a.yaml"), text.to_owned()).unwrap();
    for path in ["a", "c", "c.d", "e.d"] {
        assert!(matches!(document.target(path), Target::Fixed(_)), "{path}");
    }
    for path in ["b", "f"] {
        assert_eq!(document.target(path), Target::Value, "{path}");
    }
    assert_eq!(document.target("g"), Target::Missing);
    assert_eq!(
        changed(
            "a.yaml",
            text,
            &[("b", Value::Int(3)), ("f", Value::Int(4))]
        ),
        "a: &a 1\nb: 3\nc: &c {d: 1}\ne: *c\nf: 4\n"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_refused_with_the_reason() {
    for (name, text) in [
        ("a.yaml", "a: [1"),
        ("a.yaml", "a: 1\n---\nb: 2\n"),
        ("a.json", "{"),
        ("a.toml", "a ="),
        ("a.ini", ""),
    ] {
        assert!(
            Document::parse(Path::new(name), text.to_owned()).is_err(),
            "{text}"
        );
    }
    let deep = "[".repeat(5000);
    assert!(Document::parse(Path::new("a.yaml"), deep).is_err());
}
