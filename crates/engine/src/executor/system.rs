//! Samples of a running trial's use of the machine: cores, memory and disk; GPUs if there is
//! `nvidia-smi`; energy if counters are readable.
//!
//! A sample reads three small files of the kernel per process and uses no thread. GPUs are queried
//! by a child process, and its answer is read by a later call.

use super::processes;
use super::usage::MIB;
use crate::platform;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Log that holds the samples.
pub const SYSTEM: &str = "system";

/// Longest delay of the first sample; a trial that ends before it is not sampled.
const LONGEST_FIRST_DELAY: Duration = Duration::from_secs(1);

/// Folder with the energy counters of the kernel.
const POWERCAP: &str = "/sys/class/powercap";

/// Time limit for an answer of `nvidia-smi`.
const GPU_QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether `nvidia-smi` is missing or does not answer; it is not called again then.
static NO_GPUS: AtomicBool = AtomicBool::new(false);

/// Measured values by name.
pub(super) type Sample = Vec<(String, f64)>;

/// Sampler of the process tree of one trial.
pub(super) struct Sampler {
    root: u32,
    interval: Duration,
    due: Instant,
    /// Processor time in seconds at the last sample, and the time of that sample.
    last: (f64, Instant),
    energy: Energy,
    /// Query of the GPUs that is under way, and the time of its start.
    gpu_query: Option<(Child, Instant)>,
}

impl Sampler {
    /// Creates a sampler for the process `root` and its descendants.
    pub(super) fn new(root: u32, interval: Duration) -> Self {
        let now = Instant::now();
        Self {
            root,
            interval,
            due: now + interval.min(LONGEST_FIRST_DELAY),
            last: (0.0, now),
            energy: Energy::default(),
            gpu_query: None,
        }
    }

    /// Returns the time of the next sample.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Returns the values to record now; empty between two samples.
    pub(super) fn take(&mut self) -> Sample {
        let now = Instant::now();
        let mut sample = self.finish_gpu_query(now);
        if now < self.due {
            return sample;
        }
        self.due = now + self.interval;
        sample.extend(self.measure_tree(now));
        sample.extend(
            self.energy
                .joules()
                .map(|joules| ("energy_joules".to_owned(), joules)),
        );
        self.start_gpu_query();
        sample
    }

    /// Adds up the usage of the trial's processes.
    fn measure_tree(&mut self, now: Instant) -> Sample {
        let (mut all, mut count) = (Process::default(), 0);
        for process in processes::trees([self.root])
            .into_iter()
            .filter_map(Process::read)
        {
            all.cpu_seconds += process.cpu_seconds;
            all.memory += process.memory;
            all.read += process.read;
            all.written += process.written;
            count += 1;
        }
        if count == 0 {
            return Sample::new();
        }
        let (last_cpu_seconds, last_time) =
            std::mem::replace(&mut self.last, (all.cpu_seconds, now));
        let passed = now.duration_since(last_time).as_secs_f64();
        // When a child that was not reaped ends, its processor time disappears from the sum, so the
        // difference may be negative.
        let cpu = if passed > 0.0 {
            (all.cpu_seconds - last_cpu_seconds).max(0.0) / passed * 100.0
        } else {
            0.0
        };
        [
            ("cpu_percent", cpu),
            ("memory_mib", all.memory / MIB),
            ("disk_read_mib", all.read / MIB),
            ("disk_write_mib", all.written / MIB),
            ("processes", f64::from(count)),
        ]
        .map(|(name, value)| (name.to_owned(), (value * 1000.0).round() / 1000.0))
        .into()
    }

