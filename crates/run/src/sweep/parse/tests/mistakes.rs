//! Mistakes and doubtful contents of a sweep file, each with its code and its message.

use super::{GOOD, codes, parse};

#[test]
fn each_mistake_has_its_code() {
    for (part, by, expected) in [
        ("name = \"digits\"", "name = \"../x\"", "bad-name"),
        ("seed = 42", "sede = 42", "unknown-key"),
        ("seed = 42", "seed = -1", "too-small"),
        ("seed = 42", "seed = 'x'", "wrong-type"),
        ("seed = 42", "seed = 1\ntrials = 3", "misplaced-key"),
        ("[limits]", "[limit]", "misplaced-key"),
        ("--lr={lr}", "--lr={rate}", "bad-placeholder"),
        ("--lr={lr}", "--lr={lr", "bad-placeholder"),
        ("[\"sh\", ", "[3, ", "wrong-type"),
        (
            "command = [\"sh\", \"train.sh\", \"--lr={lr}\", \"{args:rest}\"]",
            "command = \"sh train.sh\"",
            "wrong-type",
        ),
        (
            "command = [\"sh\", \"train.sh\", \"--lr={lr}\", \"{args:rest}\"]",
            "command = []",
            "missing-command",
        ),
        (
            "data_dir = [\"data/digits\", \"data/extra\"]",
            "data_dir = 3",
            "wrong-type",
        ),
        ("OMP_NUM_THREADS", "SWATH_TRIAL", "reserved-name"),
        ("grace = \"3s\"", "grace = \"3 x\"", "bad-unit"),
        ("goal = \"min\"", "", "missing-goal"),
        ("goal = \"min\"", "goal = \"minimise\"", "unknown-name"),
        ("metric = \"val_loss\"", "", "missing-metric"),
        (
            "sampler = \"random\"",
            "sampler = \"randm\"",
            "unknown-name",
        ),
        ("name = \"fifo\"", "name = \"fifoo\"", "unknown-name"),
        ("name = \"fifo\"", "min = 3", "unknown-key"),
        ("trials = 200", "trials = 0", "too-small"),
        ("jobs = 4", "jobs = 1000000", "too-large"),
        ("time = \"8h\"", "time = \"0s\"", "too-small"),
        (
            "on = [\"crash\", \"lost\"]",
            "on = [\"crashes\"]",
            "unknown-name",
        ),
        (r"epoch (\d+)", r"epoch \d+", "no-group"),
        (r"epoch (\d+)", r"epoch (\d+", "bad-regex"),
        (
            "[resources]\njobs = 4",
            "[executor]\nname = \"slrm\"",
            "unknown-name",
        ),
        (
            "[resources]\njobs = 4",
            "[executor]\nname = \"pool\"\nnodes = 3",
            "unknown-key",
        ),
        (
            "[resources]\njobs = 4",
            "[[tracker]]\nname = \"mlfow\"",
            "unknown-name",
        ),
        ("[resources]\njobs = 4", "[[tracker]]\n", "missing-name"),
        (
            "[resources]\njobs = 4",
            "[[tracker]]\nname = \"prov\"\ndir = \"a\"\n[[tracker]]\nname = \"prov\"\ndir = \"a/\"",
            "same-tracker",
        ),
        (
            "[resources]\njobs = 4",
            "[[tracker]]\nname = \"program\"\ncommand = [\"a\"]\n\
             [[tracker]]\nname = \"program\"\ncommand = [\"b\"]",
            "same-tracker",
        ),
        (
            "[resources]\njobs = 4",
            "[[tracker]]\nname = \"mlflow\"\n[[tracker]]\nname = \"mlflow\"",
            "same-tracker",
        ),
        (
            "[resources]\njobs = 4",
            "[[tracker]]\nname = \"mlflow\"\nmodel = \"m\"",
            "bad-model",
        ),
        ("[resources]\njobs = 4", "trackr = 3", "unknown-key"),
        ("layers * lr < 0.2", "layers > 9", "empty-space"),
        (
            "sampler = \"random\"",
            "sampler = \"random\"\n[search.random]\nspeed = 3",
            "unknown-key",
        ),
    ] {
        let reported = codes(part, by);
        assert!(reported.contains(&expected), "{by}: {reported:?}");
    }
}

