//! SHA-256 and HMAC-SHA-256.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::domain::{Domain, Purpose};

/// Returns the SHA-256 of `bytes`, without a domain.
///
/// For formats that fix it: peer ids, and hashes that are a field of something
/// signed. Anything else belongs into the table of [`Domain`].
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Returns the SHA-256 of a domain and `bytes`.
pub(crate) fn hash(domain: Domain, bytes: &[u8]) -> [u8; 32] {
    debug_assert_eq!(domain.purpose(), Purpose::Hash, "{domain:?} is for hashes");
    let hash = Sha256::new().chain_update(domain.bytes());
    hash.chain_update(bytes).finalize().into()
}

/// Returns the HMAC-SHA-256 of a domain and `parts`, whose lengths the caller has
/// to make unambiguous.
pub(crate) fn mac(domain: Domain, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    debug_assert_eq!(domain.purpose(), Purpose::Mac, "{domain:?} is for MACs");
    let mac = Hmac::<Sha256>::new_from_slice(key);
    let mut mac = mac.expect("a key of any length will do");
    mac.update(domain.bytes());
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// The first example of FIPS 180.
    #[test]
    fn sha256_is_the_standard_one() {
        assert_eq!(
            HEXLOWER.encode(&sha256(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
