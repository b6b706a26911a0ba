//! Tests of complete sweep files, valid and invalid.

use crate::sweep::{Registry, Rejected, Sweep, TrialBudget};
use proptest::prelude::*;
use std::time::Duration;
use swath_engine::executor::Warm;
use swath_log::Models;
use swath_model::source::Source;
use swath_model::source::{Opt, Preset, Takes};
use swath_model::study::kind::{Capability, find};
use swath_model::study::{FailureClass, Kind, Resource};

mod mistakes;

const GOOD: &str = r#"name = "digits"
pipeline = "vision"
seed = 42

[run]
command = ["sh", "train.sh", "--lr={lr}", "{args:rest}"]
data_dir = ["data/digits", "data/extra"]
setup = ["make"]
env = { OMP_NUM_THREADS = 2 }
workdir = "."
grace = "3s"
checkpoint = true

[objective]
metric = "val_loss"
goal = "min"

[search]
sampler = "random"
trials = 200

[scheduler]
name = "fifo"
resource = "epoch"

[resources]
jobs = 4

[limits]
time = "8h"
trial_time = "45m"
failures = 20
log = "1 MiB"

[retry]
times = 2
on = ["crash", "lost"]

[capture]
val_loss = 'val_loss[=:]\s*(\S+)'
epoch = 'epoch (\d+)'

[space]
lr = { min = 1e-5, max = 1e-1, log = true }
layers = { min = 1, max = 4 }
optimizer = ["sgd", "adam"]
momentum = { min = 0.0, max = 0.99, when = "optimizer == 'sgd'" }

[constraints]
small = "layers * lr < 0.2"

[[point]]
lr = 3e-4
layers = 2
"#;

fn parse(text: &str) -> Result<Sweep, Rejected> {
    Sweep::parse(Source {
        name: "digits.toml".into(),
        text: text.into(),
    })
}

/// Returns the codes of all diagnostics for the good file with one part replaced.
fn codes(part: &str, by: &str) -> Vec<&'static str> {
    assert!(GOOD.contains(part), "{part}");
    let found = match parse(&GOOD.replacen(part, by, 1)) {
        Ok(sweep) => sweep.warnings,
        Err(rejected) => rejected.diagnostics,
    };
    found.list.iter().map(|found| found.code).collect()
}

#[test]
fn fewer_trials_than_seeds_are_an_error() {
    let seeds = |seeds: &str| codes("[retry]", &format!("[replicate]\nseeds = {seeds}\n[retry]"));
    assert_eq!(seeds("200"), [""; 0]);
    assert_eq!(seeds("201"), ["too-few-trials"]);
}

#[test]
fn the_longest_training_needs_a_resource_to_count_it_in() {
    let fifo = |lines: &str| codes("name = \"fifo\"\nresource = \"epoch\"", lines);
    assert_eq!(
        fifo("name = \"fifo\"\nresource = \"epoch\"\nmax = 8"),
        [""; 0]
    );
    assert_eq!(fifo("name = \"fifo\"\nmax = 8"), ["no-resource"]);
}

#[test]
fn one_missing_bracket_is_one_error() {
    for (part, by) in [
        ("\"{args:rest}\"]", "\"{args:rest}\""),
        ("log = true }", "log = true"),
        ("\"data/extra\"]", "\"data/extra]"),
        ("[\"sgd\", \"adam\"]", "[\"sgd\", \"adam\""),
        (
            "layers = { min = 1, max = 4 }",
            "layers { min = 1, max = 4 }",
        ),
        ("lr = { min = 1e-5", "lr = { min = 1e-5 1e-3"),
        ("jobs = 4", "jobs = 4 \n jobs = 5"),
    ] {
        assert_eq!(codes(part, by), ["syntax"], "{by}");
    }
}

#[test]
fn a_misspelled_key_is_not_also_missing() {
    for (part, by) in [
        ("command", "comand"),
        ("[run]", "[rnu]"),
        ("metric =", "metrik ="),
        ("goal =", "gaol ="),
    ] {
        assert_eq!(codes(part, by), ["unknown-key"], "{by}");
    }
}