#[test]
fn each_doubtful_content_has_its_warning() {
    for (part, by, expected) in [
        (
            "min = 1e-5, max = 1e-1, log = true",
            "min = 1e-5, max = 1e-1",
            "wide-range",
        ),
        (
            "optimizer = [",
            "flag = { min = 0, max = 1 }\noptimizer = [",
            "zero-or-one",
        ),
        ("\"{args:rest}\"", "\"{trial}\"", "unused-parameter"),
        ("val_loss = 'val_loss[=:]\\s*(\\S+)'", "", "not-captured"),
        ("trials = 200", "", "no-objective"),
        (
            "sampler = \"random\"",
            "sampler = \"random\"\n[search.grid]",
            "unused-section",
        ),
        (
            "optimizer = [",
            "trial = 3\noptimizer = [",
            "hidden-built-in",
        ),
    ] {
        let text = match expected {
            "no-objective" => GOOD.replacen(
                "[objective]\nmetric = \"val_loss\"\ngoal = \"min\"\n",
                "",
                1,
            ),
            "unused-section" => GOOD.replacen("trials = 200\n", "", 1).replacen(
                part,
                &format!("trials = 200\n{by}"),
                1,
            ),
            "hidden-built-in" => {
                let text = GOOD.replacen(part, by, 1);
                text.replacen("\"{args:rest}\"", "\"{trial}\", \"{args:rest}\"", 1)
            }
            _ => GOOD.replacen(part, by, 1),
        };
        let sweep = parse(&text)
            .map_err(|rejected| rejected.to_string())
            .unwrap();
        let found: Vec<_> = sweep.warnings.list.iter().map(|found| found.code).collect();
        assert_eq!(found, [expected], "{by}");
    }
}

#[test]
fn ranking_by_the_best_fold_draws_a_warning() {
    let captured = |key: &str, take: &str, scheduler: &str| {
        let text = format!(
            "[run]\ncommand = ['x']\n[objective]\nmetric = 'loss'\ngoal = 'min'\n{take}\n[search]\n\
             sampler = 'random'\ntrials = 3\n{scheduler}[capture]\nloss = 'loss=(.+)'\n{key} = '(.+) of 5'\n\
             epoch = 'epoch (.+)'\n[space]\na = [1, 2]\n"
        );
        let sweep = parse(&text)
            .map_err(|rejected| rejected.to_string())
            .unwrap();
        let warnings = sweep
            .warnings
            .list
            .iter()
            .filter(|found| found.code == "best-of-folds");
        warnings
            .map(|found| found.message.clone())
            .collect::<Vec<_>>()
    };
    for key in ["fold", "k_fold", "outer-fold", "split", "cv", "CV_split"] {
        let expected =
            format!("`{key}` of `[capture]` looks like a fold, but the best fold ranks a trial");
        assert_eq!(captured(key, "", ""), [expected], "{key}");
    }
    for key in ["folder", "cv_score", "rows"] {
        assert!(captured(key, "", "").is_empty(), "{key}");
    }
    assert!(captured("fold", "take = 'mean'", "").is_empty());
    let asha = "[scheduler]\nname = 'asha'\nresource = 'epoch'\nmin = 1\nmax = 9\n";
    assert!(captured("fold", "", asha).is_empty());
}

#[test]
fn a_grid_larger_than_trials_draws_a_warning() {
    let text = "[run]\ncommand = ['x']\n[objective]\nmetric = 'a'\ngoal = 'max'\n[search]\nsampler = 'grid'\ntrials = 3\n\
                [space]\na = [1, 2]\nb = [1, 2]\n";
    let sweep = parse(text).unwrap();
    let messages: Vec<_> = sweep
        .warnings
        .list
        .iter()
        .map(|found| found.message.as_str())
        .collect();
    assert_eq!(
        messages,
        ["the grid has 4 configurations, of which 3 are run"]
    );
}

#[test]
fn more_trials_than_the_space_has_configurations_draw_a_warning() {
    let text = |extra: &str| {
        format!(
            "[run]\ncommand = ['x']\n[objective]\nmetric = 'a'\ngoal = 'max'\n\
             [search]\ntrials = 20\n[space]\na = [1, 2, 3]\nb = [1, 2]\n{extra}"
        )
    };
    let warning = |extra: &str| {
        let sweep = parse(&text(extra)).unwrap();
        let warnings = sweep.warnings.list.iter();
        warnings
            .map(|warning| (warning.code, warning.message.clone()))
            .next()
    };
    let ends_after = |size: &str, ending: &str| {
        let message = format!(
            "the space has {size} configurations, and each is tried once{ending} of 20 trials"
        );
        Some(("small-space", message))
    };
    assert_eq!(warning(""), ends_after("6", ": the sweep ends after 6"));
    // Configurations that the constraints refuse do not count.
    assert_eq!(
        warning("[constraints]\nsmall = 'a + b <= 3'\n"),
        ends_after("3", ": the sweep ends after 3")
    );
    assert_eq!(
        warning("[replicate]\nseeds = 3\n"),
        ends_after("6", " with 3 seeds: the sweep ends after 18")
    );
    assert_eq!(warning("[replicate]\nseeds = 4\n"), None);
    assert_eq!(warning("c = { min = 0.0, max = 1.0 }\n"), None);
}

#[test]
fn a_constraint_that_rejects_nearly_everything_draws_a_warning() {
    assert_eq!(
        codes(
            "layers * lr < 0.2\"\n\n[[point]]\nlr = 3e-4\n",
            "lr < 1.05e-5\"\n\n[[point]]\n"
        ),
        ["low-acceptance"]
    );
}

