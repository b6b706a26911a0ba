//! GPUs: which there are, which of them a slot has, and whether their memory is free again when its
//! trial has ended.
//!
//! The driver's own program is asked, `nvidia-smi` or `rocm-smi`, whichever is on PATH.

mod query;

use query::Vendor;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a device may hold more than at the start of the run and still count as free: drivers keep a
/// little.
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
    /// What it held when the run began, in MiB; `None` if nobody can tell.
    held: Option<u64>,
    /// How many trials use it.
    users: AtomicU32,
}

/// Why there are no devices to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// No driver knows of any.
    #[error("no GPU was found: neither `nvidia-smi` nor `rocm-smi` is on PATH")]
    None,
    /// The driver lists none.
    #[error("`{0}` lists no GPU")]
    Empty(&'static str),
    /// The driver's program does not work.
    #[error("{0}")]
    Query(String),
    /// A device that was named does not exist.
    #[error("there is no GPU `{id}`; `{program}` lists {there}")]
    Unknown {
        /// What was named.
        id: String,
        /// Who was asked.
        program: &'static str,
        /// What there is.
        there: String,
    },
}

impl Gpus {
    /// Finds the devices, or those of them that are `given`. Given ones are believed where no
    /// driver can be asked.
    ///
    /// # Errors
    /// If there are none, the driver cannot be asked, or one that is given does not exist.
    pub fn find(given: Option<&[String]>) -> Result<Self, GpuError> {
        let Some((vendor, found)) = query::first().map_err(GpuError::Query)? else {
            let ids = given.ok_or(GpuError::None)?;
            let devices = ids.iter().map(|id| Device::new(id.clone(), None)).collect();
            return Ok(Self {
                vendor: None,
                devices,
            });
        };
        let program = vendor.program();
        let Some(given) = given else {
            if found.is_empty() {
                return Err(GpuError::Empty(program));
            }
            let devices = found
                .into_iter()
                .map(|gpu| Device::new(gpu.index, Some(gpu.used)))
                .collect();
            return Ok(Self {
                vendor: Some(vendor),
                devices,
            });
        };
        let mut devices = Vec::new();
        for id in given {
            let held = found.iter().find(|gpu| gpu.is(id)).map(|gpu| gpu.used);
            // A name such as that of a part of a device is the driver's business.
            if held.is_none() && id.bytes().all(|byte| byte.is_ascii_digit()) {
                let there: Vec<_> = found.iter().map(|gpu| gpu.index.as_str()).collect();
                let there = if there.is_empty() {
                    "none".to_owned()
                } else {
                    there.join(", ")
                };
                return Err(GpuError::Unknown {
                    id: id.clone(),
                    program,
                    there,
                });
            }
            devices.push(Device::new(id.clone(), held));
        }
        Ok(Self {
            vendor: Some(vendor),
            devices,
        })
    }

    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.devices.len()
    }
}

impl Device {
    fn new(id: String, held: Option<u64>) -> Self {
        Self {
            id,
            held,
            users: AtomicU32::new(0),
        }
    }
}

/// How the devices are dealt to the slots.
#[derive(Debug, Clone)]
pub struct GpuShares {
    gpus: Arc<Gpus>,
    /// Devices of each trial, at least 1.
    each: usize,
    /// Trials on each device, at least 1; more only if each has one device.
    sharing: usize,
}

impl GpuShares {
    /// Deals devices: `want` of them for each trial, or, below 1, that part of one.
    #[must_use]
    pub fn new(gpus: Gpus, want: f64) -> Self {
        let (each, sharing) = if want < 1.0 {
            (1, (1.0 / want).floor())
        } else {
            (want as usize, 1.0)
        };
        Self {
            gpus: Arc::new(gpus),
            each: each.max(1),
            sharing: (sharing as usize).max(1),
        }
    }

    /// Returns how many trials can run at a time.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.gpus.count() / self.each * self.sharing
    }

    /// Returns how many devices there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.gpus.count()
    }

    /// Returns the devices of a slot. Slots that share are spread over the devices first.
    fn of(&self, slot: u32) -> &[Device] {
        let group = slot as usize % (self.gpus.count() / self.each).max(1);
        self.gpus
            .devices
            .get(group * self.each..(group + 1) * self.each)
            .unwrap_or_default()
    }

    /// Returns the variables that show a slot's trial its devices and no others.
    #[must_use]
    pub fn variables(&self, slot: u32) -> Vec<(String, String)> {
        let ids: Vec<_> = self
            .of(slot)
            .iter()
            .map(|device| device.id.as_str())
            .collect();
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        match self.gpus.vendor {
            Some(Vendor::Amd) => vec![set("ROCR_VISIBLE_DEVICES", &ids.join(","))],
            // Without it CUDA counts the devices in another order than the driver does.
            _ => vec![
                set("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
                set("CUDA_VISIBLE_DEVICES", &ids.join(",")),
            ],
        }
    }

    /// Notes that a trial uses the devices of a slot.
    pub(super) fn take(&self, slot: u32) {
        for device in self.of(slot) {
            device.users.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Notes that it does no longer.
    pub(super) fn give_back(&self, slot: u32) {
        for device in self.of(slot) {
            device.users.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Says why the devices of a slot cannot be used again yet; `Ok` if they can, or if nobody can
    /// tell.
    pub(super) fn ready(&self, slot: u32) -> Result<(), String> {
        let Some(vendor) = self.gpus.vendor else {
            return Ok(());
        };
        // What a device holds while others use it tells nothing.
        let idle = |device: &&Device| device.users.load(Ordering::Acquire) == 0;
        let asked: Vec<_> = self
            .of(slot)
            .iter()
            .filter(idle)
            .filter_map(|device| Some((device, device.held?)))
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        let now = query::ask(vendor)?;
        let used: BTreeMap<&str, u64> = now
            .iter()
            .flat_map(|gpu| gpu.names().map(|name| (name, gpu.used)))
            .collect();
        for (device, held) in asked {
            match used.get(device.id.as_str()) {
                None => {
                    return Err(format!(
                        "`{}` does not list GPU {} any more",
                        vendor.program(),
                        device.id
                    ));
                }
                Some(used) if *used > held + SPARE_MIB => {
                    return Err(format!(
                        "GPU {} still holds {} MiB more than when the run began; something that a trial left may use it",
                        device.id,
                        used - held
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

    fn shares(ids: &[&str], want: f64) -> GpuShares {
        let devices = ids
            .iter()
            .map(|id| Device::new((*id).to_owned(), None))
            .collect();
        GpuShares::new(
            Gpus {
                vendor: Some(Vendor::Nvidia),
                devices,
            },
            want,
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
