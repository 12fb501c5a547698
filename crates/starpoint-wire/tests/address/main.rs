//! R-ADDR-1 to R-ADDR-5, against `spec/vectors/addresses.json`.

mod properties;

use std::collections::HashSet;

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use serde::Deserialize;
use starpoint_wire::{
    AddressError, AddressRule, PeerAddress, PeerSpelling, Refusal, StarAddress,
    limits::MAX_ADDRESS_BYTES,
};

const RSA_ID: &str = "QmddunsbaGtVNbNvv7cW6BpYbdBQpzGmL43v8C8tUxQMyD";
const ED25519_ID: &str = "12D3KooWFYnyvfYdewGvH7R23z6ayEbGRjgyABx85HSM2r9EJThA";
const STAR: &str = "/ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star";

#[derive(Deserialize)]
struct Vectors {
    filter: Vec<FilterCase>,
    addresses: Vec<AddressCase>,
}

#[derive(Deserialize)]
struct FilterCase {
    text: String,
    star: bool,
}

#[derive(Deserialize)]
struct AddressCase {
    text: String,
    original: Original,
    /// Why an address that the original takes is refused here.
    refused_here: Option<String>,
}

#[derive(Deserialize)]
struct Original {
    valid: bool,
    strict: bool,
}

fn vectors() -> Vectors {
    let json = include_str!("../../../../spec/vectors/addresses.json");
    serde_json::from_str(json).expect("the vectors parse")
}

fn lax(text: &str) -> Result<PeerAddress, AddressError> {
    PeerAddress::parse(text, AddressRule::AnyMultiaddr)
}

fn strict(text: &str) -> Result<PeerAddress, AddressError> {
    PeerAddress::parse(text, AddressRule::StarOnly)
}