#[test]
fn every_section_is_read() {
    let sweep = parse(GOOD)
        .map_err(|rejected| rejected.to_string())
        .unwrap();
    assert_eq!(sweep.warnings.list, []);
    assert_eq!(
        (
            sweep.name.as_str(),
            sweep.pipeline.as_str(),
            sweep.stage.as_str()
        ),
        ("digits", "vision", "tune")
    );
    assert_eq!(
        (sweep.seed, sweep.trials, sweep.slots()),
        (42, Some(200), 4)
    );
    assert_eq!(sweep.run.data_dir, ["data/digits", "data/extra"]);
    assert_eq!(
        sweep.run.env,
        [("OMP_NUM_THREADS".to_owned(), "2".to_owned())]
    );
    assert_eq!(
        (sweep.run.grace, sweep.checkpoint),
        (Duration::from_secs(3), true)
    );
    assert_eq!(sweep.resource.as_deref(), Some("epoch"));
    assert_eq!(sweep.limits.time, Some(Duration::from_secs(28_800)));
    assert_eq!(
        (sweep.limits.failures, sweep.limits.log),
        (Some(20), 1 << 20)
    );
    assert_eq!(
        (sweep.retry.times, sweep.retry.on),
        (2, vec![FailureClass::Crash, FailureClass::Lost])
    );
    assert_eq!(sweep.points.len(), 1);
    assert_eq!(sweep.digest.len(), 32);
}

#[test]
fn absent_keys_have_defaults() {
    let text = "[run]\ncommand = ['x']\n[objective]\nmetric = 'a'\ngoal = 'max'\n[space]\nlr = [0.1, 0.2]\n";
    let sweep = parse(text).unwrap();
    assert_eq!(
        (sweep.name.as_str(), sweep.pipeline.as_str(), sweep.seed),
        ("digits", "digits", 0)
    );
    assert_eq!(
        (sweep.trials, sweep.limits.log, sweep.run.grace),
        (Some(100), 64 << 20, Duration::from_secs(10))
    );
    assert_eq!(
        (sweep.scheduler.name.as_str(), sweep.executor.name.as_str()),
        ("fifo", "pool")
    );
}

#[test]
fn the_bytes_of_models_are_held_within_a_budget_unless_the_file_says_otherwise() {
    let models = |lines: &str| {
        let text =
            format!("[run]\ncommand = [\"a\"]\n{lines}\n[space]\nx = {{ min = 0.0, max = 1.0 }}\n");
        parse(&text).map(|sweep| sweep.run.models)
    };
    let hold = |budget| Models::Hold { budget };
    assert_eq!(models("").unwrap(), hold(1 << 30));
    assert_eq!(models("models_budget = \"4 GiB\"").unwrap(), hold(4 << 30));
    assert_eq!(
        models("models = \"hold\"\nmodels_budget = 100").unwrap(),
        hold(100)
    );
    assert_eq!(models("models = \"refer\"").unwrap(), Models::Refer);
    assert!(models("models = \"link\"").is_err());
    assert!(models("models_budget = \"much\"").is_err());
}

#[test]
fn budgets_of_a_trial_and_of_money_are_read_and_their_mistakes_are_named() {
    let limits = "[limits]\ntime = \"8h\"\ntrial_time = \"45m\"";
    let with = |lines: &str| format!("{limits}\n{lines}");
    let text = GOOD.replace(
        limits,
        &with("trial_budget = { epoch = 20 }\ncost = 50\nprice = \"usd\""),
    );
    let sweep = parse(&text).unwrap();
    let budget = TrialBudget::Resource(Resource(20));
    assert_eq!(sweep.limits.trial_budget, Some(budget));
    assert_eq!(sweep.spending.cost, Some(50.0));
    assert_eq!(sweep.price.as_deref(), Some("usd"));
    for (lines, expected) in [
        ("trial_budget = \"45m\"", "budget-too-large"),
        ("trial_budget = { step = 20 }", "two-resources"),
        ("trial_budget = { epoch = 0 }", "wrong-type"),
        ("trial_budget = \"0s\"", "too-small"),
        ("cost = 50", "missing-price"),
        ("cost = -1\nprice = 2", "too-small"),
        ("price = -2", "wrong-type"),
        ("gpu_hours = 5", "missing-gpus"),
    ] {
        assert_eq!(codes(limits, &with(lines)), [expected], "{lines}");
    }
    let invalid = "[run]\ninvalid = [0]";
    assert_eq!(codes("[run]", invalid), ["wrong-type"]);
}

