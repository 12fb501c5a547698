//! Version 2 of the PROXY protocol: a few bytes before anything else, in which a
//! proxy says where a connection comes from.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, section 2.2.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use tokio::io::{AsyncRead, AsyncReadExt as _};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length of the rest.
const HEAD_BYTES: usize = 16;
/// Largest rest: addresses, and what proxies add to them, certificates included.
const MAX_REST_BYTES: usize = 4096;

const VERSION_2: u8 = 0x20;
const LOCAL: u8 = 0x0;
const PROXY: u8 = 0x1;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;

/// What a proxy says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Where its client is.
    Client(IpAddr),
    /// Nothing: it is the proxy's own, or of a kind without IP addresses.
    Nothing,
}

/// Why a connection is not served: the proxy's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    /// It begins with something else.
    #[error("no header of the PROXY protocol, version 2")]
    Missing,
    /// A version, command or family that is not known, or not one of TCP.
    #[error("a header of the PROXY protocol of an unknown kind")]
    Unknown,
    /// The rest has not the length that it needs, or too much.
    #[error("a header of the PROXY protocol of {0} bytes")]
    Length(usize),
    /// The connection ended in it.
    #[error("the connection ended in its PROXY header")]
    Io(#[from] io::Error),
}

/// Reads the header, and not one byte more. Not cancel safe.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Told, HeaderError> {
    let mut head = [0; HEAD_BYTES];
    stream.read_exact(&mut head).await?;
    let head = Head::parse(&head)?;
    let mut rest = [0; MAX_REST_BYTES];
    let rest = &mut rest[..head.rest_bytes];
    stream.read_exact(rest).await?;
    head.told(rest)
}

/// The first 16 bytes.
#[derive(Clone, Copy, Debug)]
struct Head {
    command: u8,
    family: u8,
    rest_bytes: usize,
}

impl Head {
    fn parse(bytes: &[u8; HEAD_BYTES]) -> Result<Self, HeaderError> {
        let [.., version_and_command, family, high, low] = *bytes;
        if bytes[..SIGNATURE.len()] != SIGNATURE {
            return Err(HeaderError::Missing);
        }
        if version_and_command & 0xf0 != VERSION_2 {
            return Err(HeaderError::Unknown);
        }
        let rest_bytes = usize::from(u16::from_be_bytes([high, low]));
        if rest_bytes > MAX_REST_BYTES {
            return Err(HeaderError::Length(rest_bytes));
        }
        Ok(Self {
            command: version_and_command & 0x0f,
            family,
            rest_bytes,
        })
    }

    fn told(self, rest: &[u8]) -> Result<Told, HeaderError> {
        let short = || HeaderError::Length(rest.len());
        match (self.command, self.family) {
            (LOCAL, _) | (PROXY, UNSPECIFIED | UNIX_STREAM) => Ok(Told::Nothing),
            // Source, destination, and their ports.
            (PROXY, TCP_OVER_IPV4) => {
                let block = rest.first_chunk::<12>().ok_or_else(short)?;
                let [a, b, c, d, ..] = *block;
                Ok(Told::Client(IpAddr::V4(Ipv4Addr::new(a, b, c, d))))
            }
            (PROXY, TCP_OVER_IPV6) => {
                let block = rest.first_chunk::<36>().ok_or_else(short)?;
                let source = block.first_chunk::<16>().ok_or_else(short)?;
                let source = IpAddr::V6(Ipv6Addr::from(*source));
                Ok(Told::Client(source.to_canonical()))
            }
            (_, _) => Err(HeaderError::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([version_and_command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(rest);
        bytes
    }

    fn v4(source: [u8; 4]) -> Vec<u8> {
        [&source[..], &[127, 0, 0, 1, 0x30, 0x39, 0x23, 0x82]].concat()
    }

    /// Reads a header off the start of `bytes`; returns what is left, too.
    fn read_now(mut bytes: &[u8]) -> (Result<Told, HeaderError>, usize) {
        let told = futures_util::FutureExt::now_or_never(read(&mut bytes));
        (told.expect("a slice never waits"), bytes.len())
    }

    #[test]
    fn the_client_is_the_source_of_the_header() {
        let rest = v4([192, 0, 2, 1]);
        let mut bytes = header(0x21, 0x11, &rest);
        bytes.extend(b"GET / HTTP/1.1\r\n");
        let (told, left) = read_now(&bytes);
        assert_eq!(told.unwrap(), Told::Client("192.0.2.1".parse().unwrap()));
        assert_eq!(left, 16, "not one byte more");
        let more = [rest, b"\x01\x00\x02h2\x04\x00\x00".to_vec()].concat();
        let (told, left) = read_now(&header(0x21, 0x11, &more));
        assert_eq!(told.unwrap(), Told::Client("192.0.2.1".parse().unwrap()));
        assert_eq!(left, 0, "what proxies add is read over");
        let source: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let rest = [&source.octets()[..], &[0; 20]].concat();
        let (told, _) = read_now(&header(0x21, 0x21, &rest));
        assert_eq!(told.unwrap(), Told::Client(source.into()));
    }

    #[test]
    fn a_proxy_may_say_nothing() {
        for (command, family, rest) in [
            (0x20, 0x00, &[][..]),
            (0x20, 0x11, &v4([192, 0, 2, 1])),
            (0x21, 0x00, b"anything"),
            (0x21, 0x31, &[0; 216]),
        ] {
            let (told, left) = read_now(&header(command, family, rest));
            assert_eq!((told.unwrap(), left), (Told::Nothing, 0));
        }
    }

    #[test]
    fn other_headers_are_refused() {
        for bytes in [
            b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaa".to_vec(),
            vec![0; 64],
        ] {
            assert!(matches!(read_now(&bytes).0, Err(HeaderError::Missing)));
        }
        for (command, family) in [
            (0x11, 0x11),
            (0x22, 0x11),
            (0x2f, 0x11),
            (0x21, 0x12),
            (0x21, 0x41),
        ] {
            let told = read_now(&header(command, family, &[0; 40])).0;
            assert!(
                matches!(told, Err(HeaderError::Unknown)),
                "{command:x} {family:x}"
            );
        }
        for (family, rest) in [
            (0x11, 11),
            (0x21, 35),
            (0x11, 0),
            (0x11, MAX_REST_BYTES + 1),
        ] {
            let told = read_now(&header(0x21, family, &vec![0; rest])).0;
            assert!(matches!(told, Err(HeaderError::Length(n)) if n == rest));
        }
        let whole = header(0x21, 0x11, &v4([192, 0, 2, 1]));
        for end in 0..whole.len() {
            assert!(
                matches!(read_now(&whole[..end]).0, Err(HeaderError::Io(_))),
                "{end}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), cut in 0..16usize) {
            let _ = read_now(&bytes);
            let mut head = SIGNATURE[..cut.min(12)].to_vec();
            head.extend(bytes);
            let _ = read_now(&head);
        }
    }
}
