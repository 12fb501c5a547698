//! Signatures over nonces.

use std::collections::BTreeMap;

use libp2p_identity::{KeyType, Keypair};
use starpoint_wire::{
    AddressRule, Nonce, PeerAddress, Refusal, VerifyError,
    challenge::{decode_public_key, key_belongs_to, sign, verify},
};

use crate::vectors::{OtherKeys, identity, keypairs, nonce, vectors};

#[test]
fn r_chal_4_recorded_joins_verify_as_they_did() {
    let vectors = vectors();
    let mut outcomes = BTreeMap::<&str, usize>::new();
    for join in &vectors.joins {
        let text = match (&join.identity, &join.public_key) {
            (Some(name), None) => &vectors.identities[name].public_key,
            (None, Some(text)) => text,
            (Some(_), Some(_)) | (None, None) => panic!("{}: whose key?", join.recorded_in),
        };
        let key = decode_public_key(text).unwrap();
        let address = PeerAddress::parse(&join.address, AddressRule::StarOnly).unwrap();
        assert!(
            key_belongs_to(&key, &address.peer().unwrap()),
            "{}",
            join.recorded_in
        );
        let outcome = match verify(&key, &nonce(&join.nonce), &join.signature) {
            Ok(()) => "joined",
            Err(error) => Refusal::from(error).text(),
        };
        assert_eq!(outcome, join.outcome, "{}", join.recorded_in);
        *outcomes.entry(outcome).or_default() += 1;
    }
    assert_eq!(
        outcomes,
        [
            ("Crypto error", 1),
            ("Signature Invalid", 1),
            ("joined", 10)
        ]
        .into()
    );
}

#[test]
fn r_chal_4_recorded_signatures_are_made_again_byte_for_byte() {
    let vectors = vectors();
    let mut kinds = BTreeMap::<&str, usize>::new();
    for join in vectors.joins.iter().filter(|join| join.outcome == "joined") {
        let Some(identity) = join.identity.as_ref().map(|name| &vectors.identities[name]) else {
            continue;
        };
        let signature = sign(&identity.keypair(), &join.nonce).unwrap();
        assert_eq!(signature, join.signature, "{}", join.recorded_in);
        *kinds.entry(&identity.r#type).or_default() += 1;
    }
    assert_eq!(kinds, [("ed25519", 1), ("rsa", 6), ("secp256k1", 1)].into());
}

#[test]
fn r_chal_4_signatures_of_another_library_verify() {
    let OtherKeys { ecdsa, rsa_3072 } = vectors().other_keys;
    for key in [ecdsa, rsa_3072] {
        let public = decode_public_key(&key.public_key).unwrap();
        assert_eq!(verify(&public, &nonce(&key.nonce), &key.signature), Ok(()));
        let other = Nonce::from_random([9; 32]);
        assert_eq!(
            verify(&public, &other, &key.signature),
            Err(VerifyError::Invalid)
        );
    }
}

#[test]
fn r_chal_4_signatures_are_the_same_every_time() {
    let nonce = Nonce::from_random([3; 32]);
    for pair in keypairs() {
        let signature = sign(pair, nonce.as_str()).unwrap();
        assert_eq!(sign(pair, nonce.as_str()).unwrap(), signature);
        assert_eq!(verify(&pair.public(), &nonce, &signature), Ok(()));
        assert_eq!(
            verify(&pair.public(), &nonce, &signature.to_uppercase()),
            Ok(())
        );
    }
}

#[test]
fn r_chal_4_a_signature_without_the_form_of_one_is_malformed() {
    let nonce = Nonce::from_random([3; 32]);
    for pair in keypairs() {
        let key = pair.public();
        let good = sign(pair, nonce.as_str()).unwrap();
        let expected = match key.key_type() {
            KeyType::RSA => VerifyError::Invalid,
            KeyType::Ed25519 | KeyType::Secp256k1 | KeyType::Ecdsa => VerifyError::Malformed,
        };
        for bad in [
            "",
            "abcd",
            "zz",
            &good[2..],
            &format!("{good}00"),
            &format!("zz{good}"),
        ] {
            assert_eq!(
                verify(&key, &nonce, bad),
                Err(expected),
                "{}: {bad}",
                key.key_type()
            );
        }
    }
    assert_eq!(Refusal::from(VerifyError::Malformed).text(), "Crypto error");
    assert_eq!(
        Refusal::from(VerifyError::Invalid).text(),
        "Signature Invalid"
    );
}

#[test]
fn r_chal_4_a_well_formed_wrong_signature_is_invalid() {
    let nonce = Nonce::from_random([3; 32]);
    let other = Nonce::from_random([4; 32]);
    for pair in keypairs() {
        let wrong = sign(pair, other.as_str()).unwrap();
        let key = pair.public();
        assert_eq!(
            verify(&key, &nonce, &wrong),
            Err(VerifyError::Invalid),
            "{}",
            key.key_type()
        );
    }
    let ed25519 = keypairs()[1].public();
    assert_eq!(
        verify(&ed25519, &nonce, &"00".repeat(64)),
        Err(VerifyError::Invalid)
    );
    let secp256k1 = keypairs()[2].public();
    assert_eq!(
        verify(&secp256k1, &nonce, "3006020101020101"),
        Err(VerifyError::Invalid)
    );
    let beyond_the_order = format!("30260221{}{}020101", "00", "ff".repeat(32));
    assert_eq!(
        verify(&secp256k1, &nonce, &beyond_the_order),
        Err(VerifyError::Invalid)
    );
}

#[test]
fn r_chal_4_a_key_verifies_nothing_of_another() {
    let nonce = Nonce::from_random([3; 32]);
    for signer in keypairs() {
        let signature = sign(signer, nonce.as_str()).unwrap();
        for key in keypairs()
            .iter()
            .map(Keypair::public)
            .filter(|key| *key != signer.public())
        {
            assert!(verify(&key, &nonce, &signature).is_err());
        }
    }
    let (_, rsa_2) = identity("rsa-2");
    let signature = sign(&rsa_2.keypair(), nonce.as_str()).unwrap();
    let (rsa_1, _) = identity("rsa-1");
    assert_eq!(
        verify(&rsa_1.public(), &nonce, &signature),
        Err(VerifyError::Invalid)
    );
}
