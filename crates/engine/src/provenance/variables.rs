//! The environment variables that are recorded: those of two lists, and no others, because the
//! environment may contain secrets.

use std::collections::BTreeMap;
use swath_model::source::secret::{Secrets, masked};

/// Variables that change the results of a program; `repro` sets them to their recorded values.
pub const STEERING: &[&str] = &[
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_LAUNCH_BLOCKING",
    "JAX_ENABLE_X64",
    "JULIA_NUM_THREADS",
    "LANG",
    "LC_ALL",
    "LC_NUMERIC",
    "MKL_CBWR",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "OMP_SCHEDULE",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "RAYON_NUM_THREADS",
    "TF_CUDNN_DETERMINISTIC",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TZ",
    "XLA_FLAGS",
];

/// Variables that select the programs and devices. They are recorded, but describe this machine
/// only.
pub const TELLING: &[&str] = &[
    "CONDA_DEFAULT_ENV",
    "CONDA_PREFIX",
    "CUDA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYENV_VERSION",
    "PYTHONPATH",
    "ROCR_VISIBLE_DEVICES",
    "SLURM_CLUSTER_NAME",
    "SLURM_JOB_ID",
    "SLURM_JOB_NODELIST",
    "SLURM_JOB_PARTITION",
    "VIRTUAL_ENV",
];

/// Returns the recorded variables of this process and their values, with secrets masked.
#[must_use]
pub fn recorded() -> BTreeMap<String, String> {
    STEERING
        .iter()
        .chain(TELLING)
        .filter_map(|name| {
            let value = std::env::var(name).ok()?;
            Some(((*name).to_owned(), masked(&value).into_owned()))
        })
        .collect()
}

/// Returns the secrets among the variables of this process and of the sweep file: those that
/// `declared` names, and those whose names say so.
#[must_use]
pub fn secrets(of_sweep: &[(String, String)], declared: &[String]) -> Secrets {
    let own = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Secrets::of_variables(own.chain(of_sweep.iter().cloned()), declared)
}

#[cfg(test)]
mod tests {
    use super::{STEERING, TELLING};

    #[test]
    fn no_variable_whose_name_suggests_a_secret_is_recorded() {
        for name in STEERING.iter().chain(TELLING) {
            for word in ["KEY", "TOKEN", "SECRET", "PASS", "CRED"] {
                assert!(!name.contains(word), "{name}");
            }
        }
    }
}
