//! Bodies of the fuzz targets `tunnel_*`.

use std::net::IpAddr;

use crate::{
    Target,
    target::{Class, MAX_TARGETS},
    wire::{Frame, LENGTH_BYTES, MAX_FRAME_BYTES},
};

/// Reads the input as frames behind their lengths, as a stream has them.
pub fn wire(input: &[u8]) {
    let mut rest = input;
    while let Some((prefix, tail)) = rest.split_first_chunk::<LENGTH_BYTES>() {
        let Ok(length) = Frame::length(*prefix) else {
            return;
        };
        assert!((1..=MAX_FRAME_BYTES).contains(&length));
        let Some((body, tail)) = tail.split_at_checked(length) else {
            return;
        };
        rest = tail;
        let Ok(frame) = Frame::decode(body) else {
            return;
        };
        let encoded = frame.encode();
        assert_eq!(&encoded[..LENGTH_BYTES], prefix);
        assert_eq!(&encoded[LENGTH_BYTES..], body, "two spellings of {frame:?}");
        if let Frame::Open { targets } = frame {
            assert!(targets.len() <= MAX_TARGETS);
        }
    }
}

/// Reads the first line of the input as a target, and the others as what its name
/// stands for.
pub fn target(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let mut lines = text.lines();
    let Ok(target) = lines.next().unwrap_or_default().parse::<Target>() else {
        return;
    };
    assert!((1..=32).contains(&target.name().as_str().len()));
    let found: Vec<IpAddr> = lines.filter_map(|line| line.parse().ok()).collect();
    let lookup = target.lookup().map(|(host, _)| host.to_owned());
    if let Some(host) = &lookup {
        let last = host.trim_end_matches('.').rsplit('.').next();
        let is_number = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
        assert!(!last.is_some_and(is_number), "{host} is a number");
        assert!(host.parse::<IpAddr>().is_err(), "{host} is an address");
    }
    for (target, most) in [
        (target.clone(), Class::Loopback),
        (target.allow_lan(), Class::Lan),
    ] {
        for address in target.permitted(found.iter().copied()) {
            assert!(address.port() > 0);
            let class = Class::of(address.ip());
            assert!(class < Class::Elsewhere, "{address}");
            if lookup.is_some() {
                assert!(class <= most, "{address}");
                assert!(found.iter().any(|ip| ip.to_canonical() == address.ip()));
            }
        }
    }
}

#[cfg(test)]
#[path = "../replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn frames_of_the_corpus_hold() {
        replay("tunnel_wire", super::wire);
    }

    #[test]
    fn targets_of_the_corpus_hold() {
        replay("tunnel_target", super::target);
    }
}
