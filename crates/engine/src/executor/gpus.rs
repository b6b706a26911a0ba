//! GPUs: the devices of the machine, their assignment to slots, and the check that their memory is
//! free after a trial.
//!
//! The device list comes from the driver's own program, `nvidia-smi` or `rocm-smi`, whichever is on
//! PATH.

mod query;

use query::Vendor;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Memory in MiB that a device may hold beyond its use at the start of the run and still count as
/// free. Drivers keep a little.
const SPARE_MIB: u64 = 128;

/// The devices of a run.
#[derive(Debug)]
pub struct Gpus {
    vendor: Option<Vendor>,
    devices: Vec<Device>,
}

#[derive(Debug)]
struct Device {
    id: String,
    /// Memory in use when the run began, in MiB; `None` if no driver reports it.
    initial_use: Option<u64>,
    /// Number of trials that use the device now.
    users: AtomicU32,
}

/// Reasons why no devices can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No driver program is on PATH.
    #[error("no GPU was found: neither `nvidia-smi` nor `rocm-smi` is on PATH")]
    None,
    /// The driver lists no device.
    #[error("`{0}` lists no GPU")]
    Empty(&'static str),
    /// The driver's program failed; holds the reason.
    #[error("{0}")]
    Query(String),
    /// A requested device does not exist.
    #[error("GPU `{id}` does not exist; `{program}` lists {listed}")]
    Unknown {
        /// Requested device.
        id: String,
        /// Driver program that was called.
        program: &'static str,
        /// Devices that it lists.
        listed: String,
    },
}

impl Gpus {
    /// Finds the devices of this machine, or checks and returns the `requested` ones. If no
    /// driver program is on PATH, the requested ones are used unchecked.
    ///
    /// # Errors
    /// Fails if there are no devices, the driver's program fails, or a requested device does
    /// not exist.
    pub fn find(requested: Option<&[String]>) -> Result<Self, GpuError> {
        let Some((vendor, listed)) = query::first().map_err(GpuError::Query)? else {
            let ids = requested.ok_or(GpuError::None)?;
            let devices = ids.iter().map(|id| Device::new(id.clone(), None)).collect();
            return Ok(Self {
                vendor: None,
                devices,
            });
        };
        let program = vendor.program();
        let Some(requested) = requested else {
            if listed.is_empty() {
                return Err(GpuError::Empty(program));
            }
            let devices = listed
                .into_iter()
                .map(|gpu| Device::new(gpu.index, Some(gpu.used)))
                .collect();
            return Ok(Self {
                vendor: Some(vendor),
                devices,
            });
        };
        let mut devices = Vec::new();
        for id in requested {
            let gpu = listed.iter().find(|gpu| gpu.is_called(id));
            // A name of another form, such as that of a partition of a device, is left to the
            // driver.
            if gpu.is_none() && id.bytes().all(|byte| byte.is_ascii_digit()) {
                let indices: Vec<_> = listed.iter().map(|gpu| gpu.index.as_str()).collect();
                let listed = if indices.is_empty() {
                    "none".to_owned()
                } else {
                    indices.join(", ")
                };
                return Err(GpuError::Unknown {
                    id: id.clone(),
                    program,
                    listed,
                });
            }
            devices.push(Device::new(id.clone(), gpu.map(|gpu| gpu.used)));
        }
        Ok(Self {
            vendor: Some(vendor),
            devices,
        })
    }

    /// Returns the number of devices.
    #[must_use]
    pub fn count(&self) -> usize {
        self.devices.len()
    }
}

impl Device {
    fn new(id: String, initial_use: Option<u64>) -> Self {
        Self {
            id,
            initial_use,
            users: AtomicU32::new(0),
        }
    }
}

/// The assignment of devices to slots.
#[derive(Debug, Clone)]
pub struct GpuShares {
    gpus: Arc<Gpus>,
    /// Number of devices per trial, at least 1.
    per_trial: usize,
    /// Number of trials per device, at least 1; more than 1 only if each trial has one device.
    trials_per_device: usize,
}

impl GpuShares {
    /// Assigns `per_trial` devices to each trial; below 1, that fraction of one device.
    #[must_use]
    pub fn new(gpus: Gpus, per_trial: f64) -> Self {
        let (devices, trials_per_device) = if per_trial < 1.0 {
            (1, (1.0 / per_trial).floor())
        } else {
            (per_trial as usize, 1.0)
        };
        Self {
            gpus: Arc::new(gpus),
            per_trial: devices.max(1),
            trials_per_device: (trials_per_device as usize).max(1),
        }
    }

