//! What a host offers, and the rules for reaching it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// Targets that a host offers at most.
pub const MAX_TARGETS: usize = 32;

/// The name of a target: 1 to 32 of `a`–`z`, `0`–`9`, `.`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetName(Box<str>);

impl TargetName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 32;

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TargetName {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let is_letter = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let is_name = (1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(is_letter);
        is_name.then(|| Self(text.into())).ok_or(TargetError::Name)
    }
}

/// How far away an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The host itself: `127.0.0.0/8`, `::1`.
    Loopback,
    /// The network around it: `10/8`, `172.16/12`, `192.168/16`, `fc00::/7`.
    Lan,
    /// Link-local addresses, where cloud providers hand out the credentials of a
    /// machine: `169.254/16`, `fe80::/10`, and the unique local addresses that
    /// providers use for the same. Reached only if the host offers the very
    /// address; a name never stands for one.
    LinkLocal,
    /// Everything else, which is never reached: that would make the host a proxy.
    /// Unspecified, multicast and broadcast addresses are among it, and IPv4
    /// addresses within IPv6 ones that go through a translator or a tunnel.
    Elsewhere,
}

impl Class {
    /// Returns the class of an address; an IPv4-mapped IPv6 address counts as the
    /// IPv4 address in it.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            address if address.is_loopback() => Self::Loopback,
            IpAddr::V4(v4) if v4.is_link_local() => Self::LinkLocal,
            IpAddr::V4(v4) if v4.is_private() => Self::Lan,
            IpAddr::V6(v6) if v6.is_unicast_link_local() || is_metadata(v6) => Self::LinkLocal,
            IpAddr::V6(v6) if v6.is_unique_local() => Self::Lan,
            IpAddr::V4(_) | IpAddr::V6(_) => Self::Elsewhere,
        }
    }
}

/// Returns whether a unique local address is one of the metadata services:
/// Amazon's `fd00:ec2::/32`, Google's `fd20:ce::/32`, or any that ends with an
/// address of `169.254/16`, as Oracle's `fd00:c1::a9fe:a9fe`.
fn is_metadata(address: Ipv6Addr) -> bool {
    let [a, b, .., y, _] = address.segments();
    address.is_unique_local()
        && (matches!((a, b), (0xfd00, 0x0ec2) | (0xfd20, 0x00ce)) || y == 0xa9fe)
}

/// Which addresses of a target are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// IPv4 first, then IPv6.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    fn has(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Both loopback addresses.
    Here,
    Ip(IpAddr),
    /// Resolved by the host, each time.
    Name(Box<str>),
}

/// One service that a host offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    name: TargetName,
    place: Place,
    port: u16,
    family: Family,
    reach: Class,
}

/// Why something cannot be offered. The host's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// It is no port, address and port, or name and port.
    #[error("not a target, such as 25565, 127.0.0.1:8080 or web=localhost:8080")]
    Syntax,
    /// The host ends with a number and is no plain address. Resolvers read
    /// `0x7f000001`, `0177.0.0.1`, `2130706433` and `127.1` as addresses.
    #[error("an IPv4 address is written as four decimal numbers, such as 127.0.0.1")]
    Numeric,
    /// A name has letters that it may not have, or too many.
    #[error("name of a target has 1 to 32 of a-z, 0-9, `.`, `_` and `-`")]
    Name,
    /// An address of the local network is offered only under a name, so that nobody
    /// offers it by mistake.
    #[error("address of the local network has to be named, as in nas=192.168.1.5:80")]
    LanUnnamed,
    /// The same for a link-local address: most often it is that of a service that has
    /// the credentials of the machine.
    #[error(
        "link-local address has to be named, as in metadata=169.254.169.254:80: clouds give out \
         the credentials of a machine at some of them"
    )]
    LinkLocalUnnamed,
    /// The address is neither of this machine nor of the local network.
    #[error("only this machine and the local network can be offered")]
    Elsewhere,
    /// The address is not of the family that was asked for.
    #[error("address of the other IP version than asked for")]
    Family,
    /// Two targets have the same name.
    #[error("two targets have the same name")]
    Twice,
    /// There are more than [`MAX_TARGETS`], or none.
    #[error("1 to {MAX_TARGETS} targets can be offered")]
    Number,
}

impl Target {
    /// Returns its name: as given, or its port.
    pub fn name(&self) -> &TargetName {
        &self.name
    }

    /// Returns whether it is a link-local address: its clients reach what clouds give
    /// to their machines alone.
    pub fn is_link_local(&self) -> bool {
        self.reach == Class::LinkLocal
    }

    /// Lets a name stand for addresses of the local network, too, link-local ones
    /// excepted. Without, it may stand for this machine only, whatever its name
    /// server says.
    #[must_use]
    pub fn allow_lan(mut self) -> Self {
        self.reach = self.reach.max(Class::Lan);
        self
    }

    /// Uses addresses of one family only.
    ///
    /// # Errors
    ///
    /// [`TargetError::Family`] when it is an address of the other one.
    pub fn with_family(mut self, family: Family) -> Result<Self, TargetError> {
        if let Place::Ip(address) = self.place
            && !family.has(address)
        {
            return Err(TargetError::Family);
        }
        self.family = family;
        Ok(self)
    }

