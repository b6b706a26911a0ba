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
pub(super) struct ListedGpu {
    pub(super) index: String,
    /// Name that stays the same when devices are renumbered; may be empty.
    unique: String,
    /// Memory in use, in MiB.
    pub(super) used: u64,
}

impl ListedGpu {
    /// Returns the names by which users may call the device: its index and its unique name.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        [self.index.as_str(), self.unique.as_str()]
            .into_iter()
            .filter(|name| !name.is_empty())
    }

    /// Returns whether `name` is one of these names.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.names().any(|own_name| own_name == name)
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

    fn parse(self, text: &str) -> Option<Vec<ListedGpu>> {
        match self {
            Self::Nvidia => parse_nvidia(text),
            Self::Amd => parse_amd(text),
        }
    }
}

/// Queries the first driver whose program is on PATH; `None` if there is none.
///
/// # Errors
/// Returns the reason why a program that is on PATH gives no usable answer.
pub(super) fn first() -> Result<Option<(Vendor, Vec<ListedGpu>)>, String> {
    for vendor in [Vendor::Nvidia, Vendor::Amd] {
        if let Some(gpus) = query_if_installed(vendor)? {
            return Ok(Some((vendor, gpus)));
        }
    }
    Ok(None)
}

/// Queries a driver.
///
/// # Errors
/// Returns the reason why there is no usable answer.
pub(super) fn query(vendor: Vendor) -> Result<Vec<ListedGpu>, String> {
    query_if_installed(vendor)?
        .ok_or_else(|| format!("`{}` is not on PATH any more", vendor.program()))
}

fn query_if_installed(vendor: Vendor) -> Result<Option<Vec<ListedGpu>>, String> {
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
        let message = text.lines().next().unwrap_or_default();
        return Err(format!("`{program}` failed ({status}): {message}"));
    }
    let gpus = vendor
        .parse(&text)
        .ok_or_else(|| format!("could not parse the output of `{program}`"))?;
    Ok(Some(gpus))
}

/// Parses lines such as `0, GPU-5a…, 1024`. A driver without devices prints a sentence instead.
fn parse_nvidia(text: &str) -> Option<Vec<ListedGpu>> {
    if text.starts_with("No devices") {
        return Some(Vec::new());
    }
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(parse_nvidia_line)
        .collect()
}

fn parse_nvidia_line(line: &str) -> Option<ListedGpu> {
    let mut fields = line.split(',').map(str::trim);
    let (index, unique, used) = (fields.next()?, fields.next()?, fields.next()?);
    // Partitions and some virtual devices do not report their memory; their use counts as 0.
    Some(ListedGpu {
        index: index.to_owned(),
        unique: unique.to_owned(),
        used: used.parse().unwrap_or(0),
    })
}

/// Parses `{"card0": {"VRAM Total Used Memory (B)": "10960896", …}, …}`.
fn parse_amd(text: &str) -> Option<Vec<ListedGpu>> {
    let cards: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text.trim()).ok()?;
    let mut gpus = Vec::new();
    for (name, card) in &cards {
        let Some(index) = name.strip_prefix("card") else {
            continue;
        };
        let used: u64 = card["VRAM Total Used Memory (B)"]
            .as_str()
            .and_then(|bytes| bytes.parse().ok())
            .unwrap_or(0);
        let unique = card["Unique ID"].as_str().unwrap_or_default().to_owned();
        gpus.push(ListedGpu {
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

    fn gpu(index: &str, unique: &str, used: u64) -> ListedGpu {
        ListedGpu {
            index: index.into(),
            unique: unique.into(),
            used,
        }
    }

    #[test]
    fn the_output_of_both_drivers_is_parsed() {
        let nvidia = Vendor::Nvidia.parse("0, GPU-1a, 12\n1, GPU-2b, [N/A]\n");
        assert_eq!(
            nvidia,
            Some(vec![gpu("0", "GPU-1a", 12), gpu("1", "GPU-2b", 0)])
        );
        assert_eq!(
            Vendor::Nvidia.parse("No devices were found\n"),
            Some(Vec::new())
        );
        let amd = r#"{"card1": {"VRAM Total Memory (B)": "17163091968", "VRAM Total Used Memory (B)": "10960896"},
            "card0": {"Unique ID": "0x1f", "VRAM Total Used Memory (B)": "1048576"}, "system": {}}"#;
        assert_eq!(
            Vendor::Amd.parse(amd),
            Some(vec![gpu("0", "0x1f", 1), gpu("1", "", 10)])
        );
    }

    #[test]
    fn output_of_another_form_is_not_parsed() {
        assert_eq!(Vendor::Nvidia.parse("NVIDIA-SMI has failed"), None);
        assert_eq!(Vendor::Amd.parse("[]"), None);
    }
}
