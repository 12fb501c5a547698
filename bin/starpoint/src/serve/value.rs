//! Values of settings: their text, and the range in which they are accepted.

use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, de};
use starpoint_server::config::{
    MAX_ANNOUNCE_INTERVAL, MAX_MAX_MESSAGE_BYTES, MIN_ANNOUNCE_INTERVAL, MIN_MAX_MESSAGE_BYTES,
};

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

/// Time between two announcements, [`MIN_ANNOUNCE_INTERVAL`] to
/// [`MAX_ANNOUNCE_INTERVAL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct AnnounceInterval(Duration);

impl AnnounceInterval {
    /// Takes the interval of a configuration that is valid already.
    pub(super) fn new(interval: Duration) -> Self {
        Self(interval)
    }

    pub(super) fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for AnnounceInterval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let interval =
            humantime::parse_duration(text).map_err(|_| "not a duration, such as 500ms or 10s")?;
        if (MIN_ANNOUNCE_INTERVAL..=MAX_ANNOUNCE_INTERVAL).contains(&interval) {
            return Ok(Self(interval));
        }
        let (shortest, longest) = (Self(MIN_ANNOUNCE_INTERVAL), Self(MAX_ANNOUNCE_INTERVAL));
        Err(format!("not between {shortest} and {longest}"))
    }
}

impl TryFrom<String> for AnnounceInterval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error| format!("`{text}` is {error}"))
    }
}

impl From<AnnounceInterval> for String {
    fn from(interval: AnnounceInterval) -> Self {
        interval.to_string()
    }
}

impl fmt::Display for AnnounceInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// Largest message in bytes, [`MIN_MAX_MESSAGE_BYTES`] to
/// [`MAX_MAX_MESSAGE_BYTES`]. Written as `65536`, `64KiB` or `16MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub(super) struct MessageSize(usize);

impl MessageSize {
    /// Takes the size of a configuration that is valid already.
    pub(super) fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    pub(super) fn get(self) -> usize {
        self.0
    }

    fn checked(bytes: u64) -> Result<Self, String> {
        usize::try_from(bytes)
            .ok()
            .filter(|bytes| (MIN_MAX_MESSAGE_BYTES..=MAX_MAX_MESSAGE_BYTES).contains(bytes))
            .map(Self)
            .ok_or_else(|| {
                let (least, most) = (Self(MIN_MAX_MESSAGE_BYTES), Self(MAX_MAX_MESSAGE_BYTES));
                format!("not between {least} and {most}")
            })
    }
}

impl FromStr for MessageSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let n_digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(n_digits);
        let factor = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kib" => KIB,
            "mib" => MIB,
            _ => return Err("not a size: bytes, or a whole number of KiB or MiB".to_owned()),
        };
        let number: u64 = number
            .parse()
            .map_err(|_| "not a size, such as 65536 or 16MiB")?;
        Self::checked(number.saturating_mul(factor))
    }
}

impl<'de> Deserialize<'de> for MessageSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MessageSizeVisitor)
    }
}

struct MessageSizeVisitor;

impl de::Visitor<'_> for MessageSizeVisitor {
    type Value = MessageSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size: 65536 or \"16MiB\"")
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<MessageSize, E> {
        let size = u64::try_from(bytes)
            .map_err(|_| "not a size, such as 65536 or 16MiB".to_owned())
            .and_then(MessageSize::checked);
        size.map_err(|error| E::custom(format!("{bytes} is {error}")))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<MessageSize, E> {
        text.parse()
            .map_err(|error| E::custom(format!("`{text}` is {error}")))
    }
}

impl From<MessageSize> for String {
    fn from(size: MessageSize) -> Self {
        size.to_string()
    }
}

impl fmt::Display for MessageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as u64;
        if bytes.is_multiple_of(MIB) {
            write!(f, "{}MiB", bytes / MIB)
        } else if bytes.is_multiple_of(KIB) {
            write!(f, "{}KiB", bytes / KIB)
        } else {
            write!(f, "{bytes}")
        }
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
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        assert_eq!(MessageSize(16 * 1024 * 1024).to_string(), "16MiB");
        assert_eq!(MessageSize(66_560).to_string(), "65KiB");
        assert_eq!(MessageSize(65_537).to_string(), "65537");
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
