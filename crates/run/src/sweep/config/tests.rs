use super::*;
use swath_model::source::Source;

const BASE: &str = "optimizer:\n  lr: 0.1 # the rate\n  name: sgd\nepochs: 3\n";

/// Reads a sweep file beside a configuration file `base.yaml`.
fn read(space: &str, command: &str) -> Result<Sweep, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("base.yaml"), BASE).unwrap();
    std::fs::write(
        folder.path().join("model.json"),
        "{\"depth\": 2, \"epochs\": 1}",
    )
    .unwrap();
    let text = format!(
        "[run]\nconfig = {command}\n[objective]\nmetric = \"loss\"\ngoal = \"min\"\n\
         [search]\ntrials = 2\n[space]\n{space}\n"
    );
    let source = Source {
        name: "x.toml".into(),
        text,
    };
    let mut sweep = Sweep::parse(source).map_err(|rejected| rejected.to_string())?;
    match sweep.read_configs(folder.path()) {
        Ok(()) => Ok(sweep),
        Err(rejected) => Err(rejected.to_string()),
    }
}

const ONE: &str = "\"base.yaml\"\ncommand = [\"t\", \"{config}\", \"{seed}\"]";
const TWO: &str = "{ main = \"base.yaml\", model = \"model.json\" }\n\
                   command = [\"t\", \"{config.main}\", \"{config.model}\"]";

#[test]
fn a_copy_differs_from_its_base_only_in_the_values_of_the_parameters() {
    let sweep = read(
        "optimizer.lr = [0.5, 0.25]\n\"+optimizer.nesterov\" = true\nseed = [1, 2]",
        ONE,
    )
    .unwrap();
    let params = sweep.space.decode(&[0.0, 0.0]);
    let copies = sweep.configs.as_ref().unwrap().copies(&params);
    let expected = "optimizer:\n  lr: 0.5 # the rate\n  name: sgd\n  nesterov: true\nepochs: 3\n";
    assert_eq!(
        copies,
        [("config/base.yaml".to_owned(), expected.to_owned())]
    );
    assert_eq!(sweep.warnings.list, []);
}

#[test]
fn a_value_of_the_file_is_not_given_as_an_option_too() {
    let command = "\"base.yaml\"\ncommand = [\"t\", \"{config}\", \"{args:rest}\"]";
    let sweep = read("optimizer.lr = [0.5, 0.25]\nwidth = [1, 2]", command).unwrap();
    assert!(!sweep.run.command.receives("optimizer.lr"));
    assert!(sweep.run.command.receives("width"));
}

#[test]
fn the_settings_of_a_file_are_its_values_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base.yaml");
    std::fs::write(&path, "a: {b: 1e-4, c: [1, x]} # d\ne: 'two'\n").unwrap();
    let texts = |path: &Path| -> Vec<_> {
        let settings = settings(path).unwrap().into_iter();
        settings
            .map(|it| (it.path, it.text.unwrap_or_default()))
            .collect()
    };
    let expected = [
        ("a.b", "1e-4"),
        ("a.c", ""),
        ("a.c.0", "1"),
        ("a.c.1", "x"),
        ("e", "'two'"),
    ];
    let expected = expected.map(|(path, text)| (path.to_owned(), text.to_owned()));
    assert_eq!(texts(&path), expected);
    let path = folder.path().join("base.toml");
    std::fs::write(&path, "[a]\nb = 1e-4 # d\n").unwrap();
    assert_eq!(texts(&path), [("a.b".to_owned(), "1e-4".to_owned())]);
}

#[test]
fn a_path_that_the_base_lacks_is_an_error_with_a_suggestion() {
    for (space, message, hint) in [
        (
            "optimizer.rl = [1, 2]",
            "`optimizer.rl` is not in `base.yaml`",
            "optimizer.lr",
        ),
        (
            "lr = [1, 2]",
            "`lr` is not in `base.yaml`",
            "did you mean `optimizer.lr`",
        ),
        (
            "xyzzy = [1, 2]",
            "`xyzzy` is not in",
            "write \"+xyzzy\" to add it",
        ),
        ("optimizer = [1, 2]", "it is a whole table", ""),
        (
            "\"+epochs.x\" = [1, 2]",
            "`epochs.x` cannot be added",
            "only tables",
        ),
    ] {
        let error = read(space, ONE).unwrap_err();
        assert!(error.contains(message) && error.contains(hint), "{error}");
    }
}

#[test]
fn a_parameter_of_several_files_names_its_file() {
    let sweep = read(
        "optimizer.lr = [1, 2]\n\"model:depth\" = [3, 4]\n\"model:epochs\" = 7",
        TWO,
    );
    let sweep = sweep.unwrap();
    let params = sweep.space.decode(&[0.0, 0.0]);
    let copies = sweep.configs.as_ref().unwrap().copies(&params);
    assert_eq!(copies[0].0, "config/main.yaml");
    assert_eq!(
        copies[1],
        (
            "config/model.json".to_owned(),
            "{\"depth\": 3, \"epochs\": 7}".to_owned()
        )
    );
    let error = read("epochs = [1, 2]", TWO).unwrap_err();
    assert!(error.contains("in several files"), "{error}");
}

#[test]
fn a_parameter_that_only_others_depend_on_needs_no_place_in_the_file() {
    let space = "kind = [\"a\", \"b\"]\nepochs = { value = 5, when = \"kind == 'a'\" }";
    assert!(read(space, ONE).is_ok());
}

#[test]
fn a_file_that_no_text_names_is_an_error() {
    let error = read(
        "epochs = [1, 2]",
        "\"base.yaml\"\ncommand = [\"t\", \"{args}\"]",
    );
    assert!(error.unwrap_err().contains("never gets its path"));
    let error = read(
        "epochs = [1, 2]",
        "\"x.yaml\"\ncommand = [\"t\", \"{config}\"]",
    );
    assert!(error.unwrap_err().contains("there is no file"));
}
