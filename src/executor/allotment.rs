//! What a trial may take of the machine, and how it is told.

use super::gpus::GpuShares;

/// What each slot has: processors, memory, devices.
#[derive(Debug, Clone, Default)]
pub struct Allotment {
    /// Threads a trial should use, if the sweep says so.
    pub cpus: Option<u32>,
    /// Bytes of memory that the processes of a trial may hold together.
    pub memory: Option<u64>,
    /// Devices of the slots.
    pub gpus: Option<GpuShares>,
}

/// What libraries for arithmetic and parallel work read to learn how many threads to use.
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
    /// Returns the variables of a trial in a slot. What `is_set` says the person has set is left as
    /// it is, but for the devices.
    #[must_use]
    pub fn variables(&self, slot: u32, is_set: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let threads = self
            .cpus
            .map(|cpus| cpus.to_string())
            .into_iter()
            .flat_map(|cpus| {
                let free = THREADS.iter().filter(|name| !is_set(name));
                free.map(|name| ((*name).to_owned(), cpus.clone()))
                    .collect::<Vec<_>>()
            });
        let devices = self.gpus.iter().flat_map(|gpus| gpus.variables(slot));
        threads.chain(devices).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_counts_are_set_unless_the_person_did() {
        let allotment = Allotment {
            cpus: Some(3),
            ..Allotment::default()
        };
        let told = allotment.variables(0, |name| name == "OMP_NUM_THREADS");
        assert!(told.contains(&("RAYON_NUM_THREADS".to_owned(), "3".to_owned())));
        assert!(told.iter().all(|(name, _)| name != "OMP_NUM_THREADS"));
        assert_eq!(Allotment::default().variables(0, |_| false), []);
    }
}
