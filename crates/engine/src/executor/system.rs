//! Samples of a running trial's use of the machine: cores, memory and disk; GPUs if there is
//! `nvidia-smi`; energy if counters are readable.
//!
//! A sample reads three small files of `/proc` per process and uses no thread. GPUs are queried by
//! a child process, and its answer is read by a later call. Without `/proc` there are no samples of
//! processes.

use super::processes;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Log that holds the samples.
pub const SYSTEM: &str = "system";

/// Longest delay of the first sample; a trial that ends before it is not sampled.
const FIRST: Duration = Duration::from_secs(1);

/// Folder with the energy counters of the kernel.
const POWERCAP: &str = "/sys/class/powercap";

/// Time limit for an answer of `nvidia-smi`.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether `nvidia-smi` is missing or does not answer; it is not called again then.
static NO_GPUS: AtomicBool = AtomicBool::new(false);

/// Measured values by name.
pub(super) type Sample = Vec<(String, f64)>;

/// Sampler of the process tree of one trial.
pub(super) struct Sampler {
    root: u32,
    every: Duration,
    due: Instant,
    /// Processor time in seconds at the last sample, and the time of that sample.
    before: (f64, Instant),
    energy: Energy,
    gpus: Option<(Child, Instant)>,
}

impl Sampler {
    /// Creates a sampler for the process `root` and its descendants.
    pub(super) fn new(root: u32, every: Duration) -> Self {
        let now = Instant::now();
        Self {
            root,
            every,
            due: now + every.min(FIRST),
            before: (0.0, now),
            energy: Energy::default(),
            gpus: None,
        }
    }

    /// Returns the values to record now; empty between two samples.
    pub(super) fn take(&mut self) -> Sample {
        let now = Instant::now();
        let mut sample = self.answered(now);
        if now < self.due {
            return sample;
        }
        self.due = now + self.every;
        sample.extend(self.tree(now));
        sample.extend(
            self.energy
                .joules()
                .map(|joules| ("energy_joules".to_owned(), joules)),
        );
        self.ask();
        sample
    }

    /// Adds up the usage of the trial's processes.
    fn tree(&mut self, now: Instant) -> Sample {
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
        let (before, then) = std::mem::replace(&mut self.before, (all.cpu_seconds, now));
        let passed = now.duration_since(then).as_secs_f64();
        // When a child that was not reaped ends, its processor time disappears from the sum, so the
        // difference may be negative.
        let cpu = if passed > 0.0 {
            (all.cpu_seconds - before).max(0.0) / passed * 100.0
        } else {
            0.0
        };
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        [
            ("cpu_percent", cpu),
            ("memory_mib", mib(all.memory)),
            ("disk_read_mib", mib(all.read)),
            ("disk_write_mib", mib(all.written)),
            ("processes", f64::from(count)),
        ]
        .map(|(name, value)| (name.to_owned(), (value * 1000.0).round() / 1000.0))
        .into()
    }

