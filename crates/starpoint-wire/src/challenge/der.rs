//! As much DER as two questions need: is this an ECDSA signature, and can this
//! RSA key be verified with.

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;

/// Most bytes of an integer in a signature of a 256-bit curve: 32 and a zero in
/// front when the highest bit is set.
const MAX_SCALAR_BYTES: usize = 33;

/// Smallest RSA modulus that can be verified with, in bytes: 2048 bits.
const MIN_RSA_MODULUS_BYTES: usize = 256;

/// Most bytes of an RSA exponent; 65537 has 3.
const MAX_RSA_EXPONENT_BYTES: usize = 4;

/// Returns whether `bytes` are a sequence of two positive integers and nothing
/// else, which is the form of a signature and says nothing of its truth.
pub(super) fn is_ecdsa_signature(bytes: &[u8]) -> bool {
    two_integers(bytes).is_some_and(|(r, s)| r.len().max(s.len()) <= MAX_SCALAR_BYTES)
}

/// Returns whether a PKCS #1 public key is of a size that can be verified with, and
/// not larger than given.
pub(super) fn is_usable_rsa_key(bytes: &[u8], max_modulus_bytes: usize) -> bool {
    let Some((modulus, exponent)) = two_integers(bytes) else {
        return false;
    };
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let is_odd = |integer: &[u8]| integer.last().is_some_and(|byte| byte & 1 == 1);
    (MIN_RSA_MODULUS_BYTES..=max_modulus_bytes).contains(&modulus.len())
        && is_odd(modulus)
        && exponent.len() <= MAX_RSA_EXPONENT_BYTES
        && is_odd(exponent)
        && exponent != [1]
}

fn two_integers(mut bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut content = value(SEQUENCE, &mut bytes)?;
    let first = positive_integer(&mut content)?;
    let second = positive_integer(&mut content)?;
    (bytes.is_empty() && content.is_empty()).then_some((first, second))
}

fn positive_integer<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let integer = value(INTEGER, bytes)?;
    match integer {
        [] | [0x80..=0xff, ..] | [0, 0..=0x7f, ..] => None,
        [..] => Some(integer),
    }
}

/// Takes a value with this tag off the front.
fn value<'a>(tag: u8, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let [found, rest @ ..] = *bytes else {
        return None;
    };
    let (length, rest) = length(rest)?;
    if *found != tag || length > rest.len() {
        return None;
    }
    let (value, rest) = rest.split_at(length);
    *bytes = rest;
    Some(value)
}

/// Takes a length in its shortest form, below 64 KiB, off the front.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [short @ 0..=0x7f, rest @ ..] => Some((usize::from(*short), rest)),
        [0x81, length @ 0x80..=0xff, rest @ ..] => Some((usize::from(*length), rest)),
        [0x82, high @ 1..=0xff, low, rest @ ..] => {
            Some((usize::from(u16::from_be_bytes([*high, *low])), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(integers: &[&[u8]]) -> Vec<u8> {
        let mut content = Vec::new();
        for integer in integers {
            content.extend([INTEGER, u8::try_from(integer.len()).unwrap()]);
            content.extend_from_slice(integer);
        }
        let mut der = vec![SEQUENCE, u8::try_from(content.len()).unwrap()];
        der.extend(content);
        der
    }

    #[test]
    fn signatures_are_two_positive_integers_in_shortest_form() {
        assert!(is_ecdsa_signature(&sequence(&[&[1], &[0, 0x80]])));
        let bad: [&[&[u8]]; 6] = [
            &[&[1]],
            &[&[1], &[1], &[1]],
            &[&[], &[1]],
            &[&[0x80], &[1]],
            &[&[0, 1], &[1]],
            &[&[1; 34], &[1]],
        ];
        for integers in bad {
            assert!(!is_ecdsa_signature(&sequence(integers)), "{integers:?}");
        }
        let good = sequence(&[&[1], &[2]]);
        for end in 0..good.len() {
            assert!(!is_ecdsa_signature(&good[..end]));
        }
        assert!(!is_ecdsa_signature(&[good, vec![0]].concat()));
    }

    #[test]
    fn lengths_have_their_shortest_form() {
        assert_eq!(length(&[0x7f]), Some((0x7f, &[][..])));
        assert_eq!(length(&[0x81, 0x80, 9]), Some((0x80, &[9][..])));
        assert_eq!(length(&[0x82, 1, 0]), Some((0x100, &[][..])));
        for bad in [
            &[][..],
            &[0x80],
            &[0x81, 0x7f],
            &[0x82, 0, 0xff],
            &[0x83, 1, 0, 0],
            &[0xff],
        ] {
            assert_eq!(length(bad), None, "{bad:?}");
        }
    }
}