#[test]
fn an_empty_space_names_the_constraint_that_empties_it() {
    let text = GOOD.replace(
        "small = \"layers * lr < 0.2\"",
        "small = \"layers < 5\"\nimpossible = \"layers > 9\"",
    );
    let text = text.replace("\n[[point]]\nlr = 3e-4\nlayers = 2\n", "");
    insta::assert_snapshot!(parse(&text).unwrap_err(), @r#"
    error[empty-space]: the space is empty: none of 20000 configurations drawn satisfies the constraints
      --> digits.toml:51:14
       |
    51 | impossible = "layers > 9"
       |              ^^^^^^^^^^^^ refuses all of them

    error: sweep file `digits.toml` has 1 error
    "#);
}

#[test]
fn the_errors_of_an_executor_are_reported_with_all_others() {
    let by = "[executor]\nname = \"slurm\"\npartitoin = \"gpu\"\nwalltime = \"0s\"";
    let rejected = parse(&GOOD.replacen("[resources]\njobs = 4", by, 1)).unwrap_err();
    let messages: Vec<_> = rejected
        .diagnostics
        .list
        .iter()
        .map(|found| found.message.clone())
        .collect();
    assert_eq!(
        messages,
        [
            "unknown key `partitoin` in `[executor]`",
            "`walltime` leaves no time at all"
        ]
    );
}

/// Returns the message and the hints of the only error in a file with a few lines added.
fn only_error(lines: &str) -> (String, Vec<String>) {
    let text = format!("{lines}\n[run]\ncommand = ['x']\n[space]\nlr = [0.1, 0.2]\n");
    let mut errors = parse(&text).unwrap_err().diagnostics.list;
    errors.retain(|found| found.level == swath_model::source::Level::Error);
    assert_eq!(errors.len(), 1, "{errors:?}");
    (errors[0].message.clone(), errors[0].hints.clone())
}

#[test]
fn the_error_for_a_key_of_another_table_names_that_table() {
    for (lines, message) in [
        (
            "[limits]\nmetric = 'latency'",
            "`metric` belongs to `[[outcome_constraint]]`",
        ),
        (
            "[[outcome_constraint]]\ntime = '1h'\nmetric = 'a'\nmax = 3",
            "`time` belongs to `[[prepare]]` or `[limits]`",
        ),
        ("trials = 3", "`trials` belongs to `[search]`"),
        ("trial_time = '1h'", "`trial_time` belongs to `[limits]`"),
        (
            "[search]\nseed = 3",
            "`seed` belongs to the top of the file",
        ),
        ("[resources]\ngrace = '3s'", "`grace` belongs to `[run]`"),
        (
            "[search]\nsampler = 'grid'\n[search.grid]\ntrials = 3",
            "`trials` belongs to `[search]`",
        ),
    ] {
        let (found, hints) = only_error(lines);
        assert_eq!(found, message);
        assert!(hints[0].starts_with("move it "), "{hints:?}");
    }
}

#[test]
fn a_table_inside_of_another_one_is_named_as_a_table() {
    for (lines, message) in [
        (
            "[resources]\ncapture = { loss = 'x' }",
            "`[capture]` is a table of its own",
        ),
        (
            "[limits]\ntracker = [{ name = 'cmf' }]",
            "`[[tracker]]` is a table of its own",
        ),
    ] {
        let (found, hints) = only_error(lines);
        assert_eq!(found, message);
        assert!(
            hints[0].starts_with("write its keys below a line "),
            "{hints:?}"
        );
    }
}

#[test]
fn several_misplaced_keys_are_assigned_to_one_table() {
    let text = "[limits]\nmetric = 'latency'\nmax = 20\n[run]\ncommand = ['x']\n[space]\nlr = [0.1, 0.2]\n";
    let found = parse(text).unwrap_err().diagnostics.list;
    let messages: Vec<_> = found
        .iter()
        .map(|found| found.message.as_str())
        .take(2)
        .collect();
    assert_eq!(
        messages,
        [
            "`metric` belongs to `[[outcome_constraint]]`",
            "`max` belongs to `[[outcome_constraint]]`"
        ]
    );
}

#[test]
fn the_earlier_name_of_outcome_constraints_is_read_with_a_warning() {
    let text = |table: &str| {
        GOOD.replacen(
            "[search]",
            &format!("[[{table}]]\nmetric = \"latency\"\nmax = 20\n\n[search]"),
            1,
        )
    };
    let constraint = parse(&text("outcome_constraint")).unwrap();
    let limit = parse(&text("limit")).unwrap();
    assert_eq!(limit.outcome_limits, constraint.outcome_limits);
    assert_eq!(
        (
            constraint.outcome_limits.len(),
            constraint.warnings.list.len()
        ),
        (1, 0)
    );
    let warning = &limit.warnings.list[0];
    assert_eq!(
        warning.message,
        "`[[limit]]` is now called `[[outcome_constraint]]`"
    );
    assert_eq!(
        limit.source.position(warning.labels[0].0.start).0,
        18,
        "{warning:?}"
    );
}

#[test]
fn the_error_for_an_option_of_another_kind_names_that_kind() {
    let (message, hints) = only_error("[scheduler]\nname = 'fifo'\nreduction = 3");
    assert_eq!(message, "unknown key `reduction` in `[scheduler]`");
    assert_eq!(
        hints.last().unwrap(),
        "`reduction` is an option of `asha`, `auto`, `hyperband`, not of `fifo`"
    );
}
