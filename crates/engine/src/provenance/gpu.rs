//! The GPUs of a machine and their driver, as the kernel and `nvidia-smi` report them.

use super::ask::ask;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Time limit of `nvidia-smi`, which wakes sleeping devices.
const PATIENCE: Duration = Duration::from_secs(10);

/// A GPU.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// The model name.
    pub name: String,
    /// Memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// The unique id of this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The version of the device's driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
}

/// Returns the GPUs of this machine. The call may take seconds.
#[must_use]
pub fn gpus() -> Vec<Gpu> {
    let mut gpus = nvidia(Path::new("/"));
    // Without the kernel module there is no device that `nvidia-smi` could report.
    if !gpus.is_empty() {
        let query = [
            "--query-gpu=name,memory.total,uuid,driver_version",
            "--format=csv,noheader,nounits",
        ];
        if let Some(output) = ask(Command::new("nvidia-smi").args(query), PATIENCE) {
            let listed = smi(&String::from_utf8_lossy(&output));
            // It knows the memory, which the kernel module does not report.
            if !listed.is_empty() {
                gpus = listed;
            }
        }
    }
    gpus.extend(amd(Path::new("/")));
    gpus
}

/// Parses the output of `nvidia-smi`, one line per device.
fn smi(text: &str) -> Vec<Gpu> {
    text.lines().filter_map(smi_line).collect()
}

fn smi_line(line: &str) -> Option<Gpu> {
    // Split from the right: a model name may contain commas.
    let mut fields = line.rsplitn(4, ',').map(str::trim);
    let driver = fields.next().map(ToOwned::to_owned);
    let uuid = fields.next().map(ToOwned::to_owned);
    let memory = fields.next()?.parse::<u64>().ok().map(|mib| mib << 20);
    Some(Gpu {
        name: fields.next()?.to_owned(),
        memory,
        uuid,
        driver,
    })
}

/// Reads the files of NVIDIA's kernel module below `/proc`.
fn nvidia(root: &Path) -> Vec<Gpu> {
    let version = fs::read_to_string(root.join("proc/driver/nvidia/version")).unwrap_or_default();
    let driver = version
        .split_whitespace()
        .find(|word| is_version(word))
        .map(ToOwned::to_owned);
    let Ok(entries) = fs::read_dir(root.join("proc/driver/nvidia/gpus")) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path().join("information")))
        .collect();
    paths.sort();
    paths
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).ok()?;
            Some(Gpu {
                name: field(&text, "Model")?,
                memory: None,
                uuid: field(&text, "GPU UUID"),
                driver: driver.clone(),
            })
        })
        .collect()
}

fn is_version(word: &str) -> bool {
    word.contains('.')
        && word
            .bytes()
            .all(|byte| byte == b'.' || byte.is_ascii_digit())
}

/// Returns the value of the first line `name: value`.
fn field(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim_start_matches(':').trim().to_owned())
}

/// Reads the files of AMD's kernel module below `/sys`.
fn amd(root: &Path) -> Vec<Gpu> {
    let driver = read_trimmed(&root.join("sys/module/amdgpu/version"));
    let Ok(entries) = fs::read_dir(root.join("sys/class/drm")) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_str().is_some_and(is_card))
        .map(|entry| entry.path().join("device"))
        .filter(|path| read_trimmed(&path.join("vendor")).as_deref() == Some("0x1002"))
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| Gpu {
            name: amd_name(path),
            memory: read_trimmed(&path.join("mem_info_vram_total"))
                .and_then(|bytes| bytes.parse().ok()),
            uuid: read_trimmed(&path.join("unique_id")),
            driver: driver.clone(),
        })
        .collect()
}

/// Returns whether a name in `/sys/class/drm` is that of a card, and not of one of its connectors.
fn is_card(name: &str) -> bool {
    name.strip_prefix("card")
        .is_some_and(|rest| rest.parse::<u32>().is_ok())
}

/// Returns the model of a device; its number if the kernel does not know the model.
fn amd_name(path: &Path) -> String {
    read_trimmed(&path.join("product_name"))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| {
            let number = read_trimmed(&path.join("device")).unwrap_or_default();
            format!("AMD {number}").trim_end().to_owned()
        })
}

fn read_trimmed(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Gpu, amd, nvidia, smi};
    use std::fs;
    use std::path::Path;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn gpu(name: &str, memory: Option<u64>, uuid: &str, driver: &str) -> Gpu {
        Gpu {
            name: name.into(),
            memory,
            uuid: Some(uuid.into()),
            driver: Some(driver.into()),
        }
    }

    #[test]
    fn gpus_are_read_from_the_files_of_the_kernel() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                (
                    "proc/driver/nvidia/version",
                    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version:  gcc 12.2.0\n",
                ),
                (
                    "proc/driver/nvidia/gpus/0000:01:00.0/information",
                    "Model: \t\t NVIDIA A100-SXM4-40GB\nIRQ:   \t\t 182\nGPU UUID: \t GPU-5d2e\n",
                ),
                ("sys/module/amdgpu/version", "6.7.0\n"),
                ("sys/class/drm/card0/device/vendor", "0x1002\n"),
                ("sys/class/drm/card0/device/device", "0x740f\n"),
                (
                    "sys/class/drm/card0/device/mem_info_vram_total",
                    "68702699520\n",
                ),
                ("sys/class/drm/card0/device/unique_id", "1a2b\n"),
                ("sys/class/drm/card0-DP-1/device/vendor", "0x1002\n"),
                ("sys/class/drm/card1/device/vendor", "0x8086\n"),
            ],
        );
        assert_eq!(
            nvidia(root.path()),
            [gpu("NVIDIA A100-SXM4-40GB", None, "GPU-5d2e", "535.104.05")]
        );
        assert_eq!(
            amd(root.path()),
            [gpu("AMD 0x740f", Some(68_702_699_520), "1a2b", "6.7.0")]
        );
        assert!(nvidia(Path::new("/nowhere")).is_empty() && amd(Path::new("/nowhere")).is_empty());
    }

    #[test]
    fn lines_of_nvidia_smi_are_parsed_and_other_lines_are_skipped() {
        let text =
            "NVIDIA A100, the large one, 40960, GPU-5d2e, 535.104.05\nNo devices were found\n";
        assert_eq!(
            smi(text),
            [gpu(
                "NVIDIA A100, the large one",
                Some(40_960 << 20),
                "GPU-5d2e",
                "535.104.05"
            )]
        );
    }
}
