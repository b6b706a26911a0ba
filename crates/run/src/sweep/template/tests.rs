use super::parse::BRACES;
use super::*;
use proptest::prelude::*;
use swath_engine::executor::{Launch, PreparedFolder, StudyContext};
use swath_model::source::{Diagnostics, Section, Table};
use swath_model::space::Params;
use swath_model::study::TrialId;

fn names(names: &[&str]) -> Names {
    Names {
        params: names.iter().map(|name| Name::from(*name)).collect(),
        prepared: vec!["tokens".into()],
        configs: vec!["main".to_owned()],
    }
}

fn params(entries: &[(&str, Value)]) -> Params {
    entries
        .iter()
        .map(|(name, value)| (Name::from(*name), value.clone()))
        .collect()
}

fn adam() -> Params {
    params(&[
        ("lr", Value::Float(0.001)),
        ("optimizer", Value::Text("adam".into())),
        ("amp", Value::Bool(true)),
        ("units", Value::List(vec![Value::Int(128), Value::Int(64)])),
    ])
}

/// Returns the arguments that a template makes, the built-ins of trial 7 filled in.
fn rendered(template: &Template, params: &Params, space: &Space) -> Vec<String> {
    with_fill(params, space, |fill| resolved(&template.render(fill), fill))
}

fn resolved(texts: &[Text], fill: &Fill<'_>) -> Vec<String> {
    texts.iter().map(|text| text.resolve(&fill.facts)).collect()
}

