//! R-CHAL-1 to R-CHAL-4, against `spec/vectors/challenge.json`.

use std::collections::BTreeMap;

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER};
use libp2p_identity::{KeyType, Keypair, PeerId, PublicKey};
use proptest::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use starpoint_wire::{
    AddressRule, KeyError, Nonce, PeerAddress, Refusal, VerifyError,
    challenge::{decode_public_key, encode_public_key, key_belongs_to, sign, verify},
    limits::MAX_PROOF_BYTES,
};

#[derive(Deserialize)]
struct Vectors {
    identities: BTreeMap<String, Identity>,
    joins: Vec<Join>,
    refused_keys: Vec<RefusedKey>,
    other_keys: OtherKeys,
    unusable_keys: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Identity {
    r#type: String,
    id: String,
    public_key: String,
    private_key: String,
}

impl Identity {
    fn keypair(&self) -> Keypair {
        let bytes = BASE64.decode(self.private_key.as_bytes()).unwrap();
        Keypair::from_protobuf_encoding(&bytes).unwrap()
    }

    fn peer(&self) -> PeerId {
        self.id.parse().unwrap()
    }
}

/// A recorded join: whose, or at least with which key.
#[derive(Deserialize)]
struct Join {
    recorded_in: String,
    identity: Option<String>,
    public_key: Option<String>,
    address: String,
    nonce: String,
    signature: String,
    outcome: String,
}

#[derive(Deserialize)]
struct RefusedKey {
    address: String,
    proof: String,
    why: String,
}

#[derive(Deserialize)]
struct OtherKeys {
    ecdsa: OtherKey,
    #[serde(rename = "rsa-3072")]
    rsa_3072: OtherKey,
}

#[derive(Deserialize)]
struct OtherKey {
    public_key: String,
    private_key: Option<String>,
    nonce: String,
    signature: String,
}

fn vectors() -> Vectors {
    let json = include_str!("../../../spec/vectors/challenge.json");
    serde_json::from_str(json).unwrap()
}

/// Makes a nonce of recorded text, by way of the random bytes it shows.
fn nonce(text: &str) -> Nonce {
    let digits = text.replace('-', "");
    let random: [u8; 32] = HEXLOWER
        .decode(digits.as_bytes())
        .unwrap()
        .try_into()
        .unwrap();
    let nonce = Nonce::from_random(random);
    assert_eq!(nonce.as_str(), text);
    nonce
}

fn identity(kind: &str) -> (Keypair, Identity) {
    let identity = vectors().identities.remove(kind).unwrap();
    (identity.keypair(), identity)
}

fn ecdsa() -> Keypair {
    let private = vectors().other_keys.ecdsa.private_key.unwrap();
    Keypair::from_protobuf_encoding(&BASE64.decode(private.as_bytes()).unwrap()).unwrap()
}

/// One key of each kind.
fn keypairs() -> [Keypair; 4] {
    [
        identity("rsa-1").0,
        identity("ed25519-1").0,
        identity("secp256k1-1").0,
        ecdsa(),
    ]
}

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

    let hollow = "0800121430123 00d06092a864886f70d0101010500030100".replace(' ', "");
    assert!(decode_public_key(&hollow).is_err());
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
        let signature = sign(&pair, nonce.as_str()).unwrap();
        assert_eq!(sign(&pair, nonce.as_str()).unwrap(), signature);
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
        let good = sign(&pair, nonce.as_str()).unwrap();
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
        let wrong = sign(&pair, other.as_str()).unwrap();
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
        let signature = sign(&signer, nonce.as_str()).unwrap();
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

fn ed25519() -> impl Strategy<Value = Keypair> {
    any::<[u8; 32]>().prop_map(|secret| Keypair::ed25519_from_bytes(secret).unwrap())
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