#[test]
fn warm_is_off_on_or_auto_and_nothing_else() {
    let with =
        |line: &str| GOOD.replace("checkpoint = true", &format!("checkpoint = true\n{line}"));
    assert_eq!(parse(GOOD).unwrap().run.warm, Warm::Off);
    for (value, expected) in [
        ("true", Warm::On),
        ("false", Warm::Off),
        ("'auto'", Warm::Auto),
    ] {
        let sweep = parse(&with(&format!("warm = {value}"))).unwrap();
        assert_eq!(sweep.run.warm, expected, "{value}");
    }
    for value in ["'on'", "1"] {
        assert_eq!(
            codes(
                "checkpoint = true",
                &format!("checkpoint = true\nwarm = {value}")
            ),
            ["wrong-type"]
        );
    }
}

#[test]
fn a_grid_and_a_time_limit_need_no_number_of_trials() {
    let head = "[run]\ncommand = ['x']\n[objective]\nmetric = 'a'\ngoal = 'max'\n[space]\nlr = [0.1, 0.2]\n";
    let grid = parse(&format!("{head}[search]\nsampler = 'grid'\n")).unwrap();
    assert_eq!((grid.trials, grid.warnings.list.len()), (None, 0));
    let timed = parse(&format!("{head}[limits]\ntime = '1h'\n")).unwrap();
    assert_eq!((timed.trials, timed.warnings.list.len()), (None, 0));
}

#[test]
fn a_function_needs_no_command() {
    let text =
        "[objective]\nmetric = 'a'\ngoal = 'max'\n[search]\ntrials = 3\n[space]\nlr = [0.1, 0.2]\n";
    let source = Source {
        name: "x.toml".into(),
        text: text.into(),
    };
    assert!(
        Sweep::parse_for_function(source)
            .unwrap()
            .run
            .command
            .is_empty()
    );
    assert_eq!(
        parse(text).unwrap_err().diagnostics.list[0].code,
        "missing-command"
    );
}

/// A sampler that proposes nothing.
struct Silent;

impl swath_search::sampler::Sampler for Silent {
    fn suggest(&self, _: &swath_search::sampler::Ask<'_>) -> Option<swath_model::space::Params> {
        None
    }
}

const SILENT: Kind<dyn swath_search::sampler::Sampler> = Kind {
    name: "silent",
    about: "proposes nothing",
    paper: None,
    options: &[Opt::new(
        "volume",
        Takes::Count(1),
        Preset::Absent,
        "has no effect",
    )],
    capabilities: &[Capability::Enumerates],
    build: |mut section, _, diagnostics| {
        section.take_count("volume", 1, diagnostics);
        Some(Box::new(Silent))
    },
};

#[test]
fn a_kind_that_a_program_adds_is_named_and_checked_like_any_other() {
    let registry = Registry::standard().sampler(SILENT);
    let text = |options: &str| {
        format!(
            "[search]\nsampler = 'silent'\n[search.silent]\n{options}\n[space]\nlr = [0.1, 0.2]\n"
        )
    };
    let read = |text: String| {
        registry.parse_for_function(Source {
            name: "x.toml".into(),
            text,
        })
    };
    let sweep = read(text("volume = 3")).unwrap();
    assert_eq!(sweep.trials, None, "it ends by itself");
    assert!(sweep.build(1, None).is_ok());
    let rejected = read(text("volum = 3")).unwrap_err();
    assert_eq!(
        rejected.diagnostics.list[0].hints,
        ["did you mean `volume`?"]
    );
    let unknown = Sweep::parse_for_function(Source {
        name: "x.toml".into(),
        text: text(""),
    })
    .unwrap_err();
    let found = unknown
        .diagnostics
        .list
        .iter()
        .any(|found| found.message == "there is no sampler `silent`");
    assert!(found, "the registry of another sweep does not know it");
}

