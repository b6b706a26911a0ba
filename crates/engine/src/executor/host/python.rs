//! Commands of Python: the interpreter, its options, and the script or module that it runs.

use crate::executor::program::on_path;
use crate::executor::slot::Order;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use swath_log::regular;

/// Options of the interpreter that take a value, as in `-W error`.
const WITH_VALUE: [&str; 2] = ["-W", "-X"];

/// Longest first line that the kernel reads of a script.
const LONGEST_FIRST_LINE: u64 = 256;

/// A program as its interpreter is started for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PythonCommand {
    /// Path of the interpreter.
    pub(super) program: PathBuf,
    /// The command line of the process: the interpreter with its options, the script or `-m` and
    /// its module, and the arguments.
    pub(super) argv: Vec<OsString>,
    /// Number of arguments before the script, or before `-m`.
    pub(super) script: usize,
}

impl PythonCommand {
    /// Returns the command that runs the program of an order; the error says why it is none of
    /// Python.
    pub(super) fn of(order: &Order) -> Result<Self, String> {
        let name = order.argv.first().map(OsString::as_os_str);
        let (program, argv) = match name.is_some_and(is_python) {
            true => (order.program.clone(), order.argv.clone()),
            false => of_script(order).ok_or_else(|| {
                let name = name.unwrap_or_default().to_string_lossy();
                format!("its command starts `{name}`, which is no Python")
            })?,
        };
        let script = script_index(&argv)?;
        Ok(Self {
            program,
            argv,
            script,
        })
    }

    /// Returns the interpreter with its options.
    pub(super) fn interpreter(&self) -> &[OsString] {
        &self.argv[..self.script]
    }
}

/// Returns whether a program has the name of a Python, as `python3.12` is.
fn is_python(program: &OsStr) -> bool {
    let name = Path::new(program).file_name().and_then(OsStr::to_str);
    let version = name.and_then(|name| name.strip_prefix("python"));
    version.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

/// Returns what the kernel starts for a script whose first line names a Python, such as a console
/// script of a package; `None` for any other program.
fn of_script(order: &Order) -> Option<(PathBuf, Vec<OsString>)> {
    let mut head = Vec::new();
    let file = regular::open(&order.program).ok()?;
    file.take(LONGEST_FIRST_LINE).read_to_end(&mut head).ok()?;
    let end = head.iter().position(|byte| *byte == b'\n')?;
    let line = head[..end].strip_prefix(b"#!")?.trim_ascii();
    // The kernel passes all that follows the interpreter as one argument.
    let split = line.iter().position(u8::is_ascii_whitespace);
    let (interpreter, option) = line.split_at(split.unwrap_or(line.len()));
    let (interpreter, option) = (OsStr::from_bytes(interpreter), option.trim_ascii());
    let option = Some(OsStr::from_bytes(option)).filter(|option| !option.is_empty());
    let arguments = order.argv.iter().skip(1).cloned();
    let script = order.program.clone().into_os_string();
    let is_env = Path::new(interpreter).file_name() == Some(OsStr::new("env"));
    let (program, interpreter) = match option {
        Some(name) if is_env && is_python(name) => {
            let path = variable(order, "PATH")?;
            let program = on_path(name.to_str()?, &path, &order.workdir)?;
            (program, vec![name.to_owned()])
        }
        _ if is_python(interpreter) => {
            let called = [Some(interpreter), option].into_iter().flatten();
            let called = called.map(OsStr::to_owned).collect();
            (order.workdir.join(interpreter), called)
        }
        _ => return None,
    };
    let argv = interpreter.into_iter().chain([script]).chain(arguments);
    Some((program, argv.collect()))
}

/// Returns the value that a variable has for the program.
pub(super) fn variable(order: &Order, name: &str) -> Option<OsString> {
    let entry = order.env.iter().rev().find(|(key, _)| key == name);
    match entry {
        Some((_, value)) => value.clone(),
        None => std::env::var_os(name),
    }
}

/// Returns the number of arguments before the script, or before `-m` and its module; the error says
/// why there is neither.
fn script_index(argv: &[OsString]) -> Result<usize, String> {
    let mut words = argv.iter().enumerate().skip(1);
    while let Some((index, word)) = words.next() {
        let word = word.to_str().unwrap_or_default();
        if word == "-m" {
            return Ok(index);
        }
        match word.strip_prefix('-') {
            None => return Ok(index),
            Some(_) if WITH_VALUE.contains(&word) => {
                words.next();
            }
            Some(_) if WITH_VALUE.iter().any(|option| word.starts_with(option)) => {}
            Some(flags)
                if !flags.is_empty() && flags.chars().all(|c| "bBdEIOPqsSuvxR".contains(c)) => {}
            Some(_) => return Err(format!("its command has the option `{word}`")),
        }
    }
    Err("its command names no script".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn words(command: &str) -> Vec<OsString> {
        command.split(' ').map(OsString::from).collect()
    }

    fn order(command: &str) -> Order {
        let argv = words(command);
        Order {
            program: argv[0].clone().into(),
            argv,
            ..Order::default()
        }
    }

    #[test]
    fn the_script_of_a_python_command_is_found_behind_the_options_of_the_interpreter() {
        for (command, index) in [
            ("python train.py --lr 1", 1),
            ("/opt/env/bin/python3.12 -u -W error -Xutf8 train.py", 5),
            ("python3 -O -m package.train -m x", 2),
        ] {
            let python = PythonCommand::of(&order(command)).unwrap();
            assert_eq!(python.script, index, "{command}");
            assert_eq!(python.argv, words(command));
        }
        for command in [
            "sh train.sh",
            "python -c pass",
            "python",
            "python -i x.py",
            "pythonic x",
        ] {
            assert!(PythonCommand::of(&order(command)).is_err(), "{command}");
        }
    }

    fn executable(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_script_whose_first_line_names_a_python_is_started_as_the_kernel_starts_it() {
        let folder = tempfile::tempdir().unwrap();
        let (tool, python) = (folder.path().join("tool"), folder.path().join("python3"));
        executable(&python, "");
        let order = |first_line: &str| {
            executable(&tool, &format!("{first_line}\nprint(1)\n"));
            let path = folder.path().as_os_str().to_owned();
            Order {
                program: tool.clone(),
                argv: words("tool train --lr=1"),
                env: vec![("PATH".into(), Some(path))],
                ..Order::default()
            }
        };
        let tool = tool.to_str().unwrap();
        for (first_line, program, argv) in [
            (
                "#!/opt/bin/python3.11",
                Path::new("/opt/bin/python3.11"),
                format!("/opt/bin/python3.11 {tool} train --lr=1"),
            ),
            (
                "#! /opt/bin/python -E",
                Path::new("/opt/bin/python"),
                format!("/opt/bin/python -E {tool} train --lr=1"),
            ),
            (
                "#!/usr/bin/env python3",
                &python,
                format!("python3 {tool} train --lr=1"),
            ),
        ] {
            let python = PythonCommand::of(&order(first_line)).unwrap();
            assert_eq!(python.program, program, "{first_line}");
            assert_eq!(python.argv, words(&argv), "{first_line}");
        }
        for first_line in ["#!/bin/sh", "#!/usr/bin/env -S python3 -u", "python"] {
            assert!(
                PythonCommand::of(&order(first_line)).is_err(),
                "{first_line}"
            );
        }
    }
}
