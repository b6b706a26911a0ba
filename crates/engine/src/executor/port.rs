//! Free ports of this machine, for programs whose processes meet at one (`MASTER_PORT`).
//!
//! A port that is free now may be taken before the program listens on it. Two things keep others
//! away from it. It is outside of the range from which the kernel takes the ports of outgoing
//! connections. And it is reserved by an abstract socket, a name that exists in the same network
//! namespace as the port itself and goes away with its owner, so that no other swath takes it.

use rustix::fd::OwnedFd;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Number of ports, below those of outgoing connections, that are used.
const COUNT: u32 = 12_000;

/// First port of outgoing connections on Linux by default.
const FIRST_OUTGOING: u32 = 32_768;

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
        let end = first_outgoing().max(RESERVED + 1_000);
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
        let name = SocketAddr::from_abstract_name(format!("swath-port-{number}")).ok()?;
        let reservation = UnixListener::bind_addr(&name).ok()?;
        let is_free =
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, number)).is_ok() && is_free_in_ipv6(number);
        is_free.then(|| Self {
            number,
            _reservation: reservation.into(),
        })
    }
}

/// Returns whether nothing listens on the port; true on a machine without IPv6.
fn is_free_in_ipv6(number: u16) -> bool {
    !TcpListener::bind((Ipv6Addr::UNSPECIFIED, number))
        .is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

/// Returns the first port that the kernel uses for outgoing connections.
fn first_outgoing() -> u32 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(FIRST_OUTGOING)
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
