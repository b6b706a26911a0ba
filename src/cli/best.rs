//! `swath best`: prints the best trial, ready to paste, or the Pareto front for several objectives.

use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use super::studies::SelectionArgs;
use super::{Context, luck, paste, quote};
use crate::journal::StudyDir;
use crate::report::listing::Detail;
use crate::report::text::plain;
use crate::report::{front, json, listing, rank, summary};
use crate::run::parameter_arguments;
use crate::study::{Study, Trial};
use crate::sweep::{self, Sweep};
use serde_json::json;

/// Arguments of `swath best`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// Show this many trials
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<usize>,

    /// Print a `[[point]]` for a sweep file
    #[arg(long, conflicts_with_all = ["args", "json"])]
    pub(crate) toml: bool,

    /// Print arguments for a command line, as the program takes them
    #[arg(long, conflicts_with = "json")]
    pub(crate) args: bool,

    /// Print the path of the model that belongs to the result
    #[arg(long, conflicts_with_all = ["args", "json", "toml"])]
    pub(crate) model: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs `swath best`: fails with [`Code::NoSuccess`] if no trial has succeeded, if `--args` is
/// given and no trial satisfies the outcome constraints, or if `--model` is given and there is no
/// model.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let selection = args.selection.read(context)?;
    let study = &selection.study;
    let has_several_objectives = study.header().objectives.len() > 1;
    let selected = selection
        .is_selective()
        .then(|| selection.trials())
        .transpose()?;
    let mut ranked = if has_several_objectives {
        rank::pareto(study)
    } else {
        rank::best(study, usize::MAX)
    };
    // The ranking covers the whole study; the selection only filters it.
    if let Some(selected) = selected {
        let ids: std::collections::BTreeSet<_> = selected.iter().map(|trial| trial.id).collect();
        ranked.retain(|trial| ids.contains(&trial.id));
    }
    ranked.truncate(args.count.unwrap_or(
        if has_several_objectives && !args.toml && !args.args && !args.model {
            usize::MAX
        } else {
            1
        },
    ));
    if ranked.is_empty() {
        return Err(no_success(study));
    }
    let feasible = ranked
        .iter()
        .any(|trial| summary::broken(study, trial).is_empty());
    // Scripts pass the arguments on without a look at warnings, so infeasible ones are an error.
    if args.args && !feasible {
        return Err(infeasible(study, ranked.first().copied()));
    }
    let out = &mut context.out;
    if args.json {
        let rows: Vec<_> = ranked.iter().map(|trial| json::row(study, trial)).collect();
        let volume = front::volume(study)
            .map(|front| json!({ "volume": front.volume, "reference": front.reference }));
        out.json(&json!({
            "version": JSON_VERSION, "study": study.header().name, "best": rows, "feasible": feasible, "hypervolume": volume,
        }))?;
    } else if args.model {
        for trial in &ranked {
            let model = trial.model_that_counts().ok_or_else(|| no_model(trial))?;
            writeln!(out.stdout, "{}", plain(model.path))?;
        }
    } else if args.toml {
        for trial in &ranked {
            writeln!(out.stdout, "{}", point(study, trial))?;
        }
    } else if args.args {
        let sweep = sweep_of_study(&selection.dir);
        for trial in &ranked {
            let text = arguments(sweep.as_ref(), &selection.dir, trial);
            writeln!(out.stdout, "{}", plain(&text))?;
        }
    } else if let [trial] = ranked.as_slice() {
        writeln!(
            out.stdout,
            "{}",
            out.paint.bold(&plain(&format!(
                "trial {}: {}",
                trial.id,
                summary::standing(study, trial)
            )))
        )?;
        for (name, value) in &trial.params {
            writeln!(
                out.stdout,
                "  {} = {}",
                plain(name),
                plain(&listing::shown(value))
            )?;
        }
        if !selection.is_selective()
            && let Some(hint) = luck::hint(&selection.dir, study)
        {
            out.hint(hint);
        }
    } else {
        let table = listing::ranked(study, &ranked, Detail::Exact);
        let rendered = table.render(out.width, out.paint);
        rendered.write(&mut out.stdout)?;
        if let Some(volume) = front::shown(study) {
            out.say(format_args!("hypervolume {}", plain(&volume)));
        }
    }
    if !feasible && !args.json {
        context.out.warn(
            "no trial satisfies the outcome constraints; the best of the other trials is shown",
        );
    } else if args.args {
        // Arguments have no room for a remark, so violated constraints are warned about on standard
        // error.
        for trial in ranked
            .iter()
            .filter(|trial| !summary::broken(study, trial).is_empty())
        {
            let standing = plain(&summary::standing(study, trial)).into_owned();
            context
                .out
                .warn(format_args!("trial {}: {standing}", trial.id));
        }
    }
    Ok(Code::Done)
}

