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
    let mut found = nvidia(Path::new("/"));
    // Without the kernel module there is no device that `nvidia-smi` could report.
    if !found.is_empty() {
        let query = [
            "--query-gpu=name,memory.total,uuid,driver_version",
            "--format=csv,noheader,nounits",
        ];
        if let Some(told) = ask(Command::new("nvidia-smi").args(query), PATIENCE) {
            let told = smi(&String::from_utf8_lossy(&told));
            if !told.is_empty() {
                found = told;
            }
        }
    }
    found.extend(amd(Path::new("/")));
    found
}

/// Parses the output of `nvidia-smi`, one line per device.
fn smi(text: &str) -> Vec<Gpu> {
    let device = |line: &str| {
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
    };
    text.lines().filter_map(device).collect()
}

/// Reads the files of NVIDIA's kernel module below `/proc`.
fn nvidia(root: &Path) -> Vec<Gpu> {
    let driver = fs::read_to_string(root.join("proc/driver/nvidia/version")).ok();
    let number = |word: &&str| {
        word.contains('.')
            && word
                .bytes()
                .all(|byte| byte == b'.' || byte.is_ascii_digit())
    };
    let driver =
        driver.and_then(|text| text.split_whitespace().find(number).map(ToOwned::to_owned));
    let Ok(entries) = fs::read_dir(root.join("proc/driver/nvidia/gpus")) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path().join("information")))
        .collect();
    paths.sort();
    let device = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).ok()?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim_start_matches(':').trim().to_owned())
        };
        Some(Gpu {
            name: field("Model")?,
            memory: None,
            uuid: field("GPU UUID"),
            driver: driver.clone(),
        })
    };
    paths.iter().filter_map(device).collect()
}

/// Reads the files of AMD's kernel module below `/sys`.
fn amd(root: &Path) -> Vec<Gpu> {
    let text = |path: &Path| {
        fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    let driver = text(&root.join("sys/module/amdgpu/version"));
    let Ok(entries) = fs::read_dir(root.join("sys/class/drm")) else {
        return Vec::new();
    };
    let is_card = |name: &str| {
        name.strip_prefix("card")
            .is_some_and(|rest| rest.parse::<u32>().is_ok())
    };
    let mut paths: Vec<_> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_str().is_some_and(is_card))
        .map(|entry| entry.path().join("device"))
        .filter(|path| text(&path.join("vendor")).as_deref() == Some("0x1002"))
        .collect();
    paths.sort();
    let device = |path: &std::path::PathBuf| Gpu {
        name: text(&path.join("product_name"))
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| {
                format!("AMD {}", text(&path.join("device")).unwrap_or_default())
                    .trim_end()
                    .to_owned()
            }),
        memory: text(&path.join("mem_info_vram_total")).and_then(|bytes| bytes.parse().ok()),
        uuid: text(&path.join("unique_id")),
        driver: driver.clone(),
    };
    paths.iter().map(device).collect()
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
    fn what_the_kernel_tells_of_gpus_is_read() {
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
    fn the_lines_of_nvidia_smi_are_read_and_rubbish_is_not() {
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
