//! Reverse proxies that the star believes about where a client is.

pub(crate) mod forwarded;
pub(crate) mod header;

use std::{net::IpAddr, str::FromStr};

use axum::http::HeaderMap;

pub(crate) use header::{Told, read};

/// A network of reverse proxies: an address, or a prefix such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedProxy {
    addr: IpAddr,
    prefix: u8,
}

/// What is no [`TrustedProxy`]: a mistake of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an IP address or network, such as 192.0.2.1 or 2001:db8::/32")]
pub struct InvalidProxy;

impl FromStr for TrustedProxy {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        let (addr, prefix) = match text.trim().split_once('/') {
            Some((addr, prefix)) => (addr, Some(prefix)),
            None => (text.trim(), None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| InvalidProxy)?;
        let prefix: u8 = match prefix {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| InvalidProxy)?
            }
            Some(_) => return Err(InvalidProxy),
            None => bits_of(addr),
        };
        let canonical = addr.to_canonical();
        // An IPv4 network in the spelling of IPv6, `::ffff:10.0.0.0/104`.
        let more = bits_of(addr) - bits_of(canonical);
        match prefix.checked_sub(more) {
            Some(prefix) if prefix <= bits_of(canonical) => Ok(Self {
                addr: canonical,
                prefix,
            }),
            Some(_) | None => Err(InvalidProxy),
        }
    }
}

impl std::fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.prefix == bits_of(self.addr) {
            write!(f, "{}", self.addr)
        } else {
            write!(f, "{}/{}", self.addr, self.prefix)
        }
    }
}

impl TrustedProxy {
    /// Returns whether an address is in the network. An IPv4 address that is written
    /// as an IPv6 one counts as what it is.
    pub fn contains(&self, addr: IpAddr) -> bool {
        match (self.addr, addr.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(addr)) => {
                let differing = u32::from(network) ^ u32::from(addr);
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(addr)) => {
                let differing = u128::from(network) ^ u128::from(addr);
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Returns how many bits an address has.
fn bits_of(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 32 } else { 128 }
}

/// The proxies that a star believes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Vec<TrustedProxy>);

impl Proxies {
    pub(crate) fn new(networks: Vec<TrustedProxy>) -> Self {
        Self(networks)
    }

    pub(crate) fn trusts(&self, addr: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(addr))
    }

    /// Returns where the client of a request is that came from `peer`.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        forwarded::client(|addr| self.trusts(addr), peer, headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read() {
        for (text, printed) in [
            ("192.0.2.1", "192.0.2.1"),
            (" 10.0.0.0/8 ", "10.0.0.0/8"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::1", "::1"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
        ] {
            let network: TrustedProxy = text.parse().unwrap();
            assert_eq!(network.to_string(), printed);
        }
        for text in [
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "::/129",
            "localhost",
            "[::1]",
            "10.0.0/8",
            "192.0.2.1:80",
            "fe80::1%eth0",
            "::ffff:10.0.0.0/95",
        ] {
            assert_eq!(text.parse::<TrustedProxy>(), Err(InvalidProxy), "{text}");
        }
    }

    #[test]
    fn networks_contain_their_addresses() {
        for (network, addr, is_in) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.1.2.3/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("::ffff:10.0.0.0/104", "10.255.0.1", true),
            ("::ffff:10.0.0.0/104", "11.0.0.1", false),
            ("192.0.2.1", "192.0.2.0", false),
        ] {
            let network: TrustedProxy = network.parse().unwrap();
            assert_eq!(
                network.contains(addr.parse().unwrap()),
                is_in,
                "{network} {addr}"
            );
        }
    }
}
