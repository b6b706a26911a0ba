//! The resources of a slot, and the environment variables that tell a trial of them.

use super::gpus::GpuShares;

/// Resources of each slot: processors, memory, GPUs.
#[derive(Debug, Clone, Default)]
pub struct Allotment {
    /// Number of threads a trial should use; `None` if the sweep file does not set it.
    pub cpus: Option<u32>,
    /// Most bytes of memory that the processes of a trial may hold together; `None` for no limit.
    pub memory: Option<u64>,
    /// Assignment of GPUs to slots; `None` if trials use no GPUs.
    pub gpus: Option<GpuShares>,
}

/// Variables from which numeric and parallel libraries read their number of threads.
const THREADS: [&str; 9] = [
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "JULIA_NUM_THREADS",
];

impl Allotment {
    /// Returns the environment variables of a trial in a slot. Thread counts that the user has set
    /// already, according to `is_set`, are not overridden; GPU variables are.
    #[must_use]
    pub fn variables(&self, slot: u32, is_set: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        if let Some(cpus) = self.cpus {
            let unset = THREADS.iter().filter(|name| !is_set(name));
            variables.extend(unset.map(|name| ((*name).to_owned(), cpus.to_string())));
        }
        variables.extend(self.gpus.iter().flat_map(|gpus| gpus.variables(slot)));
        variables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_counts_are_set_unless_the_user_set_them() {
        let allotment = Allotment {
            cpus: Some(3),
            ..Allotment::default()
        };
        let variables = allotment.variables(0, |name| name == "OMP_NUM_THREADS");
        assert!(variables.contains(&("RAYON_NUM_THREADS".to_owned(), "3".to_owned())));
        assert!(variables.iter().all(|(name, _)| name != "OMP_NUM_THREADS"));
        assert_eq!(Allotment::default().variables(0, |_| false), []);
    }
}