#[test]
fn a_kind_of_an_existing_name_replaces_it() {
    let registry = Registry::standard().sampler(Kind {
        name: "grid",
        ..SILENT
    });
    assert_eq!(
        registry.samplers().len(),
        Registry::standard().samplers().len()
    );
    let grid = find(registry.samplers(), "grid").unwrap();
    assert_eq!(grid.about, "proposes nothing");
}

#[test]
fn capabilities_decide_and_not_the_name_of_a_kind() {
    let cloning = *find(Registry::standard().schedulers(), "fifo").unwrap();
    let cloning = Kind {
        name: "herd",
        capabilities: &[Capability::Clones],
        ..cloning
    };
    let registry = Registry::standard().scheduler(cloning);
    let text =
        "[scheduler]\nname = 'herd'\n[replicate]\nseeds = 3\n[space]\nlr = [0.1, 0.2]\n".to_owned();
    let rejected = registry
        .parse_for_function(Source {
            name: "x.toml".into(),
            text,
        })
        .unwrap_err();
    let message = &rejected.diagnostics.list[0].message;
    assert_eq!(
        message,
        "`herd` changes configurations while they run, so they have no replicates"
    );
}

#[test]
fn all_mistakes_are_shown_at_once_in_the_order_of_the_file() {
    let text = GOOD
        .replace("seed = 42", "sede = 42")
        .replace("--lr={lr}", "--lr={lrr}")
        .replace("min = 1e-5, max = 1e-1", "min = 1e-1, max = 1e-5")
        .replace("failures = 20", "failurs = 20")
        .replace("trials = 200", "trials = 2.5");
    insta::assert_snapshot!(parse(&text).unwrap_err());
}

#[test]
fn after_a_syntax_error_nothing_is_reported_as_missing() {
    let rejected =
        parse(&GOOD.replacen("metric = \"val_loss\"", "metric = \"val_loss", 1)).unwrap_err();
    let codes: Vec<_> = rejected
        .diagnostics
        .list
        .iter()
        .map(|found| found.code)
        .collect();
    assert!(
        codes.contains(&"syntax") && !codes.iter().any(|code| code.starts_with("missing")),
        "{codes:?}"
    );
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let deep = [
        format!("x = {}1{}", "[".repeat(10_000), "]".repeat(10_000)),
        format!("x = {}1{}", "{a=".repeat(10_000), "}".repeat(10_000)),
        format!(
            "[space]\nx = {{ expr = \"{}1{}\" }}",
            "(".repeat(10_000),
            ")".repeat(10_000)
        ),
        format!("[space]\nx = {{ expr = \"{}1\" }}", "-".repeat(10_000)),
        format!("[{}x]", "a.".repeat(10_000)),
        format!("{}x = 1", "a.".repeat(10_000)),
    ];
    for text in deep {
        assert!(parse(&text).is_err());
    }
}

#[test]
fn a_file_full_of_mistakes_is_shown_in_part() {
    let text: String = (0..20_000).map(|at| format!("key{at} = {at}\n")).collect();
    let shown = parse(&text).unwrap_err().to_string();
    assert!(
        shown.contains("… and 199") && shown.ends_with("errors"),
        "{}",
        &shown[shown.len() - 200..]
    );
}

#[test]
fn duplicate_keys_are_an_error() {
    assert!(codes("seed = 42", "seed = 42\nseed = 43").contains(&"syntax"));
    assert!(codes("layers = {", "lr = 3\nlayers = {").contains(&"syntax"));
}

#[test]
fn an_unusable_file_is_rejected_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("digits.toml"), GOOD).unwrap();
    std::fs::write(path("latin.toml"), b"name = \"\xe9\"").unwrap();
    std::fs::File::create(path("huge.toml"))
        .unwrap()
        .set_len(100 << 20)
        .unwrap();
    std::fs::write(path("marked.toml"), format!("\u{feff}{GOOD}")).unwrap();
    let message = |name: &str| {
        let rejected = Sweep::read(&path(name)).unwrap_err();
        let found = &rejected.diagnostics.list[0];
        format!("{}: {} {:?}", found.code, found.message, found.hints)
            .replace(&folder.path().display().to_string(), "DIR")
    };
    assert_eq!(
        message("digit.toml"),
        "no-file: there is no file `DIR/digit.toml` [\"did you mean `DIR/digits.toml`?\"]"
    );
    assert!(
        message("none/x.toml").contains("the folder `DIR/none` does not exist"),
        "{}",
        message("none/x.toml")
    );
    assert!(
        message("").starts_with("not-a-file: `DIR/` is a folder, not a sweep file"),
        "{}",
        message("")
    );
    assert!(
        message("latin.toml").starts_with("not-utf-8"),
        "{}",
        message("latin.toml")
    );
    assert!(
        message("huge.toml").starts_with("too-large"),
        "{}",
        message("huge.toml")
    );
    assert_eq!(
        Sweep::read(&path("marked.toml"))
            .map(|sweep| sweep.name)
            .unwrap(),
        "digits"
    );
}

