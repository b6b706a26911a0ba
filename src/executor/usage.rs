//! What an attempt used, as the kernel counted it.

use crate::study::Usage;
use wait4::ResourceUsage;

/// Returns what a process and the children it waited for used; the peak is that of the largest of them.
pub(super) fn of_process(counted: &ResourceUsage) -> Usage {
    Usage {
        cpu_seconds: (counted.utime + counted.stime).as_secs_f64(),
        peak_mib: counted.maxrss as f64 / f64::from(1 << 20),
    }
}