    /// Starts a query of the GPUs.
    fn ask(&mut self) {
        if self.gpus.is_some() || NO_GPUS.load(Ordering::Relaxed) {
            return;
        }
        let asked = Command::new("nvidia-smi")
            .args([
                "--query-gpu=index,utilization.gpu,memory.used,power.draw,temperature.gpu",
                "--format=csv,noheader,nounits",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        match asked {
            Ok(child) => self.gpus = Some((child, Instant::now())),
            Err(_) => NO_GPUS.store(true, Ordering::Relaxed),
        }
    }

    /// Returns the answer of a query; empty while there is none.
    fn answered(&mut self, now: Instant) -> Sample {
        let Some((child, asked)) = &mut self.gpus else {
            return Sample::new();
        };
        match child.try_wait() {
            Ok(None) if now.duration_since(*asked) < PATIENCE => return Sample::new(),
            Ok(None) => {
                // `nvidia-smi` hangs, as it does with a broken driver, and would hang again.
                child.kill().ok();
                child.wait().ok();
                NO_GPUS.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
        let mut answer = String::new();
        if let Some(out) = &mut child.stdout {
            out.take(1 << 16).read_to_string(&mut answer).ok();
        }
        self.gpus = None;
        gpus(&answer)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.gpus {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Parses the lines of `nvidia-smi`: index, utilisation, memory, power, temperature. An unknown
/// value is `[N/A]`.
fn gpus(answer: &str) -> Sample {
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
        let ticks = processes::cpu_ticks(pid)?;
        let resident = fs::read_to_string(format!("/proc/{pid}/statm")).ok();
        let pages =
            resident.and_then(|text| text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
        // For a process of another user the kernel does not report reads and writes.
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let bytes = |key: &str| {
            io.lines()
                .find_map(|line| line.strip_prefix(key)?.trim().parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        Some(Self {
            cpu_seconds: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
            memory: pages.unwrap_or(0) as f64 * rustix::param::page_size() as f64,
            read: bytes("read_bytes:"),
            written: bytes("write_bytes:"),
        })
    }
}

/// The energy counters of the processors. They count the whole machine, not one trial.
#[derive(Debug, Default)]
struct Energy {
    last: BTreeMap<String, f64>,
    joules: f64,
    /// Whether an attempt to read has shown that there are no readable counters.
    absent: bool,
}

impl Energy {
    /// Returns the energy that the processors have used since the first call, in joules.
    fn joules(&mut self) -> Option<f64> {
        if self.absent {
            return None;
        }
        let counters = counters(POWERCAP);
        if counters.is_empty() {
            self.absent = true;
            return None;
        }
        Some(self.count(counters))
    }

    /// Adds up the progress of the counters, which are given in microjoules with their ranges.
    fn count(&mut self, counters: Vec<(String, f64, f64)>) -> f64 {
        for (name, micros, range) in counters {
            let before = self.last.insert(name, micros).unwrap_or(micros);
            // A counter that reaches its range wraps around to 0.
            let passed = if micros >= before {
                micros - before
            } else {
                micros - before + range
            };
            self.joules += passed.max(0.0) / 1e6;
        }
        (self.joules * 1000.0).round() / 1000.0
    }
}

/// Reads the counters of whole processors, `intel-rapl:0`; those below them are parts of their sum.
fn counters(folder: &str) -> Vec<(String, f64, f64)> {
    let Ok(zones) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let zone = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        if !name.starts_with("intel-rapl:") || name.matches(':').count() != 1 {
            return None;
        }
        let number = |file: &str| {
            fs::read_to_string(entry.path().join(file))
                .ok()?
                .trim()
                .parse::<f64>()
                .ok()
        };
        Some((
            name,
            number("energy_uj")?,
            number("max_energy_range_uj").unwrap_or(0.0),
        ))
    };
    zones.filter_map(|entry| zone(entry.ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Energy, counters, gpus};

    #[test]
    fn what_a_gpu_does_not_tell_is_left_out() {
        let answer =
            "0, 98, 1024, 250.31, 71\n1, [N/A], 0, [Not Supported], 30\nNo devices were found\n";
        let found: Vec<String> = gpus(answer)
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            found,
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

    #[test]
    fn energy_is_counted_from_the_first_look_over_all_processors_and_their_ends() {
        let folder = tempfile::tempdir().unwrap();
        let set = |zone: &str, micros: u64| {
            let zone = folder.path().join(zone);
            std::fs::create_dir_all(&zone).unwrap();
            std::fs::write(zone.join("energy_uj"), format!("{micros}\n")).unwrap();
            std::fs::write(zone.join("max_energy_range_uj"), "10000000\n").unwrap();
        };
        let mut energy = Energy::default();
        let mut look = || energy.count(counters(folder.path().to_str().unwrap()));
        set("intel-rapl:0", 1_000_000);
        set("intel-rapl:1", 9_000_000);
        set("intel-rapl:0:0", 5);
        assert_eq!(look(), 0.0);
        set("intel-rapl:0", 3_500_000);
        set("intel-rapl:1", 500_000);
        set("intel-rapl:0:0", 5_000_000);
        assert_eq!(look(), 4.0);
        assert!(counters("/nowhere").is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_busy_process_is_seen_and_a_sample_is_not_taken_before_its_time() {
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
        let value = |wanted: &str| {
            sample
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| *value)
                .unwrap()
        };
        assert!(value("cpu_percent") > 1.0, "{sample:?}");
        assert!(
            value("memory_mib") > 0.1 && value("processes") == 1.0,
            "{sample:?}"
        );
    }
}
