//! What holds for every text, address or not.

use proptest::prelude::*;
use starpoint_wire::{PeerSpelling, StarAddress};

use crate::{ED25519_ID, RSA_ID, lax, strict};

/// A segment of an address: a protocol, a value, or nonsense.
fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "ip4",
            "ip6",
            "dns",
            "dns4",
            "dns6",
            "dnsaddr",
            "tcp",
            "udp",
            "ws",
            "wss",
            "tls",
            "p2p",
            "ipfs",
            "onion",
            "onion3",
            "p2p-circuit",
            "p2p-websocket-star",
            "p2p-webrtc-star",
            "127.0.0.1",
            "::1",
            "9090",
            "0",
            "65536",
            "star.example",
            "x-parity-ws",
            "certhash",
            "memory",
            "garlic32",
            "garlic64",
            "unix",
            "http-path",
            "",
            RSA_ID,
            ED25519_ID,
            "timaq4ygg2iegci7:1234",
            "ubsfiyyqqaaq",
            "%2f",
            "%ff",
        ])
        .prop_map(str::to_owned),
        "[1-9A-HJ-NP-Za-km-z]{1,60}",
        "\\PC{0,12}",
    ]
}

fn address() -> impl Strategy<Value = String> {
    prop::collection::vec(segment(), 0..9).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn star_text() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        "/ip4/[1-9]{1,2}\\.0\\.0\\.[1-9]/tcp/[1-9][0-9]{0,3}",
        "/ip6/[1-9a-f]{1,4}::[1-9a-f]{1,4}/tcp/[1-9][0-9]{0,3}",
        "/dns(4|6|addr)?/[a-z0-9]{1,20}(\\.[a-z]{1,10}){0,2}(/tcp/[1-9][0-9]{0,3})?",
    ];
    (
        host,
        "/(ws|wss|tls/ws)",
        "(/p2p-circuit)?",
        prop::sample::select(vec!["", "/p2p/", "/ipfs/"]),
    )
        .prop_map(|(host, ws, circuit, spelling)| {
            let peer = if spelling.is_empty() { "" } else { ED25519_ID };
            format!("{host}{ws}/p2p-websocket-star{circuit}{spelling}{peer}")
        })
}

/// What holds for every text, whoever wrote it.
fn check(text: &str) -> Result<(), TestCaseError> {
    if let Ok(address) = lax(text) {
        prop_assert_eq!(address.as_str(), text);
        for spelling in [PeerSpelling::Ipfs, PeerSpelling::P2p] {
            let respelled =
                lax(&address.spelled(spelling)).expect("one spelling parses if the other does");
            prop_assert_eq!(respelled.key(), address.key());
            prop_assert_eq!(respelled.peer(), address.peer());
            prop_assert_eq!(&respelled.spelled(spelling), respelled.as_str());
        }
        let _ = format!("{address} {address:?} {:?}", address.key());
    }
    prop_assert!(strict(text).is_err() || lax(text).is_ok());
    if let Ok(star) = text.parse::<StarAddress>() {
        prop_assert_eq!(
            &StarAddress::try_from(&star.to_multiaddr()).expect("it was one"),
            &star
        );
        prop_assert_eq!(
            &star
                .to_legacy_string()
                .parse::<StarAddress>()
                .expect("it was one"),
            &star
        );
        prop_assert!(strict(&star.to_legacy_string()).is_ok());
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused(text in "\\PC{0,80}") {
        check(&text)?;
    }

    #[test]
    fn addresses_of_any_protocols_parse_or_are_refused(text in address()) {
        check(&text)?;
    }

    #[test]
    fn star_addresses_round_trip(text in star_text()) {
        prop_assert!(text.parse::<StarAddress>().is_ok(), "{}", text);
        check(&text)?;
    }

    #[test]
    fn damage_never_panics(text in star_text(), at in any::<prop::sample::Index>(), with in any::<char>()) {
        let mut damaged: Vec<char> = text.chars().collect();
        let at = at.index(damaged.len());
        damaged[at] = with;
        check(&damaged.iter().collect::<String>())?;
        check(&damaged[..at].iter().collect::<String>())?;
    }
}
