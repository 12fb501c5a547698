//! Values of settings: their text, and the range in which they are accepted.

use std::{
    fmt, net::SocketAddr, num::NonZeroU64, ops::RangeInclusive, str::FromStr, time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, de};
use starpoint_server::{
    TrustedProxy,
    config::{
        MAX_ANNOUNCE_INTERVAL, MAX_GRACE, MAX_MAX_MESSAGE_BYTES, MIN_ANNOUNCE_INTERVAL,
        MIN_MAX_MESSAGE_BYTES,
    },
};
use starpoint_wire::native::HostPattern;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// An address and port to listen on, `127.0.0.1:9090` or `[::1]:9090`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub(super) struct ListenAddr(pub(super) SocketAddr);

impl FromStr for ListenAddr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim()
            .parse()
            .map(Self)
            .map_err(|_| "not an IP address and port, such as 127.0.0.1:9090 or [::1]:9090")
    }
}

impl TryFrom<String> for ListenAddr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error| format!("`{text}` is {error}"))
    }
}

/// A reverse proxy, or a network of them: `192.0.2.1`, `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct ProxyNetwork(pub(super) TrustedProxy);

impl FromStr for ProxyNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = text.parse().map(Self);
        network.map_err(|error: starpoint_server::InvalidProxy| error.to_string())
    }
}

impl TryFrom<String> for ProxyNetwork {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error| format!("`{text}` is {error}"))
    }
}

impl From<ProxyNetwork> for String {
    fn from(network: ProxyNetwork) -> Self {
        network.0.to_string()
    }
}

/// A host of the star, `star.example` or `star.example:8443`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct StarHostName(pub(super) HostPattern);

impl FromStr for StarHostName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let host = HostPattern::parse(text.trim()).map(Self);
        host.ok_or("not a host, such as star.example, star.example:8443 or [2001:db8::1]")
    }
}

impl TryFrom<String> for StarHostName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error| format!("`{text}` is {error}"))
    }
}

impl From<StarHostName> for String {
    fn from(host: StarHostName) -> Self {
        host.0.to_string()
    }
}