    /// Starts a query of the GPUs, unless one is under way.
    fn start_gpu_query(&mut self) {
        if self.gpu_query.is_some() || NO_GPUS.load(Ordering::Relaxed) {
            return;
        }
        let started = Command::new("nvidia-smi")
            .args([
                "--query-gpu=index,utilization.gpu,memory.used,power.draw,temperature.gpu",
                "--format=csv,noheader,nounits",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(child) => self.gpu_query = Some((child, Instant::now())),
            Err(_) => NO_GPUS.store(true, Ordering::Relaxed),
        }
    }

    /// Returns the answer of the GPU query; empty while there is none.
    fn finish_gpu_query(&mut self, now: Instant) -> Sample {
        let Some((child, started)) = &mut self.gpu_query else {
            return Sample::new();
        };
        match child.try_wait() {
            Ok(None) if now.duration_since(*started) < GPU_QUERY_TIMEOUT => return Sample::new(),
            Ok(None) => {
                // `nvidia-smi` hangs, as it does with a broken driver, and would hang again.
                child.kill().ok();
                child.wait().ok();
                NO_GPUS.store(true, Ordering::Relaxed);
            }
            // It has ended, or its status is unknown: read the output that there is.
            Ok(Some(_)) | Err(_) => {}
        }
        let mut answer = String::new();
        if let Some(out) = &mut child.stdout {
            out.take(1 << 16).read_to_string(&mut answer).ok();
        }
        self.gpu_query = None;
        parse_gpus(&answer)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.gpu_query {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Parses the lines of `nvidia-smi`: index, utilisation, memory, power, temperature. An unknown
/// value is `[N/A]`.
fn parse_gpus(answer: &str) -> Sample {
    let names = ["percent", "memory_mib", "power_watts", "temperature_c"];
    let mut sample = Sample::new();
    for line in answer.lines() {
        let mut cells = line.split(',').map(str::trim);
        let Some(index) = cells.next().and_then(|index| index.parse::<u32>().ok()) else {
            continue;
        };
        for (name, cell) in names.into_iter().zip(cells) {
            if let Some(number) = cell.parse::<f64>().ok().filter(|number| number.is_finite()) {
                sample.push((format!("gpu{index}_{name}"), number));
            }
        }
    }
    sample
}

/// Usage of one process: memory in use, the other values since its start.
#[derive(Debug, Default)]
struct Process {
    cpu_seconds: f64,
    memory: f64,
    read: f64,
    written: f64,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let cpu_time = processes::cpu_time(pid)?;
        let (read, written) = platform::disk_bytes(pid);
        Some(Self {
            cpu_seconds: cpu_time.as_secs_f64(),
            memory: processes::resident(pid).unwrap_or(0) as f64,
            read,
            written,
        })
    }
}

/// The energy counters of the processors. They count the whole machine, not one trial.
#[derive(Debug, Default)]
struct Energy {
    last: BTreeMap<String, f64>,
    joules: f64,
    /// Whether an attempt to read has shown that there are no readable counters.
    is_absent: bool,
}

impl Energy {
    /// Returns the energy that the processors have used since the first call, in joules.
    fn joules(&mut self) -> Option<f64> {
        if self.is_absent {
            return None;
        }
        let counters = counters(POWERCAP);
        if counters.is_empty() {
            self.is_absent = true;
            return None;
        }
        Some(self.count(counters))
    }

    /// Adds up the progress of the counters, which are given in microjoules with their ranges.
    fn count(&mut self, counters: Vec<(String, f64, f64)>) -> f64 {
        for (name, micros, range) in counters {
            let last = self.last.insert(name, micros).unwrap_or(micros);
            // A counter that reaches its range wraps around to 0.
            let used = if micros >= last {
                micros - last
            } else {
                micros - last + range
            };
            self.joules += used.max(0.0) / 1e6;
        }
        (self.joules * 1000.0).round() / 1000.0
    }
}

/// Reads the counters of whole processors, `intel-rapl:0`; those below them are parts of their sum.
fn counters(folder: &str) -> Vec<(String, f64, f64)> {
    let Ok(zones) = fs::read_dir(folder) else {
        return Vec::new();
    };
    zones.filter_map(|entry| counter(&entry.ok()?)).collect()
}

/// Reads one counter: its name, its value and the value at which it wraps around.
fn counter(zone: &fs::DirEntry) -> Option<(String, f64, f64)> {
    let name = zone.file_name().into_string().ok()?;
    if !name.starts_with("intel-rapl:") || name.matches(':').count() != 1 {
        return None;
    }
    let micros = read_number(&zone.path().join("energy_uj"))?;
    let range = read_number(&zone.path().join("max_energy_range_uj")).unwrap_or(0.0);
    Some((name, micros, range))
}

fn read_number(path: &Path) -> Option<f64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Energy, counters, parse_gpus};

    #[test]
    fn values_that_a_gpu_does_not_report_are_left_out() {
        let answer =
            "0, 98, 1024, 250.31, 71\n1, [N/A], 0, [Not Supported], 30\nNo devices were found\n";
        let values: Vec<String> = parse_gpus(answer)
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            values,
            [
                "gpu0_percent=98",
                "gpu0_memory_mib=1024",
                "gpu0_power_watts=250.31",
                "gpu0_temperature_c=71",
                "gpu1_memory_mib=0",
                "gpu1_temperature_c=30",
            ]
        );
    }

    /// Sets the counters of two processors and of a part of the first one, in microjoules.
    fn set_counters(folder: &std::path::Path, micros: [u64; 3]) {
        let zones = ["intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"];
        for (zone, micros) in zones.into_iter().zip(micros) {
            let zone = folder.join(zone);
            std::fs::create_dir_all(&zone).unwrap();
            std::fs::write(zone.join("energy_uj"), format!("{micros}\n")).unwrap();
            std::fs::write(zone.join("max_energy_range_uj"), "10000000\n").unwrap();
        }
    }

    #[test]
    fn energy_is_counted_from_the_first_call_for_all_processors_and_past_a_wrap_around() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let mut energy = Energy::default();
        set_counters(folder.path(), [1_000_000, 9_000_000, 5]);
        assert_eq!(energy.count(counters(path)), 0.0);
        set_counters(folder.path(), [3_500_000, 500_000, 5_000_000]);
        assert_eq!(energy.count(counters(path)), 4.0);
        assert!(counters("/nowhere").is_empty());
    }

    #[test]
    fn a_busy_process_is_measured_and_no_sample_is_taken_early() {
        use std::time::{Duration, Instant};
        let mut child = std::process::Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .unwrap();
        let every = Duration::from_millis(400);
        let mut sampler = super::Sampler::new(child.id(), every);
        assert!(sampler.take().is_empty());
        let begun = Instant::now();
        let sample = loop {
            let sample = sampler.take();
            if !sample.is_empty() {
                break sample;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(begun.elapsed() >= every - Duration::from_millis(50));
        child.kill().unwrap();
        child.wait().unwrap();
        let values: std::collections::BTreeMap<String, f64> = sample.into_iter().collect();
        // The `ps` of Linux counts whole seconds.
        let is_exact = !cfg!(feature = "portable");
        assert!(values["cpu_percent"] > 1.0 || !is_exact, "{values:?}");
        assert!(
            values["memory_mib"] > 0.1 && values["processes"] == 1.0,
            "{values:?}"
        );
    }
}
