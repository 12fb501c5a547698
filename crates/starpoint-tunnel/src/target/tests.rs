use super::*;

fn target(text: &str) -> Target {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn addresses(target: &Target, found: &[&str]) -> Vec<String> {
    let found = found.iter().map(|ip| ip.parse().unwrap());
    let permitted = target.permitted(found);
    permitted.iter().map(ToString::to_string).collect()
}

#[test]
fn a_port_alone_is_this_machine_in_either_version() {
    for text in ["25565", "localhost:25565", "LocalHost:25565"] {
        let target = target(text);
        assert_eq!(target.name().as_str(), "25565");
        assert_eq!(addresses(&target, &[]), ["127.0.0.1:25565", "[::1]:25565"]);
        let v4 = target.clone().with_family(Family::V4).unwrap();
        assert_eq!(addresses(&v4, &[]), ["127.0.0.1:25565"]);
        let v6 = target.with_family(Family::V6).unwrap();
        assert_eq!(addresses(&v6, &[]), ["[::1]:25565"]);
    }
}

#[test]
fn an_address_is_taken_as_it_is() {
    assert_eq!(addresses(&target("127.0.0.1:80"), &[]), ["127.0.0.1:80"]);
    assert_eq!(addresses(&target("[::1]:80"), &[]), ["[::1]:80"]);
    let named = target("web=127.9.9.9:80");
    assert_eq!(named.name().as_str(), "web");
    assert_eq!(addresses(&named, &[]), ["127.9.9.9:80"]);
    assert_eq!(named.with_family(Family::V6), Err(TargetError::Family));
}

/// Every spelling of the addresses where credentials are handed out.
const METADATA: [&str; 14] = [
    "169.254.169.254",
    "169.254.0.0",
    "169.254.170.2",
    "169.254.255.255",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "febf:ffff::1",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd00:0ec2:0:0:0:0:0:254",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
];

/// IPv4 addresses of this machine, the local network and the link within IPv6
/// ones, other than mapped: compatible, NAT64 by both prefixes, 6to4, Teredo,
/// translated.
const WITHIN: [&str; 13] = [
    "::169.254.169.254",
    "::127.0.0.1",
    "::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::127.0.0.1",
    "64:ff9b::192.168.1.5",
    "64:ff9b:1::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "2002:7f00:1::",
    "2002:c0a8:105::1",
    "2001:0:a9fe:a9fe::1",
    "::ffff:0:169.254.169.254",
    "::ffff:0:127.0.0.1",
];

/// Addresses that stand for no machine, or for several.
const NOBODY: [&str; 9] = [
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "::ffff:0.0.0.0",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "ff02::1",
    "ff05::2",
];

#[test]
fn r_tunnel_12_addresses_have_classes() {
    use Class::{Elsewhere, Lan, LinkLocal, Loopback};
    let of = |address: &str| Class::of(address.parse().unwrap());
    for (address, class) in [
        ("127.0.0.1", Loopback),
        ("127.255.255.254", Loopback),
        ("::1", Loopback),
        ("::ffff:127.0.0.1", Loopback),
        ("10.0.0.1", Lan),
        ("10.255.255.255", Lan),
        ("172.16.0.1", Lan),
        ("172.31.255.255", Lan),
        ("192.168.1.1", Lan),
        ("::ffff:192.168.1.1", Lan),
        ("fc00::1", Lan),
        ("fdff::1", Lan),
        ("fd00:ec3::254", Lan),
        ("fec0::1", Elsewhere),
        ("169.253.255.255", Elsewhere),
        ("169.255.0.0", Elsewhere),
        ("1.1.1.1", Elsewhere),
        ("128.0.0.1", Elsewhere),
        ("172.15.0.1", Elsewhere),
        ("172.32.0.1", Elsewhere),
        ("192.169.0.1", Elsewhere),
        ("100.64.0.1", Elsewhere),
        ("100.100.100.200", Elsewhere),
        ("168.63.129.16", Elsewhere),
        ("::ffff:8.8.8.8", Elsewhere),
        ("2606:4700::1", Elsewhere),
    ] {
        assert_eq!(of(address), class, "{address}");
    }
    for address in METADATA {
        assert_eq!(of(address), LinkLocal, "{address}");
    }
    for address in WITHIN.into_iter().chain(NOBODY) {
        assert_eq!(of(address), Elsewhere, "{address}");
    }
}

#[test]
fn r_tunnel_17_a_link_local_address_is_reached_only_if_it_is_offered_itself() {
    for address in METADATA {
        let ip: IpAddr = address.parse().unwrap();
        let socket = SocketAddr::new(ip, 80);
        // Not by mistake, and not as a part of the local network.
        let unnamed = socket.to_string().parse::<Target>();
        assert_eq!(unnamed, Err(TargetError::LinkLocalUnnamed), "{address}");
        for name in ["meta.example", "localhost.", "x"] {
            let named = target(&format!("db={name}:80"));
            assert!(addresses(&named, &[address]).is_empty(), "{address}");
            let named = named.allow_lan();
            assert!(addresses(&named, &[address]).is_empty(), "{address}");
            let among = addresses(&named, &[address, "192.168.1.5", address]);
            assert_eq!(among, ["192.168.1.5:80"], "{address}");
        }
        let exact = target(&format!("meta={socket}"));
        let itself = SocketAddr::new(ip.to_canonical(), 80).to_string();
        assert_eq!(addresses(&exact, &[]), std::slice::from_ref(&itself));
        assert_eq!(addresses(&exact.allow_lan(), &["10.0.0.1"]), [itself]);
    }
}

#[test]
fn r_tunnel_17_an_address_within_another_one_is_never_reached() {
    for address in WITHIN.into_iter().chain(NOBODY) {
        let socket = SocketAddr::new(address.parse().unwrap(), 80);
        for text in [socket.to_string(), format!("x={socket}")] {
            assert_eq!(text.parse::<Target>(), Err(TargetError::Elsewhere));
        }
        let named = target("db=db.example:80").allow_lan();
        assert!(addresses(&named, &[address]).is_empty(), "{address}");
    }
}

#[test]
fn r_tunnel_18_a_number_is_no_name() {
    for host in [
        "0x7f000001",
        "0X7F000001",
        "0x7f.0.0.1",
        "0x7f.1",
        "127.0.0x1",
        "0x",
        "0177.0.0.1",
        "0177.1",
        "017700000001",
        "127.0.0.01",
        "00127.0.0.1",
        "2130706433",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "0",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "127.1.",
        "0x7f000001.",
        "2130706433.",
        "256.0.0.1",
        "300.1.1.1",
        "1.2.3.4.5",
        "host.1",
        "host.0x1",
        "99999999999999999999",
    ] {
        for text in [format!("{host}:80"), format!("web={host}:80")] {
            assert_eq!(text.parse::<Target>(), Err(TargetError::Numeric), "{text}");
        }
    }
    // These have letters in their last part that no number has.
    for host in [
        "0x.example",
        "1.example",
        "0xg",
        "1and1",
        "127.0.0.1.example.",
        "a1",
        "0x7f-1",
    ] {
        assert_eq!(target(&format!("web={host}:80")).lookup(), Some((host, 80)));
    }
    for host in [
        ".",
        "..",
        ".a",
        "a..b",
        "a..",
        "127..1",
        "127.0.0.1..",
        "[127.1]",
        "0x7f:1",
    ] {
        let text = format!("web={host}:80");
        assert_eq!(text.parse::<Target>(), Err(TargetError::Syntax), "{text}");
    }
}

#[test]
fn r_tunnel_12_only_this_machine_and_the_named_network_can_be_offered() {
    let refused = |text: &str| text.parse::<Target>().unwrap_err();
    assert_eq!(refused("192.168.1.5:80"), TargetError::LanUnnamed);
    assert_eq!(
        addresses(&target("nas=192.168.1.5:80"), &[]),
        ["192.168.1.5:80"]
    );
    for text in [
        "1.1.1.1:80",
        "dns=1.1.1.1:80",
        "any=0.0.0.0:80",
        "any=[::]:80",
    ] {
        assert_eq!(refused(text), TargetError::Elsewhere, "{text}");
    }
}

#[test]
fn r_tunnel_12_a_name_stands_for_this_machine_only_unless_allowed() {
    let found = [
        "1.2.3.4",
        "192.168.1.5",
        "127.0.0.1",
        "::ffff:10.0.0.1",
        "::1",
    ];
    let db = target("db=db.example:5432");
    assert_eq!(db.lookup(), Some(("db.example", 5432)));
    assert_eq!(addresses(&db, &found), ["127.0.0.1:5432", "[::1]:5432"]);
    assert!(addresses(&db, &["192.168.1.5", "1.2.3.4"]).is_empty());
    let db = db.allow_lan();
    assert_eq!(
        addresses(&db, &found),
        [
            "192.168.1.5:5432",
            "127.0.0.1:5432",
            "10.0.0.1:5432",
            "[::1]:5432"
        ]
    );
    assert!(addresses(&db, &["1.2.3.4", "2606:4700::1"]).is_empty());
}

#[test]
fn what_is_no_target_is_refused() {
    for text in [
        "",
        ":",
        "0",
        "65536",
        "x",
        ":80",
        "127.0.0.1",
        "127.0.0.1:0",
        "[::1]:0",
        "[fe80::1%2]:80",
        "nas=[fe80::1%eth0]:80",
        "a:b",
        "a:0",
        "+80",
        "a:+80",
        "::1:80",
        "host name:80",
        "http://a:80",
        "a/b:80",
    ] {
        let error = text.parse::<Target>().unwrap_err();
        assert_eq!(error, TargetError::Syntax, "{text}");
    }
    for text in ["=80", "Web=80", "w b=80", "ü=80"] {
        assert_eq!(text.parse::<Target>(), Err(TargetError::Name), "{text}");
    }
    let long = format!("{}=80", "a".repeat(33));
    assert_eq!(long.parse::<Target>(), Err(TargetError::Name));
}

#[test]
fn r_tunnel_11_an_offer_has_what_is_in_it_and_nothing_else() {
    let offer = Offer::new([target("80"), target("web=8080")]).unwrap();
    let find = |name: &str| offer.find(Some(&name.parse().unwrap()));
    assert_eq!(offer.find(None), Some(&target("80")));
    assert_eq!(find("web"), Some(&target("web=8080")));
    assert_eq!(find("8080"), None);
    let twice = Offer::new([target("127.0.0.1:80"), target("[::1]:80")]);
    assert_eq!(twice.unwrap_err(), TargetError::Twice);
    assert_eq!(Offer::new([]).unwrap_err(), TargetError::Number);
    let many = (1..=33).map(|port| target(&port.to_string()));
    assert_eq!(Offer::new(many).unwrap_err(), TargetError::Number);
}