fn star(text: &str) -> StarAddress {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn id(text: &str) -> PeerId {
    text.parse().expect("an id of these tests")
}

#[test]
fn r_addr_1_the_filter_takes_nine_of_the_twelve_recorded_cases() {
    let cases = vectors().filter;
    assert_eq!(cases.len(), 12);
    assert_eq!(cases.iter().filter(|case| case.star).count(), 9);
    for FilterCase { text, star } in cases {
        assert_eq!(strict(&text).is_ok(), star, "{text}");
        assert_eq!(text.parse::<StarAddress>().is_ok(), star, "{text}");
        assert!(lax(&text).is_ok(), "{text}");
    }
}

#[test]
fn r_addr_1_addresses_are_judged_as_by_the_original() {
    let cases = vectors().addresses;
    assert!(cases.len() > 90);
    for case in cases {
        let AddressCase { text, original, .. } = &case;
        if let Some(reason) = &case.refused_here {
            assert!(
                original.valid,
                "{text:?}: refused anyway, not for: {reason}"
            );
            assert!(lax(text).is_err(), "{text:?}: {reason}");
            assert!(strict(text).is_err(), "{text:?}: {reason}");
        } else {
            assert_eq!(lax(text).is_ok(), original.valid, "{text:?}");
            assert_eq!(strict(text).is_ok(), original.strict, "{text:?}");
        }
    }
}

#[test]
fn r_addr_1_errors_say_what_is_wrong_and_refuse_alike() {
    let cases = [
        ("", AddressError::Empty),
        ("/", AddressError::Empty),
        ("// ", AddressError::Empty),
        ("ip4/127.0.0.1", AddressError::Malformed),
        ("/ip4", AddressError::Malformed),
        ("/no-such-protocol", AddressError::Malformed),
        ("/memory/7", AddressError::Malformed),
        ("/dns6/a\u{feff}", AddressError::Malformed),
        ("/ip4/127.0.0.1/tcp/1", AddressError::NotStar),
        (
            "/ip4/127.0.0.1/ws/p2p-websocket-star",
            AddressError::NotStar,
        ),
    ];
    for (text, error) in cases {
        assert_eq!(strict(text).unwrap_err(), error, "{text:?}");
        assert_eq!(Refusal::from(error), Refusal::InvalidAddress);
    }
}

#[test]
fn r_addr_2_ipfs_and_p2p_name_the_same_peer() {
    let old = lax(&format!("{STAR}/ipfs/{RSA_ID}")).unwrap();
    let new = lax(&format!("{STAR}/p2p/{RSA_ID}")).unwrap();
    assert_eq!(old.key(), new.key());
    assert_ne!(old, new);
    assert_eq!(
        (old.peer(), new.peer()),
        (Some(id(RSA_ID)), Some(id(RSA_ID)))
    );
    assert_eq!(old.spelling(), PeerSpelling::Ipfs);
    assert_eq!(new.spelling(), PeerSpelling::P2p);
    assert_eq!(old.spelled(PeerSpelling::P2p), new.as_str());
    assert_eq!(new.spelled(PeerSpelling::Ipfs), old.as_str());
    assert_eq!(new.spelled(PeerSpelling::P2p), new.as_str());
    assert_eq!(lax(STAR).unwrap().spelling(), PeerSpelling::Ipfs);
    assert_ne!(lax(STAR).unwrap().key(), old.key());
}

#[test]
fn r_addr_2_spellings_of_one_address_have_one_key() {
    let plain = lax(&format!(
        "/ip6/2001:db8::1/tcp/9090/ws/p2p-websocket-star/p2p/{RSA_ID}"
    ))
    .unwrap();
    for text in [
        format!("/ip6/2001:DB8::1/tcp/9090/ws/p2p-websocket-star/ipfs/{RSA_ID}"),
        format!("/ip6/2001:db8:0:0:0:0:0:1/tcp/9090/ws/p2p-websocket-star/p2p/{RSA_ID}/"),
        format!("/ip6/2001:db8::1/tcp/09090/ws/p2p-websocket-star/p2p/{RSA_ID}"),
        format!("//ip6/2001:db8::1//tcp/9090/ws/p2p-websocket-star//p2p//{RSA_ID} "),
    ] {
        let other = lax(&text).unwrap();
        assert_eq!(other.key(), plain.key(), "{text}");
        assert_eq!(other.as_str(), text);
        assert_eq!(other.peer(), Some(id(RSA_ID)));
    }
}

#[test]
fn r_addr_2_only_the_name_in_front_of_an_id_is_respelled() {
    let text = format!("/dns4/ipfs/tcp/1/ws/p2p-websocket-star/ipfs/{RSA_ID}");
    let respelled = format!("/dns4/ipfs/tcp/1/ws/p2p-websocket-star/p2p/{RSA_ID}");
    assert_eq!(lax(&text).unwrap().spelled(PeerSpelling::P2p), respelled);
    let text = format!("/dns4/p2p/tcp/007/ws/p2p-websocket-star/p2p/{RSA_ID}/ipfs/{ED25519_ID}");
    let respelled =
        format!("/dns4/p2p/tcp/007/ws/p2p-websocket-star/ipfs/{RSA_ID}/ipfs/{ED25519_ID}");
    let address = lax(&text).unwrap();
    assert_eq!(address.spelled(PeerSpelling::Ipfs), respelled);
    assert_eq!(address.spelling(), PeerSpelling::Ipfs);
    assert_eq!(address.peer(), Some(id(ED25519_ID)));
}

#[test]
fn r_addr_2_what_others_are_told_ends_with_the_id() {
    for text in [
        format!("{STAR}/ipfs/{RSA_ID}/"),
        format!("{STAR}/ipfs/{RSA_ID} \n"),
        format!("{STAR}/ipfs/{RSA_ID}/ /").replace(' ', "/"),
        format!("/{STAR}/ipfs//{RSA_ID}"),
        format!("{STAR}//p2p/{RSA_ID}"),
    ] {
        let told = lax(&text).unwrap().spelled(PeerSpelling::Ipfs);
        assert_eq!(told, format!("{STAR}/ipfs/{RSA_ID}"), "{text:?}");
    }
}

#[test]
fn r_limit_1_an_address_has_at_most_1024_bytes() {
    let with_name = |bytes: usize| format!("/dns4/{}", "a".repeat(bytes - "/dns4/".len()));
    assert!(lax(&with_name(1024)).is_ok());
    assert_eq!(lax(&with_name(1025)).unwrap_err(), AddressError::TooLong);
}

#[test]
fn r_addr_3_long_addresses_are_refused_before_they_are_parsed() {
    let long = "a".repeat(MAX_ADDRESS_BYTES + 1);
    assert_eq!(lax(&long).unwrap_err(), AddressError::TooLong);
    assert_eq!(
        long.parse::<StarAddress>().unwrap_err(),
        AddressError::TooLong
    );
    let components = "/udt".repeat(20_000);
    assert_eq!(lax(&components).unwrap_err(), AddressError::TooLong);
}

#[test]
fn r_addr_4_the_server_url_has_a_scheme_and_no_default_port() {
    let cases = [
        ("/dns4/star.example/tcp/443/wss", "wss://star.example", 443),
        ("/dns4/star.example/tcp/80/wss", "wss://star.example:80", 80),
        ("/dns4/star.example/tcp/80/ws", "ws://star.example", 80),
        (
            "/dns4/star.example/tcp/443/ws",
            "ws://star.example:443",
            443,
        ),
        ("/dns/star.example/wss", "wss://star.example", 443),
        ("/dnsaddr/star.example/ws", "ws://star.example", 80),
        (
            "/dns6/star.example/tcp/443/tls/ws",
            "wss://star.example",
            443,
        ),
        ("/dns6/star.example/tls/ws", "wss://star.example", 443),
        ("/ip4/127.0.0.1/tcp/9090/ws", "ws://127.0.0.1:9090", 9090),
        ("/ip6/::1/tcp/9090/ws", "ws://[::1]:9090", 9090),
        ("/ip6/2001:DB8::1/tcp/443/wss", "wss://[2001:db8::1]", 443),
    ];
    for (transport, url, port) in cases {
        let star = star(&format!("{transport}/p2p-websocket-star"));
        assert_eq!(star.server_url(), url);
        assert_eq!(star.port(), port, "{transport}");
        assert_eq!(star.is_secure(), url.starts_with("wss:"), "{transport}");
    }
    assert_eq!(star(STAR).host(), "127.0.0.1");
    assert_eq!(star("/ip6/::1/tcp/1/ws/p2p-websocket-star").host(), "::1");
}

#[test]
fn r_addr_4_equal_addresses_lead_to_the_same_peer_at_the_same_server() {
    let with_port = star("/dns4/star.example/tcp/443/wss/p2p-websocket-star");
    let without = star("/dns4/star.example/wss/p2p-websocket-star");
    let tls = star("/dns4/star.example/tls/ws/p2p-websocket-star");
    assert_eq!(
        HashSet::from([with_port.clone(), without.clone(), tls]).len(),
        1
    );
    assert_eq!(
        without.to_legacy_string(),
        "/dns4/star.example/wss/p2p-websocket-star"
    );
    for other in [
        "/dns4/star.example/tcp/444/wss/p2p-websocket-star",
        "/dns4/star.example/tcp/443/ws/p2p-websocket-star",
        "/dns6/star.example/tcp/443/wss/p2p-websocket-star",
        "/dns4/star2.example/tcp/443/wss/p2p-websocket-star",
    ] {
        assert_ne!(star(other), with_port, "{other}");
    }
    assert_ne!(with_port.with_peer(id(RSA_ID)), with_port);
}

#[test]
fn r_addr_4_a_host_is_part_of_a_url() {
    let long_label = "a".repeat(64);
    let long_name = "a.".repeat(127) + "a";
    for host in [
        "a@b",
        "a:1",
        "a?b",
        "a#b",
        "a%2Fb",
        "😀",
        "a..b",
        ".",
        &long_label,
        &long_name,
    ] {
        let text = format!("/dns4/{host}/tcp/1/ws/p2p-websocket-star");
        assert_eq!(
            text.parse::<StarAddress>().unwrap_err(),
            AddressError::InvalidHost,
            "{host}"
        );
    }
    let spaced: Multiaddr = "/dns4/a b/ws/p2p-websocket-star".parse().unwrap();
    assert_eq!(
        StarAddress::try_from(&spaced).unwrap_err(),
        AddressError::InvalidHost
    );
    for host in [
        "localhost",
        "star.example.",
        "xn--e28h.example",
        "a_b.example",
        "1.2.3.4",
    ] {
        star(&format!("/dns4/{host}/tcp/1/ws/p2p-websocket-star"));
    }
}

#[test]
fn r_addr_4_what_is_not_a_star_is_no_star_address() {
    for text in [
        "/ip4/127.0.0.1/ws/p2p-websocket-star".to_owned(),
        "/ip4/127.0.0.1/tcp/1/p2p-websocket-star".to_owned(),
        "/ip4/127.0.0.1/tcp/1/ws".to_owned(),
        "/ip4/127.0.0.1/tcp/1/tls/wss/p2p-websocket-star".to_owned(),
        "/ip4/127.0.0.1/tcp/1/x-parity-ws/%2Fpath/p2p-websocket-star".to_owned(),
        format!("{STAR}/ws"),
        format!("{STAR}/p2p/{RSA_ID}/p2p/{RSA_ID}"),
        format!("/p2p/{RSA_ID}"),
    ] {
        assert_eq!(
            text.parse::<StarAddress>().unwrap_err(),
            AddressError::NotStar,
            "{text}"
        );
        let address: Multiaddr = text.parse().unwrap();
        assert_eq!(
            StarAddress::try_from(&address).unwrap_err(),
            AddressError::NotStar,
            "{text}"
        );
    }
    assert_eq!(
        StarAddress::try_from(&Multiaddr::empty()).unwrap_err(),
        AddressError::Empty
    );
}

#[test]
fn r_addr_5_the_circuit_form_names_the_same_peer() {
    let direct = star(&format!("{STAR}/p2p/{RSA_ID}"));
    let circuit = star(&format!("{STAR}/p2p-circuit/ipfs/{RSA_ID}"));
    assert_eq!(direct, circuit);
    assert_eq!(circuit.peer(), Some(id(RSA_ID)));
    assert_eq!(circuit.to_legacy_string(), format!("{STAR}/ipfs/{RSA_ID}"));
    assert_eq!(
        circuit.to_multiaddr().to_string(),
        format!("{STAR}/p2p/{RSA_ID}")
    );
    assert_eq!(star(&format!("{STAR}/p2p-circuit")), star(STAR));
    assert_eq!(circuit.without_peer(), star(STAR));
    assert_eq!(star(STAR).with_peer(id(RSA_ID)), direct);

    let joined = lax(&format!("{STAR}/p2p-circuit/p2p/{RSA_ID}")).unwrap();
    assert_eq!(joined.peer(), Some(id(RSA_ID)));
}

#[test]
fn r_addr_5_an_address_that_goes_on_behind_the_id_belongs_to_nobody() {
    let text = format!("{STAR}/p2p/{RSA_ID}/p2p-circuit");
    assert_eq!(
        text.parse::<StarAddress>().unwrap_err(),
        AddressError::NotStar
    );
    assert_eq!(lax(&text).unwrap().peer(), None);
    assert_eq!(lax(&format!("/p2p/{RSA_ID}/tcp/1")).unwrap().peer(), None);
    assert_eq!(lax(STAR).unwrap().peer(), None);
    let relayed = lax(&format!("{text}/ipfs/{ED25519_ID}")).unwrap();
    assert_eq!(relayed.peer(), Some(id(ED25519_ID)));
}
