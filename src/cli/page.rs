//! The HTML page of `swath export --html` and `swath ui`: one file that contains its data, its
//! charts and their library, and loads nothing from the network.

use super::Context;
use super::compare;
use super::detail::{self, Detail};
use super::exit::{Code, Failure};
use super::output::Output;
use super::studies::SelectionArgs;
use crate::report::formula::study::ReadError;
use crate::report::page::Page;
use crate::report::select::Condition;
use crate::report::text::plain;
use crate::report::view::View;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const TEMPLATE: &str = include_str!("../../assets/page/page.html");
const STYLE: &str = include_str!("../../assets/page/page.css");
const LIBRARY: &str = include_str!("../../assets/echarts/echarts.min.js");
/// The version of the chart library, as stated in `assets/README.md`.
const LIBRARY_VERSION: &str = "6.1.0";
const SCRIPT: &str = concat!(
    include_str!("../../assets/page/format.js"),
    include_str!("../../assets/page/elements.js"),
    include_str!("../../assets/page/colours.js"),
    include_str!("../../assets/page/filter.js"),
    include_str!("../../assets/page/columns.js"),
    include_str!("../../assets/page/study.js"),
    include_str!("../../assets/page/work.js"),
    include_str!("../../assets/page/marks.js"),
    include_str!("../../assets/page/axes.js"),
    include_str!("../../assets/page/trial_charts.js"),
    include_str!("../../assets/page/parameter_charts.js"),
    include_str!("../../assets/page/importance.js"),
    include_str!("../../assets/page/objective_charts.js"),
    include_str!("../../assets/page/table.js"),
    include_str!("../../assets/page/log.js"),
    include_str!("../../assets/page/artifacts.js"),
    include_str!("../../assets/page/trial.js"),
    include_str!("../../assets/page/diff.js"),
    include_str!("../../assets/page/actions.js"),
    include_str!("../../assets/page/card.js"),
    include_str!("../../assets/page/section.js"),
    include_str!("../../assets/page/studies.js"),
    include_str!("../../assets/page/server.js"),
    include_str!("../../assets/page/app.js"),
);

/// The trials of each study that an exported page describes, by id.
pub(super) type Details = Vec<BTreeMap<u32, Detail>>;

/// The JSON in a page.
struct Embedded {
    data: String,
    details: String,
    /// The secret with which the page may act.
    actions: String,
    /// The comparison of the studies.
    comparison: String,
}

/// Writes the page with the data of some studies and the details of some of their trials.
fn write(
    page: &Page,
    details: &Details,
    comparison: &Value,
    title: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let embedded = Embedded {
        comparison: comparison.to_string(),
        data: serde_json::to_string(page)?,
        details: serde_json::to_string(details)?,
        actions: "null".to_owned(),
    };
    fill_template(&embedded, title, out)
}

/// Writes the page that requests its data from the server that it came from. With a secret it may
/// act on the studies.
pub(super) fn write_live(secret: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
    let embedded = Embedded {
        data: "null".to_owned(),
        details: "null".to_owned(),
        actions: serde_json::to_string(&secret)?,
        comparison: "null".to_owned(),
    };
    fill_template(&embedded, "swath", out)
}

fn fill_template(embedded: &Embedded, title: &str, out: &mut dyn Write) -> io::Result<()> {
    // Placeholders are filled in one pass, so that text in the data is never taken for a
    // placeholder.
    let mut parts = TEMPLATE.split("{{");
    out.write_all(parts.next().unwrap_or_default().as_bytes())?;
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or((part, ""));
        match name {
            "csp" => out.write_all(policy().as_bytes())?,
            "version" => out.write_all(env!("CARGO_PKG_VERSION").as_bytes())?,
            "echarts" => out.write_all(LIBRARY_VERSION.as_bytes())?,
            "title" => out.write_all(escaped(title).as_bytes())?,
            "style" => out.write_all(STYLE.as_bytes())?,
            "library" => out.write_all(LIBRARY.as_bytes())?,
            "script" => out.write_all(SCRIPT.as_bytes())?,
            "data" => out.write_all(inert(&embedded.data).as_bytes())?,
            "details" => out.write_all(inert(&embedded.details).as_bytes())?,
            "comparison" => out.write_all(inert(&embedded.comparison).as_bytes())?,
            "actions" => out.write_all(inert(&embedded.actions).as_bytes())?,
            _ => {}
        }
        out.write_all(rest.as_bytes())?;
    }
    Ok(())
}

/// Runs `swath export --html FILE`: writes the page with the selected trials to `path`.
pub(super) fn export(
    path: &Path,
    selection: &SelectionArgs,
    context: &mut Context,
) -> Result<Code, Failure> {
    let views = super::plot::open(&selection.words, None, context)?;
    let conditions: Vec<Option<Condition>> = views
        .iter()
        .map(|view| condition(selection, view))
        .collect::<Result<_, _>>()?;
    let page = Page::only(&views, &conditions);
    let names: Vec<&str> = views
        .iter()
        .map(|view| view.study.header().name.as_str())
        .collect();
    let details: Details = views.iter().map(detail::of_export).collect();
    let folders = views
        .iter()
        .map(|view| view.dir.root().to_owned())
        .collect();
    let mut html = Vec::new();
    write(
        &page,
        &details,
        &comparison(folders),
        &format!("{} – swath", names.join(", ")),
        &mut html,
    )?;
    super::plot::write(path, &html)?;
    context
        .out
        .say(format_args!("page: {}", plain(&path.display().to_string())));
    Ok(Code::Done)
}