/// Returns the sweep of a study, if it runs a program. The command of another one, or of a sweep
/// file that this version of swath does not read, is not known.
fn sweep_of_study(dir: &StudyDir) -> Option<Sweep> {
    let source = sweep::load(&dir.sweep_toml()).ok()?;
    let sweep = Sweep::parse_for_either(source).ok()?;
    Some(sweep).filter(|sweep| !sweep.run.command.is_empty())
}

/// Returns the arguments by which the program of the sweep takes the parameters of a trial; without
/// a program, `--name=value` for each.
fn arguments(sweep: Option<&Sweep>, dir: &StudyDir, trial: &Trial) -> String {
    match sweep {
        Some(sweep) => quote::line(&parameter_arguments(sweep, dir, trial)),
        None => paste::arguments(&trial.params),
    }
}

/// Returns the failure for `--args` if no trial satisfies the outcome constraints.
fn infeasible(study: &Study, best: Option<&Trial>) -> Failure {
    let best = best.map_or_else(String::new, |best| {
        format!(
            "trial {}, {}",
            best.id,
            plain(&summary::standing(study, best))
        )
    });
    Failure::new(
        Code::NoSuccess,
        "no trial satisfies the outcome constraints, so there are no arguments to print",
    )
    .hint(format!(
        "the best of the other trials is {best}; `swath best` shows its parameters"
    ))
}

/// Returns a trial as a `[[point]]` with a comment that states its origin.
fn point(study: &Study, trial: &Trial) -> String {
    let comment = format!(
        "# trial {} of {}: {}",
        trial.id,
        study.header().name,
        summary::standing(study, trial)
    );
    format!(
        "[[point]]  {}\n{}",
        plain(&comment),
        paste::toml(&trial.params)
    )
}

fn no_model(trial: &Trial) -> Failure {
    let message = format!("trial {} recorded no model", trial.id);
    let hint = "name the file in a report: `{\"model_path\": \"model.pt\", …}`";
    Failure::new(Code::NoSuccess, message).hint(hint)
}

