//! Bodies of the fuzz targets `wire_*`.

use bytes::Bytes;

use crate::{
    AddressRule, ClientCall, PeerAddress, PeerSpelling, StarAddress,
    challenge::{decode_public_key, encode_public_key},
    limits::{MAX_ADDRESS_BYTES, MAX_DIAL_ID_BYTES, MAX_ERROR_TEXT_BYTES, MAX_PROOF_BYTES},
};

/// Parses the input as the address of a peer and of a star.
pub fn address(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let lax = PeerAddress::parse(text, AddressRule::AnyMultiaddr);
    let strict = PeerAddress::parse(text, AddressRule::StarOnly);
    assert!(strict.is_err() || lax.is_ok(), "the strict rule takes more");
    if let Ok(address) = lax {
        check_peer_address(&address, text);
    }
    if let Ok(star) = text.parse::<StarAddress>() {
        check_star_address(&star);
    }
}

fn check_peer_address(address: &PeerAddress, text: &str) {
    assert!(text.len() <= MAX_ADDRESS_BYTES);
    assert_eq!(address.as_str(), text);
    let _ = format!("{address} {address:?} {:?}", address.key());
    let told = address.spelled(PeerSpelling::P2p);
    let told =
        PeerAddress::parse(&told, AddressRule::AnyMultiaddr).expect("spelled anew it parses");
    assert_eq!((told.key(), told.peer()), (address.key(), address.peer()));
    if let Some(peer) = address.peer() {
        let old = address.spelled(PeerSpelling::Ipfs);
        assert!(old.ends_with(&format!("/ipfs/{peer}")), "{old}");
    }
}

fn check_star_address(star: &StarAddress) {
    let url = star.server_url();
    assert!(url.starts_with(if star.is_secure() { "wss://" } else { "ws://" }));
    assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{url}");
    let inside = StarAddress::try_from(&star.to_multiaddr());
    assert_eq!(inside.as_ref(), Ok(star));
    let legacy = star.to_legacy_string();
    assert_eq!(legacy.parse().as_ref(), Ok(star));
    assert!(
        PeerAddress::parse(&legacy, AddressRule::StarOnly).is_ok(),
        "{legacy}"
    );
}

/// Most bytes of a number that is written out, `-1e308` for one.
const MAX_NUMBER_BYTES: usize = 330;

/// Decodes the input as a call: the JSON part up to the first zero byte, and
/// behind it the attachments, with a zero byte between two of them.
pub fn packet(input: &[u8]) {
    let mut parts = input.split(|byte| *byte == 0);
    let Some(Ok(json)) = parts.next().map(std::str::from_utf8) else {
        return;
    };
    let attachments: Vec<Bytes> = parts.map(Bytes::copy_from_slice).collect();
    let Ok(call) = ClientCall::decode(json, &attachments) else {
        return;
    };
    assert!(
        call.weight() <= input.len() + MAX_NUMBER_BYTES,
        "a call outweighs its packet"
    );
    match call {
        ClientCall::Join {
            address: text,
            proof,
        } => {
            assert!(proof.len() <= MAX_PROOF_BYTES);
            address(text.as_bytes());
            if let Ok(key) = decode_public_key(&proof) {
                assert_eq!(decode_public_key(&encode_public_key(&key)), Ok(key));
            }
        }
        ClientCall::Leave { address: text } => address(text.as_bytes()),
        ClientCall::Dial { from, to, .. } => {
            address(from.as_bytes());
            address(to.as_bytes());
        }
        ClientCall::StreamAccept { stream } | ClientCall::StreamQueue { stream, .. } => {
            assert!((1..=MAX_DIAL_ID_BYTES).contains(&stream.dial.as_str().len()));
        }
        ClientCall::StreamError { end, .. } => {
            assert!(format!("{end:?}").len() <= 12 * MAX_ERROR_TEXT_BYTES + 16);
        }
        // Its fields are bounded by their decoders.
        ClientCall::Star(_) => {}
    }
}

#[cfg(test)]
#[path = "../replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn addresses_of_the_corpus_hold() {
        replay("wire_address", address);
    }

    #[test]
    fn packets_of_the_corpus_hold() {
        replay("wire_packet", packet);
    }
}
