//! What `spec/vectors/challenge.json` holds.

use std::{collections::BTreeMap, sync::LazyLock};

use data_encoding::{BASE64, HEXLOWER};
use libp2p_identity::{Keypair, PeerId};
use serde::Deserialize;
use starpoint_wire::Nonce;

#[derive(Deserialize)]
pub(crate) struct Vectors {
    pub(crate) identities: BTreeMap<String, Identity>,
    pub(crate) joins: Vec<Join>,
    pub(crate) refused_keys: Vec<RefusedKey>,
    pub(crate) other_keys: OtherKeys,
    pub(crate) unusable_keys: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(crate) struct Identity {
    pub(crate) r#type: String,
    pub(crate) id: String,
    pub(crate) public_key: String,
    pub(crate) private_key: String,
}

impl Identity {
    pub(crate) fn keypair(&self) -> Keypair {
        keypair(&self.private_key)
    }

    pub(crate) fn peer(&self) -> PeerId {
        self.id.parse().expect("a recorded id")
    }
}

/// Decodes a private key of the vectors.
fn keypair(base64: &str) -> Keypair {
    let bytes = BASE64.decode(base64.as_bytes()).expect("base64");
    Keypair::from_protobuf_encoding(&bytes).expect("a private key")
}

/// A recorded join: whose, or at least with which key.
#[derive(Deserialize)]
pub(crate) struct Join {
    pub(crate) recorded_in: String,
    pub(crate) identity: Option<String>,
    pub(crate) public_key: Option<String>,
    pub(crate) address: String,
    pub(crate) nonce: String,
    pub(crate) signature: String,
    pub(crate) outcome: String,
}

#[derive(Deserialize)]
pub(crate) struct RefusedKey {
    pub(crate) address: String,
    pub(crate) proof: String,
    pub(crate) why: String,
}

#[derive(Deserialize)]
pub(crate) struct OtherKeys {
    pub(crate) ecdsa: OtherKey,
    #[serde(rename = "rsa-3072")]
    pub(crate) rsa_3072: OtherKey,
}

#[derive(Deserialize)]
pub(crate) struct OtherKey {
    pub(crate) public_key: String,
    pub(crate) private_key: Option<String>,
    pub(crate) nonce: String,
    pub(crate) signature: String,
}

pub(crate) fn vectors() -> Vectors {
    let json = include_str!("../../../../spec/vectors/challenge.json");
    serde_json::from_str(json).expect("the vectors parse")
}

/// Makes a nonce of recorded text, by way of the random bytes it shows.
pub(crate) fn nonce(text: &str) -> Nonce {
    let digits = text.replace('-', "");
    let random = HEXLOWER.decode(digits.as_bytes()).expect("hex and dashes");
    let nonce = Nonce::from_random(random.try_into().expect("two UUIDs"));
    assert_eq!(nonce.as_str(), text);
    nonce
}

pub(crate) fn identity(name: &str) -> (Keypair, Identity) {
    let identity = vectors()
        .identities
        .remove(name)
        .expect("a name of the vectors");
    (identity.keypair(), identity)
}

pub(crate) fn ecdsa() -> Keypair {
    keypair(&vectors().other_keys.ecdsa.private_key.expect("it is there"))
}

/// One key of each kind.
pub(crate) fn keypairs() -> &'static [Keypair; 4] {
    static KEYPAIRS: LazyLock<[Keypair; 4]> = LazyLock::new(|| {
        [
            identity("rsa-1").0,
            identity("ed25519-1").0,
            identity("secp256k1-1").0,
            ecdsa(),
        ]
    });
    &KEYPAIRS
}
