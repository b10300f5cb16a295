//! Owns which addresses a playbook may reach: not this machine, not its neighbours on the link,
//! not the metadata services of clouds, unless that is allowed. Names are resolved here, so that
//! what was checked is what is connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Whether an address may be reached.
pub fn allowed(address: IpAddr, allow: &[IpNet]) -> bool {
    if allow.iter().any(|net| net.contains(&address)) {
        return true;
    }
    match address {
        IpAddr::V4(v4) => ordinary_v4(v4),
        IpAddr::V6(v6) => match embedded(v6) {
            // An address inside of an address is the one that is reached; it may be allowed as such.
            Some(v4) => allow.iter().any(|net| net.contains(&IpAddr::V4(v4))) || ordinary_v4(v4),
            None => ordinary_v6(v6),
        },
    }
}

fn ordinary_v4(v4: Ipv4Addr) -> bool {
    let [a, b, ..] = v4.octets();
    // 100.100.100.200 and 192.0.0.192 are metadata services.
    let metadata = v4 == Ipv4Addr::new(100, 100, 100, 200) || v4 == Ipv4Addr::new(192, 0, 0, 192);
    !(v4.is_loopback()
        || v4.is_link_local()
        || v4.is_unspecified()
        || v4.is_broadcast()
        || v4.is_multicast()
        || a == 0
        || metadata
        || (a == 192 && b == 0 && v4.octets()[2] == 0))
}

fn ordinary_v6(v6: Ipv6Addr) -> bool {
    let first = v6.segments()[0];
    let link_local = first & 0xffc0 == 0xfe80;
    // fd00:ec2::254 is a metadata service.
    let metadata = v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    !(v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || link_local || metadata)
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, NAT64, 6to4.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = v6.segments();
    let tail = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(tail(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(tail(high, low)),
        [0x2002, high, low, ..] => Some(tail(high, low)),
        _ => None,
    }
}

/// Resolves names to addresses that may be reached.
pub struct Resolver {
    /// What may be reached besides.
    pub allow: Arc<Vec<IpNet>>,
}

/// A name stands for nothing that may be reached.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to an address that playbooks may not reach")]
pub struct Forbidden;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = self.allow.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.filter(|address| allowed(address.ip(), &allow)).collect();
            if found.is_empty() {
                return Err(Box::new(Forbidden) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn metadata_and_neighbours_are_out_of_reach_however_they_are_written() {
        for text in [
            "169.254.169.254",
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "100.100.100.200",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::ffff:127.0.0.1",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "::169.254.169.254",
        ] {
            assert!(!allowed(text.parse().unwrap(), &[]), "{text}");
        }
        for text in ["192.0.2.1", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert!(allowed(text.parse().unwrap(), &[]), "{text}");
        }
        let allow = ["127.0.0.0/8".parse().unwrap()];
        assert!(allowed("127.0.0.1".parse().unwrap(), &allow) && allowed("::ffff:127.0.0.1".parse().unwrap(), &allow));
        assert!(!allowed("169.254.169.254".parse().unwrap(), &allow));
    }
}