    /// Returns the name to look up, if the target has one.
    pub(crate) fn lookup(&self) -> Option<(&str, u16)> {
        match &self.place {
            Place::Name(name) => Some((name, self.port)),
            Place::Here | Place::Ip(_) => None,
        }
    }

    /// Returns the addresses to try in turn: of `found` for a name, else its own.
    /// What the rules forbid is not among them.
    pub(crate) fn permitted(&self, found: impl IntoIterator<Item = IpAddr>) -> Vec<SocketAddr> {
        let candidates: Vec<IpAddr> = match &self.place {
            Place::Here => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Place::Ip(address) => vec![*address],
            Place::Name(_) => found.into_iter().map(|a| a.to_canonical()).collect(),
        };
        let mut permitted: Vec<_> = candidates
            .into_iter()
            .filter(|address| self.family.has(*address) && Class::of(*address) <= self.reach)
            .map(|address| SocketAddr::new(address, self.port))
            .collect();
        permitted.sort_by_key(SocketAddr::is_ipv6);
        permitted.dedup();
        permitted.truncate(MAX_ADDRESSES);
        permitted
    }
}

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

impl FromStr for Target {
    type Err = TargetError;

    /// Reads `[name=]port`, `[name=]address:port` or `[name=]host:port`.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (name, place) = match text.split_once('=') {
            Some((name, place)) => (Some(name.parse::<TargetName>()?), place),
            None => (None, text),
        };
        let (place, port) = place_and_port(place)?;
        let reach = match &place {
            Place::Here | Place::Name(_) => Class::Loopback,
            Place::Ip(address) => match Class::of(*address) {
                Class::Elsewhere => return Err(TargetError::Elsewhere),
                Class::Lan if name.is_none() => return Err(TargetError::LanUnnamed),
                Class::LinkLocal if name.is_none() => {
                    return Err(TargetError::LinkLocalUnnamed);
                }
                class @ (Class::Loopback | Class::Lan | Class::LinkLocal) => class,
            },
        };
        let name = match name {
            Some(name) => name,
            None => port.to_string().parse()?,
        };
        Ok(Self {
            name,
            place,
            port,
            family: Family::Any,
            reach,
        })
    }
}

fn place_and_port(text: &str) -> Result<(Place, u16), TargetError> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        // A scope would be lost: an address is all that is kept.
        let is_scoped = matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0);
        return match address.port() {
            port @ 1.. if !is_scoped => Ok((Place::Ip(address.ip().to_canonical()), port)),
            _ => Err(TargetError::Syntax),
        };
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
    let is_number = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port = match port.parse() {
        Ok(port @ 1..) if is_number => port,
        Ok(_) | Err(_) => return Err(TargetError::Syntax),
    };
    let place = if host.eq_ignore_ascii_case("localhost") {
        Place::Here
    } else {
        Place::Name(host_name(host)?.into())
    };
    Ok((place, port))
}

/// Checks a name to be resolved. What resolvers take for an address is none.
fn host_name(host: &str) -> Result<&str, TargetError> {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if !(1..=253).contains(&host.len()) || !host.bytes().all(is_letter) {
        return Err(TargetError::Syntax);
    }
    // A dot at the end keeps resolvers from appending a domain.
    let labels = host.strip_suffix('.').unwrap_or(host).split('.');
    let mut last = "";
    for label in labels {
        if label.is_empty() {
            return Err(TargetError::Syntax);
        }
        last = label;
    }
    if is_numeric(last) {
        return Err(TargetError::Numeric);
    }
    Ok(host)
}

/// Returns whether a label is a decimal, octal or hexadecimal number. No domain
/// ends with one.
fn is_numeric(label: &str) -> bool {
    let hex = label
        .strip_prefix("0x")
        .or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => label.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// Everything that a host offers. What is not here is refused.
#[derive(Clone, Debug)]
pub struct Offer(Vec<Target>);

impl Offer {
    /// Collects targets; the first one is what a client gets that names none.
    ///
    /// # Errors
    ///
    /// [`TargetError::Twice`] and [`TargetError::Number`].
    pub fn new(targets: impl IntoIterator<Item = Target>) -> Result<Self, TargetError> {
        let targets: Vec<_> = targets.into_iter().collect();
        if !(1..=MAX_TARGETS).contains(&targets.len()) {
            return Err(TargetError::Number);
        }
        for (index, target) in targets.iter().enumerate() {
            if targets[..index].iter().any(|t| t.name == target.name) {
                return Err(TargetError::Twice);
            }
        }
        Ok(Self(targets))
    }

    /// Returns the names, in order.
    pub fn names(&self) -> Vec<TargetName> {
        self.0.iter().map(|target| target.name.clone()).collect()
    }

    /// Returns a target by its name, or the first one.
    pub(crate) fn find(&self, name: Option<&TargetName>) -> Option<&Target> {
        match name {
            Some(name) => self.0.iter().find(|target| target.name == *name),
            None => self.0.first(),
        }
    }
}

#[cfg(test)]
mod tests;
