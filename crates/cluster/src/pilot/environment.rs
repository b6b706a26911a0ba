//! The environment of the trials in pilots: that of the user who called `swath run`, and the record
//! of the one that the node really gave them.
//!
//! Batch systems differ in the variables that they pass to a job: Slurm passes all of them, PBS,
//! Grid Engine, OAR and HyperQueue none. The script of a job therefore reads the variables of the
//! caller from a file. It does so before the `prelude`, so that modules and environments come on
//! top.

use super::PilotDir;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use swath_engine::provenance::{Machine, NodeEnvironment, gpu, variables};
use swath_model::study::{Place, Timestamp};

/// Beginnings of the names of variables that belong to a job, to a session or to this process.
const OWN_PREFIXES: &[&str] = &[
    "BASH",
    "CONDOR_",
    "FLUX_",
    "HQ_",
    "KUBERNETES_",
    "LSB_",
    "LSF_",
    "MPI_LOCALRANKID",
    "OAR_",
    "OMPI_",
    "PALS_",
    "PBS_",
    "PMIX_",
    "PMI_",
    "PRTE_",
    "RAY_JOB_",
    "SALLOC_",
    "SBATCH_",
    "SGE_",
    "SLURM",
    "SRUN_",
    "SSH_",
    "SWATH_",
    "SYSTEMD_",
    "XDG_SESSION_",
    "XDG_VTNR",
    "_CONDOR_",
];

/// Names of variables that belong to a node, a job, a session or the shell.
const OWN_NAMES: &[&str] = &[
    "COLUMNS",
    "CUDA_VISIBLE_DEVICES",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "EUID",
    "GPU_DEVICE_ORDINAL",
    "HIP_VISIBLE_DEVICES",
    "HOST",
    "HOSTNAME",
    "IFS",
    "INVOCATION_ID",
    "JOB_ID",
    "JOB_NAME",
    "JOB_SCRIPT",
    "JOURNAL_STREAM",
    "LINENO",
    "LINES",
    "LS_JOBPID",
    "LS_SUBCWD",
    "NCPUS",
    "NHOSTS",
    "NODENAME",
    "NQUEUES",
    "NSLOTS",
    "NVIDIA_VISIBLE_DEVICES",
    "OLDPWD",
    "OPTARG",
    "OPTIND",
    "PE_HOSTFILE",
    "PPID",
    "PWD",
    "REQNAME",
    "ROCR_VISIBLE_DEVICES",
    "SHELLOPTS",
    "SHLVL",
    "STY",
    "TEMP",
    "TMP",
    "TMPDIR",
    "TMUX",
    "TMUX_PANE",
    "UID",
    "WAYLAND_DISPLAY",
    "WINDOWID",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "XDG_SEAT",
    "ZE_AFFINITY_MASK",
    "_",
];

/// Returns the variables of this process as lines of a shell script. Variables of this machine, of
/// its session and of a job are left out, and so are names that a shell cannot export.
pub(super) fn exports() -> Vec<u8> {
    let mut variables: Vec<_> = std::env::vars_os().collect();
    variables.sort();
    exports_of(variables.iter().map(|(name, value)| (&**name, &**value)))
}

fn exports_of<'a>(variables: impl Iterator<Item = (&'a OsStr, &'a OsStr)>) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| is_passed(name)) else {
            continue;
        };
        lines.extend_from_slice(b"export ");
        lines.extend_from_slice(name.as_bytes());
        lines.extend_from_slice(b"='");
        for byte in value.as_bytes() {
            match byte {
                b'\'' => lines.extend_from_slice(br"'\''"),
                byte => lines.push(*byte),
            }
        }
        lines.extend_from_slice(b"'\n");
    }
    lines
}

fn is_passed(name: &str) -> bool {
    let is_identifier = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.starts_with(|first: char| !first.is_ascii_digit());
    let is_own =
        OWN_NAMES.contains(&name) || OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    is_identifier && !is_own
}

/// Records the machine of the pilot `name`, and the environment that its trials inherit. An error
/// is ignored: the record then describes the machine of the orchestrator only.
pub(super) fn record(dir: &PilotDir, name: &str, place: Place) {
    let mut environment = NodeEnvironment {
        host: place.host,
        job: place.job,
        at: Timestamp::now(),
        machine: Machine::here(),
        variables: variables::recorded(),
        gpus: Vec::new(),
    };
    write(dir, name, &environment).ok();
    let (dir, name) = (dir.clone(), name.to_owned());
    // Asking for the GPUs may take seconds, and no trial waits for it.
    std::thread::Builder::new()
        .name("inquiry".to_owned())
        .spawn(move || {
            environment.gpus = gpu::gpus();
            if !environment.gpus.is_empty() {
                write(&dir, &name, &environment).ok();
            }
        })
        .ok();
}

/// Writes the record of a pilot, atomically.
fn write(dir: &PilotDir, name: &str, environment: &NodeEnvironment) -> std::io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".environment")
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(dir.root())?;
    file.write_all(&serde_json::to_vec_pretty(environment)?)?;
    file.persist(dir.environment(name))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_the_caller_are_passed_and_those_of_machine_and_job_are_not() {
        let variables = [
            ("PATH", "/home/me/.venv/bin:/usr/bin"),
            ("FOO", "it's\n$HOME `x`"),
            ("WANDB_API_KEY", "k"),
            ("OMP_NUM_THREADS", "3"),
            ("LS_COLORS", "a"),
            ("SLURM_JOB_ID", "1"),
            ("SLURMD_NODENAME", "n1"),
            ("PBS_JOBID", "1"),
            ("OAR_JOB_ID", "1"),
            ("JOB_ID", "1"),
            ("HQ_JOB_ID", "1"),
            ("SGE_TASK_ID", "1"),
            ("CUDA_VISIBLE_DEVICES", "0"),
            ("TMPDIR", "/tmp/1"),
            ("HOSTNAME", "login"),
            ("UID", "1000"),
            ("BASH_FUNC_module%%", "() { :; }"),
            ("1BAD", "x"),
        ];
        let variables = variables.map(|(name, value)| (OsStr::new(name), OsStr::new(value)));
        let mut script = exports_of(variables.into_iter());
        let text = String::from_utf8_lossy(&script).into_owned();
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| Some(line.strip_prefix("export ")?.split_once('=')?.0))
            .collect();
        let expected = [
            "PATH",
            "FOO",
            "WANDB_API_KEY",
            "OMP_NUM_THREADS",
            "LS_COLORS",
        ];
        assert_eq!(names, expected);
        script.extend_from_slice(b"printf %s \"$FOO\"");
        let words = ["/bin/sh".to_owned()];
        let script = String::from_utf8(script).unwrap();
        let output = super::super::engine::call(&words, &script).unwrap();
        assert_eq!(output.out, "it's\n$HOME `x`");
    }
}
