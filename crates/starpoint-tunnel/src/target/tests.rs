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

#[test]
fn r_tunnel_12_addresses_have_classes() {
    use Class::{Elsewhere, Lan, Loopback};
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
        ("169.254.1.1", Lan),
        ("::ffff:192.168.1.1", Lan),
        ("fc00::1", Lan),
        ("fdff::1", Lan),
        ("fe80::1", Lan),
        ("0.0.0.0", Elsewhere),
        ("::", Elsewhere),
        ("1.1.1.1", Elsewhere),
        ("128.0.0.1", Elsewhere),
        ("172.15.0.1", Elsewhere),
        ("172.32.0.1", Elsewhere),
        ("192.169.0.1", Elsewhere),
        ("100.64.0.1", Elsewhere),
        ("224.0.0.1", Elsewhere),
        ("255.255.255.255", Elsewhere),
        ("::ffff:8.8.8.8", Elsewhere),
        ("2606:4700::1", Elsewhere),
        ("ff02::1", Elsewhere),
    ] {
        assert_eq!(Class::of(address.parse().unwrap()), class, "{address}");
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
        "a:b",
        "a:0",
        "300.1.1.1:80",
        "127.1:80",
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