/// A setting that is a duration within a range.
macro_rules! duration_setting {
    ($(#[$doc:meta])* $name:ident, $range:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(try_from = "String", into = "String")]
        pub(super) struct $name(Duration);

        impl $name {
            /// Takes the duration of a configuration that is valid already.
            pub(super) fn new(duration: Duration) -> Self {
                Self(duration)
            }

            pub(super) fn get(self) -> Duration {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                duration_within($range, text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse().map_err(|error| format!("`{text}` is {error}"))
            }
        }

        impl From<$name> for String {
            fn from(setting: $name) -> Self {
                humantime::format_duration(setting.0).to_string()
            }
        }
    };
}

duration_setting! {
    /// Time between two announcements, [`MIN_ANNOUNCE_INTERVAL`] to
    /// [`MAX_ANNOUNCE_INTERVAL`].
    AnnounceInterval, MIN_ANNOUNCE_INTERVAL..=MAX_ANNOUNCE_INTERVAL
}

duration_setting! {
    /// How long a peer without a connection counts as present, up to [`MAX_GRACE`].
    Grace, Duration::ZERO..=MAX_GRACE
}

fn duration_within(range: RangeInclusive<Duration>, text: &str) -> Result<Duration, String> {
    let duration =
        humantime::parse_duration(text).map_err(|_| "not a duration, such as 500ms or 10s")?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    let [shortest, longest] = [*range.start(), *range.end()].map(humantime::format_duration);
    Err(format!("not between {shortest} and {longest}"))
}

/// A setting that is a number of bytes within a range. Written as `65536`, `64KiB` or
/// `16MiB`.
macro_rules! size_setting {
    ($(#[$doc:meta])* $name:ident, $range:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[serde(into = "String")]
        pub(super) struct $name(u64);

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                size_within($range, size(text)?).map(Self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(SizeVisitor($range)).map(Self)
            }
        }

        impl From<$name> for String {
            fn from(size: $name) -> Self {
                size_text(size.0)
            }
        }
    };
}

size_setting! {
    /// Largest message in bytes, [`MIN_MAX_MESSAGE_BYTES`] to
    /// [`MAX_MAX_MESSAGE_BYTES`].
    MessageSize, MIN_MAX_MESSAGE_BYTES as u64..=MAX_MAX_MESSAGE_BYTES as u64
}

impl MessageSize {
    /// Takes the size of a configuration that is valid already.
    pub(super) fn new(bytes: usize) -> Self {
        Self(bytes as u64)
    }

    pub(super) fn get(self) -> usize {
        usize::try_from(self.0).expect("the largest message is checked")
    }
}

size_setting! {
    /// Bytes that may wait in the whole star, at least 1 MiB.
    BufferSize, KIB * KIB..=1 << 40
}

impl BufferSize {
    /// Takes the size of a configuration that is valid already.
    pub(super) fn new(bytes: usize) -> Self {
        Self(bytes as u64)
    }

    pub(super) fn get(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

size_setting! {
    /// Bytes a second, at least 1 KiB.
    ByteRate, KIB..=u64::MAX
}

impl ByteRate {
    /// Takes the rate of a configuration that is valid already.
    pub(super) fn new(bytes_per_second: NonZeroU64) -> Self {
        Self(bytes_per_second.get())
    }

    pub(super) fn get(self) -> NonZeroU64 {
        NonZeroU64::new(self.0).expect("the smallest rate is checked")
    }
}

fn size(text: &str) -> Result<u64, &'static str> {
    let text = text.trim();
    let n_digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(n_digits);
    let factor = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => KIB,
        "mib" => MIB,
        _ => return Err("not a size: bytes, or a whole number of KiB or MiB"),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "not a size, such as 65536 or 16MiB")?;
    Ok(number.saturating_mul(factor))
}

fn size_within(range: RangeInclusive<u64>, bytes: u64) -> Result<u64, String> {
    if range.contains(&bytes) {
        return Ok(bytes);
    }
    let [least, most] = [*range.start(), *range.end()].map(size_text);
    Err(match *range.end() {
        u64::MAX => format!("not at least {least}"),
        _ => format!("not between {least} and {most}"),
    })
}

fn size_text(bytes: u64) -> String {
    if bytes.is_multiple_of(MIB) {
        format!("{}MiB", bytes / MIB)
    } else if bytes.is_multiple_of(KIB) {
        format!("{}KiB", bytes / KIB)
    } else {
        bytes.to_string()
    }
}

struct SizeVisitor(RangeInclusive<u64>);

impl de::Visitor<'_> for SizeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size: 65536 or \"16MiB\"")
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<u64, E> {
        let size = u64::try_from(bytes)
            .map_err(|_| "not a size, such as 65536 or 16MiB".to_owned())
            .and_then(|bytes| size_within(self.0, bytes));
        size.map_err(|error| E::custom(format!("{bytes} is {error}")))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        size(text)
            .map_err(str::to_owned)
            .and_then(|bytes| size_within(self.0, bytes))
            .map_err(|error| E::custom(format!("`{text}` is {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_binary_multiples() {
        for (text, bytes) in [
            ("65536", 65_536),
            ("65537B", 65_537),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            (" 16MiB ", 16 * 1024 * 1024),
        ] {
            assert_eq!(
                text.parse::<MessageSize>(),
                Ok(MessageSize(bytes)),
                "{text}"
            );
        }
    }

    #[test]
    fn other_sizes_are_refused() {
        for text in [
            "",
            "MiB",
            "1.5MiB",
            "16MB",
            "-1",
            "64k",
            "16MiB16MiB",
            "0x10000",
        ] {
            let error = text.parse::<MessageSize>().unwrap_err();
            assert!(error.starts_with("not a size"), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        for text in ["0", "65535", "67108865", "65MiB", "18446744073709551615MiB"] {
            let error = text.parse::<MessageSize>().unwrap_err();
            assert_eq!(error, "not between 64KiB and 64MiB", "{text}");
        }
    }

    #[test]
    fn a_size_reads_as_it_prints() {
        for bytes in [65_536, 65_537, 66_560, 16 * 1024 * 1024, 67_108_864] {
            let size = MessageSize(bytes);
            assert_eq!(String::from(size).parse(), Ok(size));
        }
        assert_eq!(size_text(16 * 1024 * 1024), "16MiB");
        assert_eq!(size_text(66_560), "65KiB");
        assert_eq!(size_text(65_537), "65537");
    }

    #[test]
    fn intervals_have_a_unit_and_a_range() {
        let parsed = |text: &str| text.parse::<AnnounceInterval>();
        assert_eq!(parsed("100ms").unwrap().get(), Duration::from_millis(100));
        assert_eq!(parsed("1m 30s").unwrap().get(), Duration::from_secs(90));
        assert_eq!(parsed("1h").unwrap().get(), Duration::from_secs(3600));
        for text in ["99ms", "3601s", "0s"] {
            assert_eq!(parsed(text).unwrap_err(), "not between 100ms and 1h");
        }
        for text in ["", "10", "soon", "-1s"] {
            assert!(parsed(text).unwrap_err().starts_with("not a duration"));
        }
    }

    #[test]
    fn a_grace_period_may_be_nothing() {
        let parsed = |text: &str| text.parse::<Grace>();
        assert_eq!(parsed("0s").unwrap().get(), Duration::ZERO);
        assert_eq!(parsed("10m").unwrap().get(), MAX_GRACE);
        assert_eq!(parsed("601s").unwrap_err(), "not between 0s and 10m");
    }

    #[test]
    fn a_rate_is_at_least_a_kibibyte() {
        assert_eq!("1KiB".parse::<ByteRate>().unwrap().get().get(), 1024);
        for text in ["0", "1023"] {
            let error = text.parse::<ByteRate>().unwrap_err();
            assert_eq!(error, "not at least 1KiB", "{text}");
        }
    }

    #[test]
    fn listen_addresses_have_a_port() {
        assert!("127.0.0.1:0".parse::<ListenAddr>().is_ok());
        assert!(" [::1]:9090".parse::<ListenAddr>().is_ok());
        for text in [
            "",
            "127.0.0.1",
            "::1:9090:",
            "localhost:9090",
            ":9090",
            "1.2.3.4:65536",
        ] {
            assert!(text.parse::<ListenAddr>().is_err(), "{text}");
        }
    }
}
