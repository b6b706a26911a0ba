//! Free ports of this machine, for programs whose processes meet at one (`MASTER_PORT`).
//!
//! A port that is free now may be taken before the program listens on it. Two things keep others
//! away from it. It is outside of the range from which the kernel takes the ports of outgoing
//! connections. And it is reserved among all swaths of this machine until its owner ends.

use crate::platform;
use rustix::fd::OwnedFd;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Number of ports, below those of outgoing connections, that are used.
const COUNT: u32 = 12_000;

/// Ports that may need privileges, or belong to well-known services.
const RESERVED: u32 = 10_000;

/// Number of ports that this process has looked at. A port is not used again at once, because
/// connections of the last trial may linger on it.
static OFFSET: AtomicU32 = AtomicU32::new(0);

/// A port that no other trial on this machine has, until it is dropped.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) number: u16,
    _reservation: OwnedFd,
}

impl Port {
    /// Reserves a free port; `None` if there is none.
    pub(super) fn reserve() -> Option<Self> {
        let end = platform::first_outgoing_port().max(RESERVED + 1_000);
        let begin = end.saturating_sub(COUNT).max(RESERVED);
        let count = end - begin;
        // Processes begin at different ports, so that they do not try all of each other's.
        let start = std::process::id().wrapping_mul(97);
        (0..count).find_map(|_| {
            let offset = OFFSET.fetch_add(1, Ordering::Relaxed);
            let number = begin + start.wrapping_add(offset) % count;
            Self::take(u16::try_from(number).ok()?)
        })
    }

    /// Reserves this port if it is free.
    fn take(number: u16) -> Option<Self> {
        let reservation = platform::reserve_port(number)?;
        let is_free =
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, number)).is_ok() && is_free_in_ipv6(number);
        is_free.then(|| Self {
            number,
            _reservation: reservation,
        })
    }
}

/// Returns whether nothing listens on the port; true on a machine without IPv6.
fn is_free_in_ipv6(number: u16) -> bool {
    !TcpListener::bind((Ipv6Addr::UNSPECIFIED, number))
        .is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_and_no_other_trial_gets_it_while_it_is_reserved() {
        let ports: Vec<Port> = (0..20).filter_map(|_| Port::reserve()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(|port| port.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 20);
        assert!(Port::take(numbers[0]).is_none(), "it is reserved");
        TcpListener::bind((Ipv4Addr::LOCALHOST, numbers[0])).unwrap();
    }

    #[test]
    fn a_port_on_which_another_program_listens_is_not_given() {
        let port = Port::reserve().unwrap();
        let number = port.number;
        drop(port);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
        assert!(Port::take(number).is_none());
        drop(listener);
    }
}
