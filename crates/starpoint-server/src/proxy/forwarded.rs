//! `X-Forwarded-For`: each proxy adds the address that it was connected from.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Addresses that are looked at, from the last one on.
const MAX_HOPS: usize = 32;

/// Returns where the client of a request is that came from `peer`: the last address
/// that no trusted proxy has. What stands before it may be made up, and what cannot
/// be read is believed of nobody.
pub(crate) fn client(
    is_trusted: impl Fn(IpAddr) -> bool,
    peer: IpAddr,
    headers: &HeaderMap,
) -> IpAddr {
    let mut client = peer.to_canonical();
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops.take(MAX_HOPS) {
        if !is_trusted(client) {
            break;
        }
        match parse(hop) {
            Some(addr) => client = addr,
            None => break,
        }
    }
    client
}

/// Reads an address: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or
/// `[2001:db8::1]:80`, with or without the port.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim_matches([' ', '\t']);
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let addr = match bare {
        Some(v6) => IpAddr::V6(v6.parse().ok()?),
        None => match text.parse::<IpAddr>() {
            Ok(addr) => addr,
            Err(_) => text.parse::<SocketAddr>().ok()?.ip(),
        },
    };
    Some(addr.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PEER: &str = "10.0.0.1";

    fn is_trusted(addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(addr) => addr.octets()[0] == 10,
            IpAddr::V6(_) => false,
        }
    }

    fn client_of(lines: &[&[u8]]) -> IpAddr {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, line[..].try_into().unwrap());
        }
        client(is_trusted, PEER.parse().unwrap(), &headers)
    }

    #[test]
    fn the_last_address_of_no_proxy_is_the_client() {
        for (lines, expected) in [
            (&[][..], PEER),
            (&[&b"192.0.2.1"[..]], "192.0.2.1"),
            (&[b"192.0.2.9, 192.0.2.1"], "192.0.2.1"),
            (&[b"192.0.2.9,192.0.2.1 ,\t10.0.0.7"], "192.0.2.1"),
            (&[b"192.0.2.9", b"192.0.2.1", b"10.0.0.7"], "192.0.2.1"),
            (&[b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&[b"192.0.2.1:4711"], "192.0.2.1"),
            (&[b"2001:db8::1"], "2001:db8::1"),
            (&[b"[2001:db8::1]"], "2001:db8::1"),
            (&[b"[2001:db8::1]:4711"], "2001:db8::1"),
            (&[b"::ffff:192.0.2.1"], "192.0.2.1"),
            (&[b"192.0.2.1, ::ffff:10.0.0.9"], "192.0.2.1"),
        ] {
            assert_eq!(
                client_of(lines),
                expected.parse::<IpAddr>().unwrap(),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_believed_of_nobody() {
        for garbage in [
            &b""[..],
            b" ",
            b",",
            b"unknown",
            b"_hidden",
            b"localhost",
            b"\"192.0.2.1\"",
            b"for=192.0.2.1",
            b"192.0.2.256",
            b"192.0.2",
            b"0x7f.1",
            b"192.0.2.1:",
            b"[192.0.2.1]",
            b"192.0.2.1:99999",
            b"[2001:db8::1",
            b"2001:db8::1]",
            b"fe80::1%1",
            b"192.0.2.1 x",
            b"192.0.2.9,",
            b"\xff\xfe",
            b"1.1.1.1;2.2.2.2",
        ] {
            assert_eq!(client_of(&[garbage]), PEER.parse::<IpAddr>().unwrap());
            // What the proxy behind it saw still counts.
            let behind = [b"192.0.2.9, ", garbage, b", 10.0.0.5"].concat();
            assert_eq!(client_of(&[&behind]), "10.0.0.5".parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn only_so_many_hops_are_looked_at() {
        let many = vec!["10.0.0.2"; 10_000].join(",");
        let line = format!("192.0.2.1,{many}");
        assert_eq!(
            client_of(&[line.as_bytes()]),
            "10.0.0.2".parse::<IpAddr>().unwrap()
        );
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let mut headers = HeaderMap::new();
        headers.append(X_FORWARDED_FOR, "192.0.2.1".parse().unwrap());
        let stranger: IpAddr = "203.0.113.5".parse().unwrap();
        assert_eq!(client(is_trusted, stranger, &headers), stranger);
    }

    proptest! {
        /// Whatever a client writes, it cannot choose its address: its proxy adds the
        /// true one behind that.
        #[test]
        fn a_client_cannot_choose_its_address(written in "[\\x20-\\x7e]{0,64}", last in any::<[u8; 4]>()) {
            let last = IpAddr::from(last);
            prop_assume!(!is_trusted(last));
            let line = format!("{written}, {last}");
            prop_assert_eq!(client_of(&[line.as_bytes()]), last);
        }

        #[test]
        fn addresses_are_read_as_they_print(octets in any::<[u8; 16]>(), port: u16) {
            let addr = std::net::Ipv6Addr::from(octets);
            let canonical = IpAddr::V6(addr).to_canonical();
            for text in [format!("{addr}"), format!("[{addr}]"), format!("[{addr}]:{port}")] {
                prop_assert_eq!(parse(text.as_bytes()), Some(canonical));
            }
        }
    }
}
