//! Names under which a star is reached, in one spelling each.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use crate::address::is_dns_name;

/// Host and port at which a client dials a star (R-NATIVE-13).
///
/// The text is `name:port`. A name is in lower case without a final dot, an IPv4
/// address in its four numbers, an IPv6 address in brackets in its shortest form,
/// and the port is always there; so equal places have equal texts. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StarHost {
    name: Arc<str>,
    port: u16,
}

impl StarHost {
    /// Returns the place of a host and a port; `None` when the host is neither a
    /// DNS name nor an IP address. An IPv6 address may have brackets.
    pub fn new(host: &str, port: u16) -> Option<Self> {
        let name = normal_name(host)?;
        Some(Self { name, port })
    }

    /// Reads `host:port`, in any spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        // `::1` has no port, whatever its last number looks like.
        let is_bare_ip6 = host.contains(':') && !host.starts_with('[');
        if is_bare_ip6 {
            return None;
        }
        Self::new(host, parse_port(port)?)
    }
}

impl fmt::Display for StarHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// A host of a star as its operator names it: with a port, or with any port
/// (R-NATIVE-14). Spelled as a [`StarHost`]. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern {
    name: Arc<str>,
    port: Option<u16>,
}

impl HostPattern {
    /// Reads `host` or `host:port`, in any spelling. An IPv6 address needs brackets
    /// when a port follows.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(name) = normal_name(text) {
            return Some(Self { name, port: None });
        }
        let StarHost { name, port } = StarHost::parse(text)?;
        let port = Some(port);
        Some(Self { name, port })
    }

    /// Returns whether a client that dialed `host` has dialed this one.
    pub fn matches(&self, host: &StarHost) -> bool {
        self.name == host.name && self.port.is_none_or(|port| port == host.port)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Digits only: no sign, at most five.
fn parse_port(text: &str) -> Option<u16> {
    let is_plain = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

fn normal_name(host: &str) -> Option<Arc<str>> {
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(inner) = inner {
        let ip: Ipv6Addr = inner.parse().ok()?;
        return Some(format!("[{ip}]").into());
    }
    if let Ok(ip) = host.parse::<Ipv6Addr>() {
        return Some(format!("[{ip}]").into());
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Some(ip.to_string().into());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    // The check takes a final dot, too, and one was taken off.
    let is_name = is_dns_name(name) && !name.ends_with('.');
    is_name.then(|| name.to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(text: &str) -> Option<String> {
        StarHost::parse(text).map(|host| host.to_string())
    }

    #[test]
    fn r_native_13_a_place_has_one_spelling() {
        for (text, expected) in [
            ("Star.Example:443", "star.example:443"),
            ("star.example.:443", "star.example:443"),
            ("127.0.0.1:9090", "127.0.0.1:9090"),
            ("[::1]:80", "[::1]:80"),
            ("[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
            ("[2001:DB8::1]:0080", "[2001:db8::1]:80"),
            ("a_b-c:1", "a_b-c:1"),
        ] {
            assert_eq!(place(text).as_deref(), Some(expected), "{text}");
        }
        for bad in [
            "",
            ":",
            ":80",
            "star",
            "star:",
            "star:x",
            "star:+80",
            "star:65536",
            "star:000080",
            "::1:80",
            "[::1]",
            "[::1]80",
            "[::1",
            "[star]:80",
            "st ar:80",
            "stär:80",
            "star..:80",
            "a/b:80",
            "user@star:80",
            ".:80",
            "[fe80::1%eth0]:80",
        ] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    #[test]
    fn r_native_14_an_operator_names_a_host_with_any_port_or_one() {
        let host = |text| StarHost::parse(text).unwrap();
        let pattern = |text| HostPattern::parse(text).unwrap();
        let any = pattern("STAR.example.");
        assert!(any.matches(&host("star.example:1")) && any.matches(&host("star.example:443")));
        assert!(!any.matches(&host("evil.example:443")));
        let one = pattern("star.example:443");
        assert!(one.matches(&host("Star.Example:443")) && !one.matches(&host("star.example:80")));
        for (text, expected) in [("::1", "[::1]"), ("[::1]", "[::1]"), ("[::1]:9", "[::1]:9")] {
            assert_eq!(pattern(text).to_string(), expected);
            assert!(pattern(text).matches(&host("[::1]:9")));
        }
        for bad in ["", "star:", "*.example", "http://star", "star/x", "[star]"] {
            assert_eq!(HostPattern::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_reads_back(text in "\\PC{0,40}|[a-zA-Z0-9.:\\[\\]-]{0,40}") {
            if let Some(host) = StarHost::parse(&text) {
                prop_assert_eq!(StarHost::parse(&host.to_string()), Some(host));
            }
            if let Some(pattern) = HostPattern::parse(&text) {
                prop_assert_eq!(HostPattern::parse(&pattern.to_string()), Some(pattern));
            }
        }

        #[test]
        fn case_final_dot_and_zeros_do_not_matter(
            name in "[a-zA-Z][a-zA-Z0-9]{0,10}(\\.[a-zA-Z][a-zA-Z0-9]{0,10}){0,3}",
            port in 0u16..10_000,
        ) {
            let plain = StarHost::parse(&format!("{name}:{port}"));
            prop_assert!(plain.is_some());
            let upper = name.to_ascii_uppercase();
            prop_assert_eq!(&plain, &StarHost::parse(&format!("{upper}.:{port:05}")));
            prop_assert!(HostPattern::parse(&upper).unwrap().matches(&plain.unwrap()));
        }

        #[test]
        fn ip_addresses_have_one_spelling(ip6: u128, ip4: u32, port: u16) {
            let ip6 = Ipv6Addr::from_bits(ip6);
            let long = ip6.segments().map(|part| format!("{part:04X}")).join(":");
            let short = StarHost::new(&ip6.to_string(), port);
            prop_assert!(short.is_some());
            prop_assert_eq!(&short, &StarHost::parse(&format!("[{long}]:{port}")));
            let ip4 = Ipv4Addr::from_bits(ip4);
            prop_assert_eq!(StarHost::new(&ip4.to_string(), port), StarHost::parse(&format!("{ip4}:{port}")));
        }
    }
}