/// Compares the studies in some folders as `swath compare --by study` does. `null` for a single
/// study, and for studies without a common objective.
pub(super) fn comparison(folders: Vec<PathBuf>) -> Value {
    if folders.len() < 2 {
        return Value::Null;
    }
    let sources = folders.iter().map(|folder| folder.display().to_string());
    let args = compare::Args {
        sources: sources.collect(),
        by: Some("study".to_owned()),
        pair: "seed".to_owned(),
        test: "t".to_owned(),
        interval: "t".to_owned(),
        json: true,
        ..compare::Args::default()
    };
    let (out, text, _) = Output::in_memory();
    let mut context = Context {
        logs: PathBuf::new(),
        out,
    };
    match compare::run(&args, &mut context) {
        Ok(_) => serde_json::from_str(&text.text()).unwrap_or_default(),
        Err(_) => Value::Null,
    }
}

fn condition(selection: &SelectionArgs, view: &View) -> Result<Option<Condition>, ReadError> {
    let text = selection.condition.as_deref();
    text.map(|text| Condition::parse(text, &view.study, &view.dir))
        .transpose()
}

/// Returns the content security policy of the page. It allows the page's own two scripts and style
/// sheet, embedded images, and requests to the page's own server.
pub(super) fn policy() -> String {
    format!(
        "default-src 'none'; script-src 'sha256-{}' 'sha256-{}'; style-src 'sha256-{}'; img-src data: blob:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'",
        digest(LIBRARY),
        digest(SCRIPT),
        digest(STYLE)
    )
}

fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}

/// Returns JSON that cannot end the `script` element around it. Every `<` is inside a string, where
/// an escape sequence can replace it.
fn inert(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::{LIBRARY, LIBRARY_VERSION, SCRIPT, STYLE, export, write};
    use crate::cli::exit::Code;
    use crate::cli::studies::{SelectionArgs, demo};
    use crate::report::page::Page;
    use crate::report::view::View;
    use crate::space::Value;
    use crate::study::{Event, TrialId};
    use serde_json::json;
    use sha2::{Digest, Sha256};
    use swath_model::demo::{Demo, text};

    #[test]
    fn the_library_is_the_published_file() {
        let digest = Sha256::digest(LIBRARY);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            digest,
            "b66b25aeb4df84e33199dc21694014d336d222cbd9deb0e5a7c14bd6aa0d0fd0"
        );
        assert!(
            LIBRARY.contains(&format!("version=\"{LIBRARY_VERSION}\"")),
            "see assets/README.md"
        );
    }

    #[test]
    fn no_embedded_script_or_style_contains_an_end_tag() {
        for text in [LIBRARY, SCRIPT, STYLE] {
            let text = text.to_ascii_lowercase();
            assert!(
                !text.contains("</script") && !text.contains("</style") && !text.contains("<!--")
            );
        }
    }

    #[test]
    fn no_name_or_value_is_taken_for_html_or_for_a_placeholder() {
        let evil = "</script><script>alert(1)</script><!--{{script}}";
        let mut world = Demo::new(&["x", evil]);
        for (index, value) in [evil, "b"].into_iter().enumerate() {
            world.complete(
                &[("x", text(value)), (evil, text(value))],
                &[("val_loss", index as f64), (evil, 1.0)],
            );
        }
        let logs = tempfile::tempdir().unwrap();
        let view = View::open(demo::write(logs.path(), "digits", &world), None).unwrap();
        let mut html = Vec::new();
        write(
            &Page::of(&[view]),
            &Vec::new(),
            &json!(evil),
            evil,
            &mut html,
        )
        .unwrap();
        let html = String::from_utf8(html).unwrap();
        assert_eq!(html.matches("</script>").count(), 6);
        assert_eq!(html.matches(SCRIPT).count(), 1);
        assert!(!html.contains("<script>alert"));
        assert!(html.len() < 2_000_000, "{}", html.len());
        let data = data_of(&html);
        assert_eq!(data["studies"][0]["trials"]["axes"][0]["labels"][0], evil);
    }

    /// Returns the data of a page.
    fn data_of(html: &str) -> serde_json::Value {
        let (_, data) = html.split_once("id=\"data\">").unwrap();
        let (data, _) = data.split_once("</script>").unwrap();
        serde_json::from_str(data).unwrap()
    }

    #[test]
    fn a_page_contains_only_the_selected_trials_and_none_from_the_trash() {
        let mut world = Demo::new(&["x"]);
        for x in [1.0, 2.0, 3.0] {
            world.complete(&[("x", Value::Float(x))], &[("val_loss", x)]);
        }
        world.event(Event::Removed {
            trials: vec![TrialId(1)],
        });
        let logs = tempfile::tempdir().unwrap();
        demo::write(logs.path(), "digits", &world);
        let (out, ..) = crate::cli::output::captured::output(None);
        let mut context = crate::cli::Context {
            logs: logs.path().to_owned(),
            out,
        };
        let path = logs.path().join("report.html");
        let mut ids = |condition: Option<&str>| {
            let selection = SelectionArgs {
                words: vec!["digits".into()],
                condition: condition.map(str::to_owned),
            };
            export(&path, &selection, &mut context).map(|_| {
                let html = std::fs::read_to_string(&path).unwrap();
                let data = data_of(&html);
                data["studies"][0]["trials"]["id"].clone()
            })
        };
        assert_eq!(ids(None).unwrap(), serde_json::json!([2, 3]));
        assert_eq!(ids(Some("x < 2.5")).unwrap(), serde_json::json!([2]));
        assert_eq!(ids(Some("y < 2.5")).unwrap_err().code, Code::Usage);
    }
}