#[test]
fn files_that_the_machine_lacks_draw_warnings() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("train"), "").unwrap();
    let text = GOOD
        .replace("\"sh\", \"train.sh\"", "\"train\"")
        .replace("setup = [\"make\"]\n", "");
    let mut sweep = parse(&text).unwrap();
    let surroundings = crate::sweep::Surroundings {
        current_dir: folder.path().to_owned(),
        path: None,
    };
    sweep.look_around(&surroundings).unwrap();
    let found: Vec<_> = sweep
        .warnings
        .list
        .iter()
        .map(|found| (found.code, found.hints.clone()))
        .collect();
    let hint = "there is such a file here: write \"./train\"".to_owned();
    assert_eq!(
        found,
        [
            ("no-data", vec![]),
            ("no-data", vec![]),
            ("no-program", vec![hint])
        ]
    );
}

#[test]
fn a_workdir_called_private_is_one_of_each_trial_and_any_other_is_a_folder() {
    let private = GOOD.replacen(
        "workdir = \".\"",
        "workdir = \"private\"\nlink = [\"store\"]",
        1,
    );
    let mut sweep = parse(&private).unwrap();
    let own = sweep.run.own_workdir.clone().unwrap();
    assert_eq!((sweep.run.workdir.clone(), own.copy), (None, None));
    assert_eq!(own.link, Some(vec!["store".to_owned()]));
    assert!(sweep.warnings.list.is_empty());
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("private")).unwrap();
    let looked = sweep.look_around(&crate::sweep::Surroundings {
        current_dir: folder.path().to_owned(),
        path: None,
    });
    assert!(looked.is_ok());
    let codes = |sweep: &Sweep| {
        sweep
            .warnings
            .list
            .iter()
            .map(|found| found.code)
            .collect::<Vec<_>>()
    };
    assert!(codes(&sweep).contains(&"private-folder"));
    let folder = GOOD.replacen(
        "workdir = \".\"",
        "workdir = \"./private\"\ncopy = [\"store\"]",
        1,
    );
    let sweep = parse(&folder).unwrap();
    assert_eq!(sweep.run.workdir, Some("./private".into()));
    assert_eq!(
        (sweep.run.own_workdir.is_none(), codes(&sweep)),
        (true, vec!["no-private-workdir"])
    );
}

fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let cut = (
        0..GOOD.len(),
        0..12_usize,
        proptest::collection::vec(any::<u8>(), 0..6),
    );
    proptest::collection::vec(cut, 1..4).prop_map(|cuts| {
        let mut bytes = GOOD.as_bytes().to_vec();
        for (at, length, new) in cuts {
            let at = at.min(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, new);
        }
        bytes
    })
}

/// Generates texts from the tokens of the language. They break a parser more often than random
/// bytes.
fn babble() -> impl Strategy<Value = String> {
    let words = [
        "[space]",
        "[run]",
        "[[point]]",
        "[objective]",
        "[search]",
        "[constraints]",
        "\n",
        "x",
        "lr",
        "=",
        "{",
        "}",
        "[",
        "]",
        "min = 1",
        "max = 0.5",
        "log = true",
        "when = \"x\"",
        "repeat = \"n\"",
        "choice = [1]",
        "command = [\"{x}\"]",
        "'a'",
        ",",
        "1e999",
        "-1",
        "nan",
        "9223372036854775807",
        "\u{0}",
        "é",
        "\"\"\"",
        "expr = \"x + x\"",
        "rows = [{a = 1}]",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..40)
        .prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn damaged_files_never_panic(bytes in damaged()) {
        let text = String::from_utf8_lossy(&bytes);
        if let Err(rejected) = parse(&text) {
            prop_assert!(rejected.diagnostics.has_errors());
            let _ = (rejected.render(true), rejected.json());
        }
    }

    #[test]
    fn random_words_never_panic(text in babble()) {
        if let Err(rejected) = parse(&text) {
            prop_assert!(!rejected.render(false).is_empty());
        }
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }
}

