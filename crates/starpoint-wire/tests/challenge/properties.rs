//! What holds for every key, signature and text.

use data_encoding::{BASE64, HEXLOWER};
use libp2p_identity::{Keypair, PublicKey};
use proptest::prelude::*;
use starpoint_wire::{
    Nonce,
    challenge::{decode_public_key, encode_public_key, key_belongs_to, sign, verify},
};

use crate::vectors::keypairs;

fn ed25519() -> impl Strategy<Value = Keypair> {
    any::<[u8; 32]>()
        .prop_map(|secret| Keypair::ed25519_from_bytes(secret).expect("any 32 bytes will do"))
}

/// Keys as bytes that are nearly some.
fn key_bytes() -> impl Strategy<Value = Vec<u8>> {
    let keys: Vec<Vec<u8>> = keypairs()
        .iter()
        .map(|pair| pair.public().encode_protobuf())
        .collect();
    (
        prop::sample::select(keys),
        any::<prop::sample::Index>(),
        any::<u8>(),
    )
        .prop_map(|(mut key, at, with)| {
            let at = at.index(key.len());
            key[at] = with;
            key
        })
}

fn takes_or_refuses(text: &str) -> Option<PublicKey> {
    let key = decode_public_key(text).ok()?;
    let _ = verify(&key, &Nonce::from_random([1; 32]), text);
    let _ = key_belongs_to(&key, &key.to_peer_id());
    Some(key)
}

proptest! {
    #[test]
    fn any_text_is_a_key_or_refused(text in "\\PC{0,200}") {
        takes_or_refuses(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_keys_never_panic(bytes in key_bytes(), cut in any::<prop::sample::Index>()) {
        let text = HEXLOWER.encode(&bytes);
        if let Some(key) = takes_or_refuses(&text) {
            prop_assert_eq!(decode_public_key(&encode_public_key(&key)), Ok(key));
        }
        takes_or_refuses(&text[..cut.index(text.len())]);
        takes_or_refuses(&BASE64.encode(&bytes));
    }

    #[test]
    fn every_ed25519_key_round_trips_and_signs(pair in ed25519(), random in any::<[u8; 32]>()) {
        let nonce = Nonce::from_random(random);
        let key = decode_public_key(&encode_public_key(&pair.public())).unwrap();
        let signature = sign(&pair, nonce.as_str()).unwrap();
        prop_assert_eq!(verify(&key, &nonce, &signature), Ok(()));
    }

    #[test]
    fn a_damaged_signature_never_verifies(kind in 0usize..4, at in any::<prop::sample::Index>(), flip in 1u8..) {
        let pair = &keypairs()[kind];
        let nonce = Nonce::from_random([5; 32]);
        let mut signature = pair.sign(nonce.as_str().as_bytes()).unwrap();
        let at = at.index(signature.len());
        signature[at] ^= flip;
        prop_assert!(verify(&pair.public(), &nonce, &HEXLOWER.encode(&signature)).is_err());
    }
}