    /// Returns the number of trials that can run at the same time.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.gpus.count() / self.per_trial * self.trials_per_device
    }

    /// Returns the number of devices.
    #[must_use]
    pub fn count(&self) -> usize {
        self.gpus.count()
    }

    /// Returns the devices of a slot. Consecutive slots get different devices before devices are
    /// shared.
    fn devices(&self, slot: u32) -> &[Device] {
        let group = slot as usize % (self.gpus.count() / self.per_trial).max(1);
        self.gpus
            .devices
            .get(group * self.per_trial..(group + 1) * self.per_trial)
            .unwrap_or_default()
    }

    /// Returns the environment variables that make exactly the devices of a slot visible to its
    /// trial.
    #[must_use]
    pub fn variables(&self, slot: u32) -> Vec<(String, String)> {
        let ids: Vec<_> = self
            .devices(slot)
            .iter()
            .map(|device| device.id.as_str())
            .collect();
        match self.gpus.vendor {
            Some(Vendor::Amd) => vec![("ROCR_VISIBLE_DEVICES".to_owned(), ids.join(","))],
            // Without this variable CUDA numbers the devices in another order than the driver.
            _ => vec![
                ("CUDA_DEVICE_ORDER".to_owned(), "PCI_BUS_ID".to_owned()),
                ("CUDA_VISIBLE_DEVICES".to_owned(), ids.join(",")),
            ],
        }
    }

    /// Counts a trial as user of the devices of a slot.
    pub(super) fn take(&self, slot: u32) {
        for device in self.devices(slot) {
            device.users.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Ends the use that [`take`](Self::take) began.
    pub(super) fn give_back(&self, slot: u32) {
        for device in self.devices(slot) {
            device.users.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Returns the reason why the devices of a slot cannot be used again yet. `Ok` if they are
    /// free, or if no driver reports their memory.
    pub(super) fn ready(&self, slot: u32) -> Result<(), String> {
        let Some(vendor) = self.gpus.vendor else {
            return Ok(());
        };
        // While other trials use a device, its memory in use says nothing about the last one.
        let checked: Vec<_> = self
            .devices(slot)
            .iter()
            .filter(|device| device.users.load(Ordering::Acquire) == 0)
            .filter_map(|device| Some((device, device.initial_use?)))
            .collect();
        if checked.is_empty() {
            return Ok(());
        }
        let listed = query::query(vendor)?;
        let used_now: BTreeMap<&str, u64> = listed
            .iter()
            .flat_map(|gpu| gpu.names().map(|name| (name, gpu.used)))
            .collect();
        for (device, initial_use) in checked {
            match used_now.get(device.id.as_str()) {
                None => {
                    return Err(format!(
                        "`{}` does not list GPU {} any more",
                        vendor.program(),
                        device.id
                    ));
                }
                Some(used) if *used > initial_use + SPARE_MIB => {
                    return Err(format!(
                        "GPU {} still holds {} MiB more than when the run began; a process of an ended trial may use it",
                        device.id,
                        used - initial_use
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(ids: &[&str], per_trial: f64) -> GpuShares {
        let devices = ids
            .iter()
            .map(|id| Device::new((*id).to_owned(), None))
            .collect();
        GpuShares::new(
            Gpus {
                vendor: Some(Vendor::Nvidia),
                devices,
            },
            per_trial,
        )
    }

    fn devices(shares: &GpuShares) -> Vec<String> {
        let slots = 0..u32::try_from(shares.slots()).expect("few");
        slots
            .filter_map(|slot| shares.variables(slot).pop())
            .map(|(_, value)| value)
            .collect()
    }

    #[test]
    fn whole_devices_belong_to_one_slot_each() {
        assert_eq!(devices(&shares(&["0", "1", "5"], 1.0)), ["0", "1", "5"]);
        assert_eq!(
            devices(&shares(&["0", "1", "2", "3", "4"], 2.0)),
            ["0,1", "2,3"]
        );
        assert!(devices(&shares(&["0"], 2.0)).is_empty());
    }

    #[test]
    fn shared_devices_are_spread_before_they_are_shared() {
        assert_eq!(devices(&shares(&["0", "1"], 0.5)), ["0", "1", "0", "1"]);
        assert_eq!(shares(&["0"], 0.3).slots(), 3);
    }
}