/// Parses the good file with these tables before `[run]`.
fn with_preparations(tables: &str) -> Result<Sweep, Rejected> {
    parse(&GOOD.replacen("[run]", &format!("{tables}\n[run]"), 1))
}

#[test]
fn preparations_come_after_those_whose_outputs_they_read() {
    let sweep = with_preparations(
        "[[prepare]]\nname = 'index'\ncommand = ['index', '{prepare.tokens}', '{prepare.index}']\n\
         data_dir = []\ntime = '2h'\n\
         [[prepare]]\nname = 'tokens'\ncommand = ['tokenize', '{layers}', '{prepare.tokens}']\n",
    )
    .unwrap();
    let plans: Vec<_> = sweep.preparations.iter().map(|it| &it.plan).collect();
    let names: Vec<_> = plans.iter().map(|plan| &*plan.name).collect();
    assert_eq!(names, ["tokens", "index"]);
    // Without `depends`, it depends on what the command names.
    assert_eq!(plans[0].depends, ["layers".into()]);
    assert_eq!(plans[0].data_dir, ["data/digits", "data/extra"]);
    assert_eq!(plans[1].inputs, ["tokens".into()]);
    assert!(plans[1].data_dir.is_empty() && plans[1].depends.is_empty());
    assert_eq!(plans[1].time, Some(Duration::from_secs(7200)));
}

#[test]
fn a_parameter_that_only_a_preparation_gets_is_used() {
    let text = GOOD.replacen(
        "\"{args:rest}\"",
        "\"{layers}\", \"{optimizer}\", \"{prepare.a}\"",
        1,
    );
    let prepare = "[[prepare]]\nname = 'a'\ncommand = ['a', '{momentum}']\n[run]";
    let sweep = parse(&text.replacen("[run]", prepare, 1)).unwrap();
    assert!(sweep.warnings.list.is_empty(), "{:?}", sweep.warnings);
}

#[test]
fn mistakes_in_preparations_are_found_before_anything_runs() {
    let table = |name: &str, more: &str| format!("[[prepare]]\nname = '{name}'\n{more}\n");
    let cases = [
        (
            table("a", "command = ['a', '{prepare.b}']")
                + &table("b", "command = ['b', '{prepare.a}']"),
            "circular-preparations",
        ),
        (
            table("a", "command = ['a', '{prepare.bb}']"),
            "bad-placeholder",
        ),
        (
            table("a", "command = ['a', '{lr}']\ndepends = ['layers']"),
            "missing-dependency",
        ),
        (
            table("a", "command = ['a']\ndepends = ['lrr']"),
            "unknown-name",
        ),
        (
            table("a", "command = ['a']") + &table("a", "command = ['b']"),
            "duplicate-name",
        ),
        (table("a b", "command = ['a']"), "bad-name"),
        (table("a", ""), "missing-command"),
        ("[[prepare]]\ncommand = ['a']\n".to_owned(), "missing-name"),
        (table("a", "command = ['a', '{lrr}']"), "bad-placeholder"),
        (table("a", "command = ['a']\nlimit = 3"), "unknown-key"),
    ];
    for (tables, code) in cases {
        let rejected = with_preparations(&tables).unwrap_err();
        let codes: Vec<_> = rejected.diagnostics.list.iter().map(|it| it.code).collect();
        assert_eq!(codes, [code], "{tables}\n{}", rejected.render(false));
    }
    let text = GOOD.replacen("--lr={lr}", "{prepare.tokens}", 1);
    let rejected = parse(&text).unwrap_err();
    assert!(rejected.render(false).contains("names no `[[prepare]]`"));
}
