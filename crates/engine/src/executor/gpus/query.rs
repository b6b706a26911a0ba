//! Queries of the driver's own program: the GPUs of the machine, and their memory in use.

use std::io::{ErrorKind, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Time limit of a query. A driver that has lost a device may never answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Vendor of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vendor {
    Nvidia,
    Amd,
}

/// A device in the driver's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gpu {
    pub(super) index: String,
    /// Name that stays the same when devices are renumbered; may be empty.
    unique: String,
    /// Memory in use, in MiB.
    pub(super) used: u64,
}

impl Gpu {
    /// Returns the names by which users may call the device: its index and its unique name.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        [self.index.as_str(), self.unique.as_str()]
            .into_iter()
            .filter(|name| !name.is_empty())
    }

    /// Returns whether `name` is one of these names.
    pub(super) fn is(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }
}

impl Vendor {
    /// Returns the name of the driver's program.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Nvidia => "nvidia-smi",
            Self::Amd => "rocm-smi",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Nvidia => &[
                "--query-gpu=index,uuid,memory.used",
                "--format=csv,noheader,nounits",
            ],
            Self::Amd => &["--showmeminfo", "vram", "--showuniqueid", "--json"],
        }
    }

    fn read(self, text: &str) -> Option<Vec<Gpu>> {
        match self {
            Self::Nvidia => nvidia(text),
            Self::Amd => amd(text),
        }
    }
}

/// Queries the first driver whose program is on PATH; `None` if there is none.
///
/// # Errors
/// Returns the reason why a program that is on PATH gives no usable answer.
pub(super) fn first() -> Result<Option<(Vendor, Vec<Gpu>)>, String> {
    for vendor in [Vendor::Nvidia, Vendor::Amd] {
        if let Some(gpus) = ask_if_there(vendor)? {
            return Ok(Some((vendor, gpus)));
        }
    }
    Ok(None)
}

/// Queries a driver.
///
/// # Errors
/// Returns the reason why there is no usable answer.
pub(super) fn ask(vendor: Vendor) -> Result<Vec<Gpu>, String> {
    ask_if_there(vendor)?.ok_or_else(|| format!("`{}` is not on PATH any more", vendor.program()))
}

fn ask_if_there(vendor: Vendor) -> Result<Option<Vec<Gpu>>, String> {
    let program = vendor.program();
    let mut command = Command::new(program);
    command
        .args(vendor.arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    // The driver is to list every device, even if only some are visible to this process.
    command
        .env_remove("CUDA_VISIBLE_DEVICES")
        .env_remove("ROCR_VISIBLE_DEVICES");
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("`{program}` could not be started: {error}")),
    };
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() > PATIENCE => {
                child.kill().and_then(|()| child.wait()).ok();
                return Err(format!(
                    "`{program}` did not answer within {} s",
                    PATIENCE.as_secs()
                ));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(format!("`{program}`: {error}")),
        }
    };
    let mut text = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout
            .read_to_string(&mut text)
            .map_err(|error| format!("`{program}`: {error}"))?;
    }
    if !status.success() {
        let said = text.lines().next().unwrap_or_default();
        return Err(format!("`{program}` failed ({status}): {said}"));
    }
    let gpus = vendor
        .read(&text)
        .ok_or_else(|| format!("the answer of `{program}` was not understood"))?;
    Ok(Some(gpus))
}

/// Parses lines such as `0, GPU-5a…, 1024`. A driver without devices prints a sentence instead.
fn nvidia(text: &str) -> Option<Vec<Gpu>> {
    if text.starts_with("No devices") {
        return Some(Vec::new());
    }
    let gpu = |line: &str| {
        let mut fields = line.split(',').map(str::trim);
        let (index, unique, used) = (fields.next()?, fields.next()?, fields.next()?);
        // Partitions and some virtual devices do not report their memory; their use counts as 0.
        Some(Gpu {
            index: index.to_owned(),
            unique: unique.to_owned(),
            used: used.parse().unwrap_or(0),
        })
    };
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(gpu)
        .collect()
}

/// Parses `{"card0": {"VRAM Total Used Memory (B)": "10960896", …}, …}`.
fn amd(text: &str) -> Option<Vec<Gpu>> {
    let cards: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text.trim()).ok()?;
    let mut gpus = Vec::new();
    for (name, card) in &cards {
        let Some(index) = name.strip_prefix("card") else {
            continue;
        };
        let field = |key: &str| card.get(key).and_then(serde_json::Value::as_str);
        let used: u64 = field("VRAM Total Used Memory (B)")
            .and_then(|bytes| bytes.parse().ok())
            .unwrap_or(0);
        let unique = field("Unique ID").unwrap_or_default().to_owned();
        gpus.push(Gpu {
            index: index.to_owned(),
            unique,
            used: used >> 20,
        });
    }
    gpus.sort_by_key(|gpu| gpu.index.parse::<u32>().unwrap_or(u32::MAX));
    Some(gpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(index: &str, unique: &str, used: u64) -> Gpu {
        Gpu {
            index: index.into(),
            unique: unique.into(),
            used,
        }
    }

    #[test]
    fn what_the_drivers_print_is_understood() {
        let nvidia = Vendor::Nvidia.read("0, GPU-1a, 12\n1, GPU-2b, [N/A]\n");
        assert_eq!(
            nvidia,
            Some(vec![gpu("0", "GPU-1a", 12), gpu("1", "GPU-2b", 0)])
        );
        assert_eq!(
            Vendor::Nvidia.read("No devices were found\n"),
            Some(Vec::new())
        );
        let amd = r#"{"card1": {"VRAM Total Memory (B)": "17163091968", "VRAM Total Used Memory (B)": "10960896"},
            "card0": {"Unique ID": "0x1f", "VRAM Total Used Memory (B)": "1048576"}, "system": {}}"#;
        assert_eq!(
            Vendor::Amd.read(amd),
            Some(vec![gpu("0", "0x1f", 1), gpu("1", "", 10)])
        );
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_no_answer() {
        assert_eq!(Vendor::Nvidia.read("NVIDIA-SMI has failed"), None);
        assert_eq!(Vendor::Amd.read("[]"), None);
    }
}
