//! Checks that `deny.toml` allows the licence of every dependency. Needs neither a network nor any
//! tool but Cargo.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// A dependency compiled on this platform.
struct Dependency {
    /// The name and version, followed by the source in parentheses if it is not the registry.
    package: String,
    /// The licence as an SPDX expression.
    licence: String,
}

/// Returns every dependency that `cargo tree` lists, those of tests and the build included.
fn dependencies() -> Vec<Dependency> {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--all-features",
            "--edges=normal,build,dev",
        ])
        .args(["--prefix=none", "--no-dedupe", "--format={p}|{l}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let text = String::from_utf8(tree.stdout).expect("cargo writes UTF-8");
    let lines: BTreeSet<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    lines
        .iter()
        .map(|line| {
            let (package, licence) = line.split_once('|').expect("a line has two parts");
            let package = package.replace(" (proc-macro)", "");
            Dependency {
                package,
                licence: licence.to_owned(),
            }
        })
        .collect()
}

/// Returns the licences that `deny.toml` allows.
fn allowed_licences() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    let text = std::fs::read_to_string(path).expect("deny.toml can be read");
    let deny: toml::Table = text.parse().expect("deny.toml is TOML");
    let names = deny["licenses"]["allow"]
        .as_array()
        .expect("a list of licences");
    names
        .iter()
        .map(|name| name.as_str().expect("a name").to_owned())
        .collect()
}

/// Returns whether an SPDX expression is satisfied by licences for which `is_allowed` holds.
///
/// `OR` binds weaker than `AND`, `WITH` belongs to its licence, and an old `/` stands for `OR`.
fn is_met(expression: &str, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let expression = expression.trim().replace('/', " OR ");
    if let Some(parts) = split_outside_parentheses(&expression, " OR ") {
        return parts.iter().any(|part| is_met(part, is_allowed));
    }
    if let Some(parts) = split_outside_parentheses(&expression, " AND ") {
        return parts.iter().all(|part| is_met(part, is_allowed));
    }
    match expression
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
    {
        Some(inner) => is_met(inner, is_allowed),
        None => is_allowed(expression.trim()),
    }
}

/// Splits a text at an operator outside all parentheses. Returns `None` if there is none.
fn split_outside_parentheses<'a>(text: &'a str, operator: &str) -> Option<Vec<&'a str>> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && text[at..].starts_with(operator) => {
                parts.push(&text[start..at]);
                start = at + operator.len();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (parts.len() > 1).then_some(parts)
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let allowed = allowed_licences();
    let is_allowed = |licence: &str| allowed.iter().any(|allowed| allowed == licence);
    let dependencies = dependencies();
    assert!(
        dependencies.len() > 100,
        "only {} dependencies were seen",
        dependencies.len()
    );
    let refused: Vec<String> = dependencies
        .iter()
        .filter(|dependency| !is_met(&dependency.licence, &is_allowed))
        .map(|dependency| format!("{}: {}", dependency.package, dependency.licence))
        .collect();
    assert!(
        refused.is_empty(),
        "deny.toml does not allow these licences:\n{}",
        refused.join("\n")
    );
}

#[test]
fn every_dependency_comes_from_the_registry() {
    let own = format!("({}", env!("CARGO_MANIFEST_DIR"));
    for Dependency { package, .. } in dependencies() {
        assert!(
            package.contains(&own) || !package.contains('('),
            "{package} is not from the registry"
        );
    }
}

#[test]
fn an_expression_is_met_as_spdx_reads_it() {
    let is_allowed =
        |licence: &str| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&licence);
    for met in [
        "MIT",
        "GPL-3.0 OR MIT",
        "GPL-3.0/MIT",
        "MIT AND ISC",
        "(GPL-3.0 OR MIT) AND ISC",
        "GPL-3.0 OR (MIT AND ISC)",
        "GPL-3.0 AND MIT OR ISC",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(is_met(met, &is_allowed), "{met}");
    }
    for unmet in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR ISC) AND GPL-3.0",
        "Apache-2.0",
    ] {
        assert!(!is_met(unmet, &is_allowed), "{unmet}");
    }
}