fn no_success(study: &Study) -> Failure {
    let failure = Failure::new(Code::NoSuccess, "no trial has succeeded");
    match study.counts().failed {
        0 => failure.hint(summary::counts(study)),
        _ => failure.hint(
            "`swath ls failed` lists the causes, `swath logs TRIAL` shows the output of a trial",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Args, run};
    use crate::cli::exit::{Code, Failure};
    use crate::cli::studies::{SelectionArgs, demo};
    use crate::space::Value;
    use crate::study::{Exit, Goal};
    use swath_model::demo::{Demo, model_record, objective, text};

    fn args() -> Args {
        Args {
            selection: SelectionArgs {
                words: Vec::new(),
                condition: None,
            },
            count: None,
            toml: false,
            args: false,
            model: false,
            json: false,
        }
    }

    fn world() -> Demo {
        let mut demo = Demo::new(&["lr", "model.name"]);
        for (lr, loss) in [(0.1, 0.5), (1e-5, 0.25), (0.2, 0.75)] {
            demo.complete(
                &[("lr", Value::Float(lr)), ("model.name", text("a b"))],
                &[("val_loss", loss)],
            );
        }
        demo
    }

    fn best(demo: &Demo, args: &Args) -> Result<String, Failure> {
        let (result, out, _) = demo::run(demo, None, |context| run(args, context));
        result.map(|_| out)
    }

    #[test]
    fn the_best_trial_shows_its_parameters() {
        assert_eq!(
            best(&world(), &args()).unwrap(),
            "trial 2: val_loss 0.25\n  lr = 1e-5\n  model.name = a b\n"
        );
    }

    /// Returns the study of a sweep over one number, of which the losses rise by 3 over the range
    /// and have errors up to this noise. With noise, the last trial has the least loss of all by
    /// luck.
    fn lucky_world(noise: f64) -> Demo {
        let mut demo = Demo::new(&["lr"]);
        for at in 0..40_u32 {
            let lr = f64::from(at * 7 % 40) / 40.0;
            let error = f64::from(at * 17 % 11) / 5.0 - 1.0;
            demo.complete(
                &[("lr", Value::Float(lr))],
                &[("val_loss", 2.0 + 3.0 * lr + noise * error)],
            );
        }
        let (lr, loss) = (0.26, if noise > 0.0 { 1.4 } else { 2.78 });
        demo.complete(&[("lr", Value::Float(lr))], &[("val_loss", loss)]);
        demo
    }

    const LUCKY_SWEEP: &str = r#"
        name = "digits"
        [run]
        command = ["true", "{args}"]
        [objective]
        metric = "val_loss"
        goal = "min"
        [search]
        trials = 50
        [space]
        lr = { min = 0.0, max = 1.0 }
    "#;

    fn hints(demo: &Demo) -> String {
        let (result, _, err) = demo::run(demo, None, |context| {
            let path = context.logs.join("digits/sweep.toml");
            std::fs::write(path, LUCKY_SWEEP).unwrap();
            run(&args(), context)
        });
        result.unwrap();
        err
    }

    #[test]
    fn a_best_trial_that_may_be_luck_is_named_with_the_trial_that_is_expected_to_be_better() {
        let text = hints(&lucky_world(0.5));
        assert!(
            text.contains("trial 41 may be luck: a model of 41 trials"),
            "{text}"
        );
        assert!(text.contains("`swath rerun digits 41,"), "{text}");
        assert_eq!(hints(&lucky_world(0.0)), "");
    }

    #[test]
    fn the_best_trial_can_be_pasted_into_a_sweep_file_or_a_command() {
        let toml = best(
            &world(),
            &Args {
                toml: true,
                ..args()
            },
        )
        .unwrap();
        assert_eq!(
            toml,
            "[[point]]  # trial 2 of digits: val_loss 0.25\nlr = 1e-5\nmodel.name = \"a b\"\n\n"
        );
        assert!(toml.parse::<toml::Table>().is_ok());
        assert_eq!(
            best(
                &world(),
                &Args {
                    args: true,
                    ..args()
                }
            )
            .unwrap(),
            "--lr=1e-5 '--model.name=a b'\n"
        );
    }

    #[test]
    fn the_model_of_the_best_report_is_printed_as_a_path() {
        let mut demo = world();
        let arguments = Args {
            model: true,
            ..args()
        };
        assert_eq!(
            best(&demo, &arguments).unwrap_err().message,
            "trial 2 recorded no model"
        );
        let trial = demo.start(&[]);
        for (epoch, loss) in [0.9, 0.05, 0.4].into_iter().enumerate() {
            demo.report(trial, &[("val_loss", loss)]);
            demo.log(trial, model_record(&format!("epoch {epoch}.bin"), None));
        }
        demo.end(trial, Exit::Done);
        assert_eq!(best(&demo, &arguments).unwrap(), "epoch 1.bin\n");
    }

    #[test]
    fn a_selection_limits_the_trials_among_which_the_best_is_chosen() {
        let selection = SelectionArgs {
            words: Vec::new(),
            condition: Some("lr > 0.01".into()),
        };
        assert!(
            best(
                &world(),
                &Args {
                    selection,
                    ..args()
                }
            )
            .unwrap()
            .starts_with("trial 1:")
        );
    }

    #[test]
    fn several_objectives_give_the_front() {
        let mut demo = Demo::with(
            &[],
            vec![objective("loss", Goal::Min), objective("acc", Goal::Max)],
        );
        for (loss, acc) in [(0.5, 0.9), (0.3, 0.8), (0.6, 0.7)] {
            demo.complete(&[], &[("loss", loss), ("acc", acc)]);
        }
        let shown = best(&demo, &args()).unwrap();
        assert_eq!(
            shown,
            "trial  loss  acc  time\n    2   0.3  0.8    2s\n    1   0.5  0.9    2s\n"
        );
    }

    fn best_json(demo: &Demo) -> serde_json::Value {
        let arguments = Args {
            json: true,
            ..args()
        };
        serde_json::from_str(&best(demo, &arguments).unwrap()).unwrap()
    }

    fn with_limit(values: &[f64]) -> Demo {
        let mut demo = Demo::new(&["lr"]);
        demo.constrain("mib", Some(2.0));
        for mib in values {
            demo.complete(
                &[("lr", Value::Float(*mib))],
                &[("val_loss", 0.5), ("mib", *mib)],
            );
        }
        demo
    }

    #[test]
    fn arguments_of_an_infeasible_trial_are_refused_and_other_output_names_the_constraint() {
        let demo = with_limit(&[4.0, 3.0]);
        let refused = best(
            &demo,
            &Args {
                args: true,
                ..args()
            },
        )
        .unwrap_err();
        assert_eq!(refused.code, Code::NoSuccess);
        assert!(
            refused
                .message
                .contains("no trial satisfies the outcome constraints"),
            "{refused:?}"
        );
        assert!(
            refused.hints[0]
                .contains("trial 2, val_loss 0.5, breaks an outcome constraint: mib is 3"),
            "{refused:?}"
        );
        for args in [
            args(),
            Args {
                toml: true,
                ..args()
            },
        ] {
            let (result, out, err) = demo::run(&demo, None, |context| run(&args, context));
            assert_eq!(result, Ok(Code::Done));
            assert!(
                out.contains("breaks an outcome constraint: mib is 3, the limit is mib <= 2"),
                "{out}"
            );
            assert!(
                err.contains("no trial satisfies the outcome constraints"),
                "{err}"
            );
        }
        assert_eq!(best_json(&demo)["feasible"], false);
        let feasible = with_limit(&[4.0, 1.0]);
        assert_eq!(best_json(&feasible)["feasible"], true);
        assert_eq!(
            best(
                &feasible,
                &Args {
                    args: true,
                    ..args()
                }
            )
            .unwrap(),
            "--lr=1.0\n"
        );
    }

    #[test]
    fn without_a_success_there_is_no_best() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        demo.end(trial, Exit::Done);
        assert_eq!(best(&demo, &args()).unwrap_err().code, Code::NoSuccess);
    }
}
