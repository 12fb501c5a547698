//! Nonces, keys, and whom keys belong to.

use data_encoding::{BASE64, BASE64_NOPAD};
use libp2p_identity::{KeyType, Keypair, PeerId};
use sha2::{Digest, Sha256};
use starpoint_wire::{
    AddressRule, KeyError, Nonce, PeerAddress, Refusal,
    challenge::{decode_public_key, encode_public_key, key_belongs_to},
    limits::MAX_PROOF_BYTES,
};

use crate::vectors::{identity, keypairs, nonce, vectors};

#[test]
fn r_chal_1_a_nonce_is_two_version_4_uuids() {
    for (random, text) in [
        (
            [0x00; 32],
            "00000000-0000-4000-8000-00000000000000000000-0000-4000-8000-000000000000",
        ),
        (
            [0xff; 32],
            "ffffffff-ffff-4fff-bfff-ffffffffffffffffffff-ffff-4fff-bfff-ffffffffffff",
        ),
    ] {
        assert_eq!(Nonce::from_random(random).as_str(), text);
        assert_eq!(text.len(), 72);
    }
}

#[test]
fn r_chal_1_recorded_nonces_have_the_form() {
    let joins = vectors().joins;
    assert!(joins.len() >= 12);
    for join in joins {
        nonce(&join.nonce);
    }
}

#[test]
fn r_chal_1_debug_hides_the_nonce() {
    let nonce = Nonce::from_random([7; 32]);
    assert_eq!(format!("{nonce:?}"), "Nonce(..)");
    assert_eq!(nonce.clone(), nonce);
    assert_ne!(nonce, Nonce::from_random([8; 32]));
}

#[test]
fn r_chal_2_keys_are_taken_in_hex_and_in_base64() {
    for (name, identity) in vectors().identities {
        let key = identity.keypair().public();
        let bytes = key.encode_protobuf();
        assert_eq!(encode_public_key(&key), identity.public_key, "{name}");
        for text in [
            identity.public_key.clone(),
            identity.public_key.to_uppercase(),
            BASE64.encode(&bytes),
            BASE64_NOPAD.encode(&bytes),
        ] {
            assert_eq!(
                decode_public_key(&text).as_ref(),
                Ok(&key),
                "{name}: {text}"
            );
        }
    }
}

#[test]
fn r_chal_2_keys_of_all_four_kinds_are_taken() {
    for pair in keypairs() {
        let key = pair.public();
        assert_eq!(decode_public_key(&encode_public_key(&key)), Ok(key));
    }
    let vectors = vectors();
    for (name, identity) in &vectors.identities {
        let kind = decode_public_key(&identity.public_key).unwrap().key_type();
        assert_eq!(kind.to_string().to_lowercase(), identity.r#type, "{name}");
    }
    let ecdsa = decode_public_key(&vectors.other_keys.ecdsa.public_key).unwrap();
    assert_eq!(ecdsa.key_type(), KeyType::Ecdsa);
}

#[test]
fn r_chal_2_hex_ends_where_the_original_stops_reading() {
    let (pair, identity) = identity("ed25519-1");
    for tail in ["zz", "0", " ", "z", "é"] {
        let text = format!("{}{tail}", identity.public_key);
        assert_eq!(decode_public_key(&text), Ok(pair.public()), "{tail}");
    }
}

#[test]
fn r_chal_2_what_is_no_key_is_refused() {
    let (_, identity) = identity("ed25519-1");
    let short = &identity.public_key[..identity.public_key.len() - 2];
    for text in [
        "",
        "zz",
        "0801",
        "CAES",
        "====",
        "😀",
        short,
        "08051200",
        "0801122000",
    ] {
        assert_eq!(decode_public_key(text), Err(KeyError::Malformed), "{text}");
    }
    let long = "0".repeat(MAX_PROOF_BYTES + 1);
    assert_eq!(decode_public_key(&long), Err(KeyError::TooLong));
    assert_eq!(Refusal::from(KeyError::Malformed), Refusal::InvalidKey);
}

#[test]
fn r_chal_2_keys_that_cannot_be_verified_with_are_refused() {
    let unusable = vectors().unusable_keys;
    let refused = |name: &str| decode_public_key(&unusable[name]).unwrap_err();
    assert_eq!(refused("rsa-1024"), KeyError::UnusableRsa);
    assert_eq!(refused("rsa-pss"), KeyError::Malformed);
    assert_eq!(refused("ecdsa-p384"), KeyError::Malformed);

    let (_, identity) = identity("rsa-1");
    let hollow = identity.public_key.replacen("003082010a", "003182010a", 1);
    assert_ne!(hollow, identity.public_key);
    assert_eq!(decode_public_key(&hollow), Err(KeyError::UnusableRsa));
}

#[test]
fn r_chal_3_a_key_belongs_to_the_id_of_either_derivation() {
    for pair in keypairs() {
        let key = pair.public();
        let mut hashed = vec![0x12, 32];
        hashed.extend_from_slice(&Sha256::digest(key.encode_protobuf()));
        let hashed = PeerId::from_bytes(&hashed).unwrap();
        assert!(hashed.to_base58().starts_with("Qm"));
        assert!(key_belongs_to(&key, &hashed));
        assert!(key_belongs_to(&key, &key.to_peer_id()));
        for other in keypairs()
            .iter()
            .map(Keypair::public)
            .filter(|other| *other != key)
        {
            assert!(!key_belongs_to(&other, &hashed));
            assert!(!key_belongs_to(&other, &key.to_peer_id()));
        }
    }
    let (pair, _) = identity("ed25519-1");
    assert!(
        pair.public()
            .to_peer_id()
            .to_base58()
            .starts_with("12D3KooW")
    );
}

#[test]
fn r_chal_3_a_part_of_the_hash_is_not_enough() {
    let (pair, _) = identity("ed25519-1");
    let key = pair.public();
    let hash = Sha256::digest(key.encode_protobuf());
    for kept in [0u8, 1, 31] {
        let mut cut = vec![0x12, kept];
        cut.extend_from_slice(&hash[..usize::from(kept)]);
        if let Ok(peer) = PeerId::from_bytes(&cut) {
            assert!(!key_belongs_to(&key, &peer), "{kept}");
        }
    }
}

#[test]
fn r_chal_3_recorded_ids_belong_to_their_keys() {
    let vectors = vectors();
    for (name, identity) in &vectors.identities {
        let key = decode_public_key(&identity.public_key).unwrap();
        assert!(key_belongs_to(&key, &identity.peer()), "{name}");
    }
    for refused in &vectors.refused_keys {
        let address = PeerAddress::parse(&refused.address, AddressRule::StarOnly).unwrap();
        let key = decode_public_key(&refused.proof);
        let belongs = key.map(|key| key_belongs_to(&key, &address.peer().unwrap()));
        let expected = match refused.why.as_str() {
            "no key" => Err(KeyError::Malformed),
            "key of somebody else" => Ok(false),
            "the original finds no id behind /p2p/; ours joins" => Ok(true),
            other => panic!("unknown reason {other}"),
        };
        assert_eq!(belongs, expected, "{}", refused.why);
    }
}