fn with_fill<T>(params: &Params, space: &Space, use_fill: impl FnOnce(&Fill<'_>) -> T) -> T {
    let study = StudyContext {
        name: "digits".to_owned(),
        stage: "tune".to_owned(),
        ..StudyContext::default()
    };
    let launch = Launch {
        trial: TrialId(7),
        seed: 41,
        slot: 3,
        prepared: vec![PreparedFolder {
            name: "tokens".into(),
            folder: "/logs/digits/prepared/ab/output".into(),
        }],
        ..crate::sweep::launch(params.clone(), "logs/digits/7".into())
    };
    use_fill(&Fill {
        facts: Facts {
            study: &study,
            launch: &launch,
            dir: Path::new("logs/digits/7"),
            data_dir: &["data/a".to_owned(), "data/b".to_owned()],
            port: Some(20_000),
        },
        space,
        configs: &[("main".to_owned(), PathBuf::from("logs/digits/7/main.yaml"))],
    })
}

fn filled(command: &[&str], params: &Params) -> Vec<String> {
    let command: Vec<String> = command.iter().map(|arg| (*arg).to_owned()).collect();
    let names = names(&["lr", "optimizer", "amp", "units", "momentum"]);
    let template = Template::parse(&command, &names).unwrap();
    rendered(&template, params, &Space::default())
}

#[test]
fn the_arguments_of_the_parameters_are_those_of_the_command() {
    let command = [
        "python",
        "t.py",
        "--out",
        "{trial_dir}",
        "--fixed",
        "--lr",
        "{lr}",
        "{amp:flag}",
        "--units",
        "{units:each}",
        "--momentum",
        "{momentum}",
        "--config",
        "{config.main}",
        "{args:rest}",
    ];
    let command = command.map(str::to_owned);
    let names = names(&["lr", "optimizer", "amp", "units", "momentum"]);
    let template = Template::parse(&command, &names).unwrap();
    let arguments = with_fill(&adam(), &Space::default(), |fill| {
        resolved(&template.render_parameters(fill), fill)
    });
    let expected = [
        "--lr",
        "0.001",
        "--amp",
        "--units",
        "128",
        "64",
        "--config",
        "logs/digits/7/main.yaml",
        "--optimizer=adam",
    ];
    assert_eq!(arguments, expected);
}

fn fault(arg: &str) -> (Span, String, Option<String>) {
    let errors =
        Template::parse(&["x".to_owned(), arg.to_owned()], &names(&["lr", "units"])).unwrap_err();
    assert_eq!(errors[0].argument, 1);
    (
        errors[0].span.clone(),
        errors[0].message.clone(),
        errors[0].hint.clone(),
    )
}

#[test]
fn a_placeholder_is_replaced_by_its_parameter() {
    assert_eq!(
        filled(&["train", "--lr={lr}", "{optimizer}"], &adam()),
        ["train", "--lr=0.001", "adam"]
    );
}

#[test]
fn a_command_without_placeholders_gets_every_parameter() {
    let expected = [
        "train",
        "--lr=0.001",
        "--optimizer=adam",
        "--amp=true",
        "--units=[128,64]",
    ];
    assert_eq!(filled(&["train"], &adam()), expected);
    assert_eq!(filled(&["train", "{args}"], &adam()), expected);
}

#[test]
fn switches_and_lists_have_the_forms_of_python_libraries() {
    let no_amp = params(&[("amp", Value::Bool(false))]);
    for (command, params, expected) in [
        ("{amp:flag}", &adam(), "--amp"),
        ("{amp:flag}", &no_amp, "--no-amp"),
        ("--{amp}", &no_amp, ""),
        ("{amp:flag=--fp16/--fp32}", &no_amp, "--fp32"),
        ("--units {units:each}", &adam(), "--units 128 64"),
        ("--units {units:repeat}", &adam(), "--units 128 --units 64"),
        ("--units {units:repeat}", &no_amp, ""),
        (
            "--first={units[0]} {units[1]} {units[2]}",
            &adam(),
            "--first=128 64",
        ),
        ("{args:argparse}", &no_amp, ""),
        ("{args:click}", &no_amp, "--no-amp"),
        (
            "{args:argparse}",
            &adam(),
            "--lr=0.001 --optimizer=adam --amp --units 128 64",
        ),
        (
            "{args:click}",
            &adam(),
            "--lr=0.001 --optimizer=adam --amp --units=128 --units=64",
        ),
    ] {
        let words: Vec<&str> = std::iter::once("x").chain(command.split(' ')).collect();
        assert_eq!(filled(&words, params)[1..].join(" "), expected, "{command}");
    }
}

#[test]
fn a_form_that_does_not_exist_is_an_error_that_names_the_forms() {
    for (arg, message, hint) in [
        ("{units:all}", "no form `all`", "{units:each}"),
        ("{units:repeat}", "no option before it", "\"--units\""),
    ] {
        let (_, said, help) = fault(arg);
        assert!(said.contains(message), "{said}");
        assert!(help.unwrap().contains(hint), "{arg}");
    }
    assert!(fault("a{units:each}").1.contains("an argument of its own"));
}

#[test]
fn rest_stands_for_the_parameters_that_the_command_does_not_name() {
    let made = filled(
        &["train", "{args:rest}", "--rate", "{lr}", "--{amp}"],
        &adam(),
    );
    assert_eq!(
        made,
        [
            "train",
            "--optimizer=adam",
            "--units=[128,64]",
            "--rate",
            "0.001",
            "--amp"
        ]
    );
}

#[test]
fn hydra_gets_its_own_spelling() {
    let params = params(&[
        ("lr", Value::Float(1e-5)),
        ("optimizer", Value::Text("a b".into())),
        ("momentum", Value::Text("1".into())),
    ]);
    assert_eq!(
        filled(&["t", "{hydra}"], &params),
        ["t", "lr=1e-5", "optimizer='a b'", "momentum='1'"]
    );
}

/// Returns the value that Hydra reads from a text.
fn in_hydra(text: &str) -> String {
    let params = params(&[("optimizer", Value::Text(text.into()))]);
    filled(&["t", "{hydra}"], &params)[1]
        .strip_prefix("optimizer=")
        .unwrap()
        .to_owned()
}

#[test]
fn hydra_gets_a_backslash_doubled_only_before_a_quote_and_at_the_end() {
    assert_eq!(in_hydra(r"back\slash"), r"'back\slash'");
    assert_eq!(in_hydra(r"two\\in"), r"'two\\in'");
    assert_eq!(in_hydra(r"ends with \"), r"'ends with \\'");
    assert_eq!(in_hydra("it's"), r"'it\'s'");
    assert_eq!(in_hydra(r"a\'b"), r"'a\\\'b'");
    assert_eq!(in_hydra(r#"say "hi\""#), r#"'say "hi\"'"#);
}

#[test]
fn a_text_that_hydra_would_read_as_another_type_is_quoted() {
    for text in [
        "1_000", "1_0.5", "1e1_0", "+1", ".5", "1.", "007", "inf", "-INF", "NaN", "Null", "TRUE",
        "",
    ] {
        assert_eq!(in_hydra(text), format!("'{text}'"));
    }
    for text in ["adam", "1_000x", "1-2", "a/b.c", "50%", "-x"] {
        assert_eq!(in_hydra(text), text);
    }
}

#[test]
fn texts_in_a_list_are_quoted_for_hydra_one_by_one() {
    let list = Value::List(vec![
        Value::Text(r"a\b".into()),
        Value::Text("c".into()),
        Value::Float(1e-5),
    ]);
    assert_eq!(
        filled(&["t", "{hydra}"], &params(&[("units", list)])),
        ["t", r"units=['a\b',c,1e-5]"]
    );
}

/// Returns whether Python's argparse takes an argument for a negative number: `^-\d+$|^-\d*\.\d+$`.
fn is_negative_number_of_argparse(text: &str) -> bool {
    let Some(number) = text.strip_prefix('-') else {
        return false;
    };
    let are_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    match number.split_once('.') {
        None => !number.is_empty() && are_digits(number),
        Some((whole, rest)) => are_digits(whole) && !rest.is_empty() && are_digits(rest),
    }
}

#[test]
fn a_negative_number_that_begins_an_argument_has_no_exponent() {
    let small = params(&[("lr", Value::Float(-5.3e-6))]);
    let made = filled(
        &["t", "--lr", "{lr}", "--lr={lr}", "{lr}:x", "x{lr}"],
        &small,
    );
    assert_eq!(
        made,
        [
            "t",
            "--lr",
            "-0.0000053",
            "--lr=-5.3e-6",
            "-0.0000053:x",
            "x-5.3e-6"
        ]
    );
    assert_eq!(
        filled(&["t", "{lr}"], &params(&[("lr", Value::Float(5.3e-6))])),
        ["t", "5.3e-6"]
    );
}

#[test]
fn every_negative_float_arrives_through_argparse_as_the_same_number() {
    for exponent in -300..=300 {
        for mantissa in [1.0, 5.3, 9.87654321098] {
            let number: f64 = format!("-{mantissa}e{exponent}").parse().unwrap();
            let made = filled(&["t", "{lr}"], &params(&[("lr", Value::Float(number))]));
            assert!(is_negative_number_of_argparse(&made[1]), "{}", made[1]);
            assert_eq!(made[1].parse(), Ok(number));
        }
    }
}

#[test]
fn a_switch_is_given_or_left_out() {
    let off = params(&[("amp", Value::Bool(false)), ("lr", Value::Float(0.1))]);
    assert_eq!(filled(&["t", "--{amp}"], &adam()), ["t", "--amp"]);
    assert_eq!(filled(&["t", "--{amp}"], &off), ["t"]);
    assert_eq!(filled(&["t", "--{lr}"], &off), ["t", "--lr=0.1"]);
}

#[test]
fn an_argument_of_an_absent_parameter_is_left_out_with_its_option() {
    assert_eq!(
        filled(&["t", "--momentum={momentum}", "--lr={lr}"], &adam()),
        ["t", "--lr=0.001"]
    );
    assert_eq!(
        filled(&["t", "--momentum", "{momentum}", "{lr}"], &adam()),
        ["t", "0.001"]
    );
    assert_eq!(
        filled(&["t", "sub", "{momentum}", "{lr}"], &adam()),
        ["t", "sub", "0.001"]
    );
}

#[test]
fn paths_of_the_trial_are_filled_in() {
    let made = filled(
        &[
            "t",
            "{params}",
            "{trial}",
            "{trial_dir}/x",
            "{data_dir}",
            "-d={data_dir}",
        ],
        &adam(),
    );
    let expected = [
        "t",
        "logs/digits/7/params.json",
        "7",
        "logs/digits/7/x",
        "data/a",
        "data/b",
    ];
    assert_eq!(made[..6], expected);
    assert_eq!(made[6], "-d=data/a:data/b");
}

#[test]
fn doubled_braces_are_braces() {
    assert_eq!(
        filled(&["t", "{{\"lr\": {lr}}}"], &adam()),
        ["t", "{\"lr\": 0.001}"]
    );
}

#[test]
fn an_unknown_placeholder_is_an_error_with_a_suggestion() {
    let (span, message, hint) = fault("--lr={rl}");
    assert_eq!(
        (span, message.as_str()),
        (5..9, "unknown placeholder `{rl}`")
    );
    assert_eq!(
        fault("{unit}").2.as_deref(),
        Some("did you mean `{units}`?")
    );
    assert_eq!(
        fault("{tral_dir}").2.as_deref(),
        Some("did you mean `{trial_dir}`?")
    );
    assert!(hint.is_some());
    assert_eq!(fault("{print $1}").2.as_deref(), Some(BRACES));
}

#[test]
fn a_lone_brace_is_an_error() {
    assert_eq!(fault("a{lr").1, "`{` is never closed");
    assert_eq!(fault("lr}").1, "`}` closes nothing");
    assert_eq!(
        fault("x{args}").1,
        "`{args}` makes several arguments and must be an argument of its own"
    );
}

#[test]
fn the_parameters_that_the_command_receives_are_known() {
    let parse =
        |arg: &str| Template::parse(&["t".into(), arg.into()], &names(&["lr", "units"])).unwrap();
    assert!(parse("{lr}").receives("lr") && !parse("{lr}").receives("units"));
    assert!(parse("{params}").receives("units") && parse("{args}").receives("units"));
    assert!(!parse("{trial}").receives("lr") && parse("x").receives("lr"));
}

proptest! {
    #[test]
    fn no_argument_makes_it_panic(args in proptest::collection::vec("[{}a-z:é ]{0,12}|\\PC{0,8}", 0..4)) {
        if let Ok(template) = Template::parse(&args, &names(&["a", "lr"])) {
            rendered(&template, &params(&[("a", Value::Int(1))]), &Space::default());
        }
    }
}

#[test]
fn variables_of_the_caller_are_passed_and_not_recorded() {
    let command = ["p", "--token", "secret", "{env:A}", "-{env:B:-b}{lr}"].map(str::to_owned);
    let mut template = Template::parse(&command[..4], &names(&["lr"])).unwrap();
    let params = params(&[("lr", Value::Text("{env:A}".into()))]);
    let lookup = |name: &str| (name == "A").then(|| "a".to_owned());
    template.fill(&Secrets::default(), lookup).unwrap();
    // A variable is no placeholder for parameters, so they are appended.
    assert_eq!(
        rendered(&template, &params, &Space::default()),
        ["p", "--token", "secret", "a", "--lr={env:A}"]
    );
    assert_eq!(
        with_fill(&params, &Space::default(), |fill| resolved(
            &template.render_recorded(fill),
            fill
        )),
        ["p", "--token", "{env:TOKEN}", "{env:A}", "--lr={env:A}"]
    );
    let mut template = Template::parse(&command, &names(&["lr"])).unwrap();
    template.fill(&Secrets::default(), lookup).unwrap();
    assert_eq!(
        rendered(&template, &params, &Space::default())[4],
        "-b{env:A}"
    );
    let unset = template_of_unset().fill(&Secrets::default(), |_| None);
    assert_eq!(unset.unwrap_err().name, "C");
}

fn template_of_unset() -> Template {
    Template::parse(&["{env:C}".to_owned()], &Names::default()).unwrap()
}

/// Returns a space whose choice `model` has parameters of its own in the branch `svm`.
fn space_with_a_branch() -> Space {
    let text = "model = { choice = [\"svm\", \"tree\"], svm = { C = [1.0, 2.0] } }\nlr = 0.5\n\
                [g.opt]\nchoice = [\"sgd\"]\n[g.opt.sgd]\nnesterov = true\n";
    let mut diagnostics = Diagnostics::default();
    let table = Table::parse(text, &mut diagnostics);
    let section = Section::new("space", 0..text.len(), table);
    Space::parse(section, None, &mut diagnostics).expect("it is valid")
}

#[test]
fn hydra_gets_the_parameters_of_a_branch_below_the_name_of_their_choice() {
    let space = space_with_a_branch();
    let template = Template::parse(
        &["app".to_owned(), "{hydra}".to_owned()],
        &Names {
            params: space.names(),
            ..Names::default()
        },
    );
    let params = params(&[
        ("model", Value::Text("svm".into())),
        ("C", Value::Float(2.0)),
        ("lr", Value::Float(0.5)),
        ("g.opt", Value::Text("sgd".into())),
        ("g.nesterov", Value::Bool(true)),
    ]);
    assert_eq!(
        rendered(&template.unwrap(), &params, &space),
        [
            "app",
            "model=svm",
            "model.C=2.0",
            "lr=0.5",
            "g.opt=sgd",
            "g.opt.nesterov=true"
        ]
    );
}

#[test]
fn facts_about_the_attempt_are_placeholders() {
    let made = filled(
        &[
            "t",
            "--seed={seed}",
            "{swath.seed}",
            "{slot}:{port}",
            "{study}/{stage}",
            "{records}",
            "{config.main}",
        ],
        &adam(),
    );
    let expected = [
        "t",
        "--seed=41",
        "41",
        "3:20000",
        "digits/tune",
        "logs/digits/7/records.jsonl",
        "logs/digits/7/main.yaml",
    ];
    assert_eq!(made, expected);
}

#[test]
fn a_fact_that_the_attempt_does_not_have_leaves_the_argument_out() {
    let command = [
        "t",
        "--resume-step",
        "{resume_step}",
        "--{resume}",
        "{resume:flag=--go-on/--anew}",
        "--until={until}",
        "{lr}",
    ];
    assert_eq!(filled(&command, &adam()), ["t", "--anew", "0.001"]);
}

#[test]
fn a_parameter_comes_before_a_fact_of_its_name() {
    let names = names(&["seed", "args", "trial"]);
    let command = [
        "t",
        "{seed}",
        "{swath.seed}",
        "{args}",
        "{trial}",
        "{swath.args}",
    ];
    let template = Template::parse(&command.map(str::to_owned), &names).unwrap();
    let params = params(&[
        ("seed", Value::Int(5)),
        ("args", Value::Text("a".into())),
        ("trial", Value::Text("b".into())),
    ]);
    assert_eq!(
        rendered(&template, &params, &Space::default()),
        [
            "t",
            "5",
            "41",
            "a",
            "b",
            "--seed=5",
            "--args=a",
            "--trial=b"
        ]
    );
}

#[test]
fn other_texts_keep_braces_that_are_no_placeholders() {
    let names = names(&["lr"]);
    for (text, expected, unknown) in [
        ("a{lr}b{seed}", "a0.001b41", vec![]),
        (
            "{\"lr\": {lr}, \"x\": {}}",
            "{\"lr\": 0.001, \"x\": {}}",
            vec![],
        ),
        ("${lr} {{lr}} {{x}}", "${lr} {lr} {{x}}", vec![]),
        (
            "{learning_rate} {lr",
            "{learning_rate} {lr",
            vec!["learning_rate"],
        ),
        (
            "{lr:flag} {args}",
            "{lr:flag} {args}",
            vec!["lr:flag", "args"],
        ),
        ("awk '{print $1}'", "awk '{print $1}'", vec![]),
    ] {
        let (parsed, found) = FreeText::parse(text, &names);
        let found: Vec<_> = found.iter().map(|unknown| unknown.name.as_str()).collect();
        assert_eq!(found, unknown, "{text}");
        let made = with_fill(&adam(), &Space::default(), |fill| {
            parsed.render(fill).map(|text| text.resolve(&fill.facts))
        });
        assert_eq!(made.unwrap(), expected);
    }
}

proptest! {
    #[test]
    fn a_text_without_placeholders_is_kept_byte_for_byte(text in "[{}$a-z\": é]{0,16}") {
        let (parsed, _) = FreeText::parse(&text, &Names::default());
        prop_assume!(!["seed", "slot", "port", "study", "stage", "until", "trial"].iter().any(|name| text.contains(name)));
        let made = with_fill(&adam(), &Space::default(), |fill| {
            parsed.render(fill).map(|text| text.resolve(&fill.facts))
        });
        prop_assert_eq!(made.unwrap(), text);
    }
}

#[test]
fn the_output_of_a_preparation_is_part_of_an_argument() {
    let command = ["tokenize", "{lr}", "{prepare.tokens}{prepare.tokens}"].map(str::to_owned);
    let template = Template::parse_preparation(&command, &names(&["lr", "amp"])).unwrap();
    assert_eq!(template.prepared(), ["tokens".into()]);
    assert!(template.names("lr") && !template.receives("amp"));
    let bare = Template::parse_preparation(&command[..1], &names(&["lr"])).unwrap();
    assert!(
        !bare.receives("lr"),
        "a preparation gets what it names only"
    );
    assert_eq!(
        filled(&["t", "--data={prepare.tokens}/train"], &params(&[])),
        ["t", "--data=/logs/digits/prepared/ab/output/train"]
    );
    let (_, message, hint) = fault("{prepare.token}");
    assert_eq!(message, "`{prepare.token}` names no `[[prepare]]`");
    assert_eq!(hint.unwrap(), "did you mean `{prepare.tokens}`?");
}
