use std::{sync::Arc, time::Duration};

use libp2p_identity::{Keypair, PeerId};
use proptest::prelude::*;

use super::*;
use crate::{CallKind, Refusal, RemoteRefusal};

fn token(fill: u8) -> PipeToken {
    PipeToken::from_random([fill; 32])
}

fn decode(call: &Call) -> crate::Call {
    let packet = call.encode();
    let inner = packet.args.strip_prefix('[').expect("an array");
    let comma = if inner == "]" { "" } else { "," };
    let json = format!("[\"{}\"{comma}{inner}", packet.name);
    crate::Call::decode(&json, &[]).expect("it is well formed")
}

fn keypair() -> Keypair {
    Keypair::ed25519_from_bytes([7; 32]).expect("32 bytes are a key")
}

fn peer(n: u8) -> PeerId {
    let keypair = Keypair::ed25519_from_bytes([n; 32]).expect("32 bytes are a key");
    keypair.public().to_peer_id()
}

fn host(text: &str) -> StarHost {
    StarHost::parse(text).expect("a host and a port")
}

fn nonce(fill: u8) -> ClientNonce {
    ClientNonce::from_random([fill; 16])
}

fn hello() -> Hello {
    let pattern = |text| HostPattern::parse(text).expect("a host");
    Hello {
        star: keypair().public().to_peer_id(),
        challenge: Nonce32([9; 32]),
        expires: 1_800_000_000,
        openness: Openness::Proven,
        grace: Duration::from_secs(15),
        hosts: vec![pattern("star.example"), pattern("[::1]:9090")],
    }
}

fn signed(hello: &Hello) -> String {
    hello
        .sign(&keypair(), &nonce(5))
        .expect("Ed25519 always signs")
        .encode()
}

#[test]
fn r_native_3_the_hello_is_frozen_and_reads_back() {
    let text = signed(&hello());
    let (unsigned, signature) = text.rsplit_once(",\"signature\":\"").unwrap();
    assert_eq!(
        unsigned,
        "[{\"v\":1,\"star\":\"12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7\",\
         \"challenge\":\"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=\",\
         \"expires\":1800000000,\"open\":false,\"grace_ms\":15000,\
         \"hosts\":[\"star.example\",\"[::1]:9090\"],\
         \"key\":\"CAESIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs\""
    );
    assert_eq!(signature.len(), 88 + "\"}]".len());
    let read = SignedHello::decode(&text).unwrap();
    assert_eq!(read.verify(&nonce(5)), Ok(&hello()));
    assert!(text.len() <= hello().weight(), "{}", text.len());
    for bad in [
        text.replace("\"v\":1", "\"v\":2"),
        text.replace("star.example", "star/example"),
        text.replace("\"[::1]:9090\"", &["\"a\""; MAX_HOSTS].join(",")),
        "[]".to_owned(),
        "[{}]".to_owned(),
    ] {
        assert_eq!(SignedHello::decode(&bad), None, "{bad}");
    }
}

#[test]
fn r_native_12_the_hello_is_signed_with_all_that_it_says_for_one_connection() {
    let bytes = hello().to_bytes(&nonce(5));
    assert!(bytes.starts_with(b"/starpoint/hello/1\x00\x26\x00\x24\x08\x01\x12\x20"));
    let hosts_len = 2 + 2 + "star.example".len() + 2 + "[::1]:9090".len();
    assert_eq!(bytes.len(), 18 + 2 + 38 + 16 + 32 + 8 + 1 + 8 + hosts_len);
    let vector = include_str!("../../../../spec/vectors/native-hello.hex");
    assert_eq!(data_encoding::HEXLOWER.encode(&bytes), vector.trim());
    let read = |text: &str| SignedHello::decode(text).expect("it can be read");
    let text = signed(&hello());
    let other_nonce = read(&text).verify(&nonce(6)).cloned();
    assert_eq!(other_nonce, Err(ProofError::Signature), "a replay");
    for (from, to) in [
        ("1800000000", "1800000001"),
        ("\"CQkJ", "\"CQkK"),
        ("\"open\":false", "\"open\":true"),
        ("15000", "15001"),
        ("star.example", "evil.example"),
        (",\"[::1]:9090\"", ""),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from} is there");
        let verified = read(&changed).verify(&nonce(5)).cloned();
        assert_eq!(verified, Err(ProofError::Signature), "{to}");
    }
    // The id of another star, and a key that is not the id's.
    let (own, other) = (hello().star.to_base58(), peer(1).to_base58());
    let verified = read(&text.replace(&own, &other)).verify(&nonce(5)).cloned();
    assert_eq!(verified, Err(ProofError::Key));
    let text = hello().sign(&stranger(), &nonce(5)).unwrap().encode();
    assert_eq!(read(&text).verify(&nonce(5)), Err(ProofError::Key));
}

#[test]
fn r_native_12_nonces_read_back() {
    assert_eq!(nonce(5).to_text(), "BQUFBQUFBQUFBQUFBQUFBQ");
    assert_eq!(ClientNonce::parse("BQUFBQUFBQUFBQUFBQUFBQ"), Some(nonce(5)));
    for bad in [
        "",
        "BQ",
        "BQUFBQUFBQUFBQUFBQUFBQUF",
        "BQUFBQUFBQUFBQUFBQUFB!",
    ] {
        assert_eq!(ClientNonce::parse(bad), None, "{bad}");
    }
}

#[test]
fn r_native_14_a_star_denies_hosts_that_its_operator_has_not_named() {
    let mut hello = hello();
    assert!(hello.vouches_for(&host("star.example:1")) && !hello.denies(&host("[::1]:9090")));
    assert!(hello.denies(&host("evil.example:443")) && hello.denies(&host("[::1]:9091")));
    hello.hosts.clear();
    assert!(!hello.denies(&host("evil.example:443")));
    assert!(!hello.vouches_for(&host("star.example:1")));
}

fn terms() -> JoinTerms {
    JoinTerms {
        star: keypair().public().to_peer_id(),
        challenge: Nonce32([9; 32]),
        expires: 1_800_000_000,
    }
}

fn join_call() -> JoinCall {
    JoinCall {
        key: Vec::new(),
        signature: Vec::new(),
        host: host("star.example:443"),
        address: Some("/ip4/127.0.0.1/tcp/1/ws/p2p-websocket-star/ipfs/x".into()),
        namespaces: vec![Namespace::default(), Namespace::parse("a/b").unwrap()],
        record: PeerRecord::new(b"record"),
    }
}

fn stranger() -> Keypair {
    Keypair::ed25519_from_bytes([1; 32]).expect("32 bytes are a key")
}

fn is_proved(terms: &JoinTerms, join: &JoinCall) -> bool {
    join.proof(terms).is_ok_and(|(_, proof)| proof.verify())
}

#[test]
fn r_native_4_the_statement_is_frozen_and_bound_to_all_it_names() {
    let bytes = join_call().to_bytes(&terms(), keypair().public().to_peer_id());
    assert!(bytes.starts_with(b"/starpoint/join/1\x00\x26\x00\x24\x08\x01\x12\x20"));
    let texts = [16, 49, 7, 3].map(|len| 2 + len).iter().sum::<usize>();
    assert_eq!(bytes.len(), 17 + 2 * (2 + 38) + 32 + 8 + 1 + 2 + texts + 32);
    let vector = include_str!("../../../../spec/vectors/native-join.hex");
    assert_eq!(data_encoding::HEXLOWER.encode(&bytes), vector.trim());
    let join = join_call().sign(&terms(), &keypair()).unwrap();
    assert!(is_proved(&terms(), &join));
    let other_terms = [
        JoinTerms {
            star: peer(1),
            ..terms()
        },
        JoinTerms {
            challenge: Nonce32([8; 32]),
            ..terms()
        },
        JoinTerms {
            expires: 1_800_000_001,
            ..terms()
        },
    ];
    assert!(!other_terms.iter().any(|terms| is_proved(terms, &join)));
    let changes: [fn(&mut JoinCall); 8] = [
        |join| join.key = stranger().public().encode_protobuf(),
        |join| join.host = host("evil.example:443"),
        |join| join.host = host("star.example:444"),
        |join| join.address = None,
        |join| join.address = Some("/ip4/127.0.0.1/tcp/2/ws/p2p-websocket-star/ipfs/x".into()),
        |join| join.namespaces.truncate(1),
        |join| join.namespaces.reverse(),
        |join| join.record = PeerRecord::new(b"another record"),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = join.clone();
        change(&mut changed);
        assert!(!is_proved(&terms(), &changed), "change {number}");
    }
}

#[test]
fn r_native_16_keys_that_are_expensive_or_none_are_refused_unverified() {
    let mut join = join_call();
    // An RSA key of 8192 bits: the form of one is enough, nothing is computed.
    let rsa = |modulus_bytes: usize| {
        let der = |tag: u8, content: Vec<u8>| {
            let len = u16::try_from(content.len()).unwrap().to_be_bytes();
            [vec![tag, 0x82, len[0], len[1]], content].concat()
        };
        let modulus = der(0x02, [vec![0], vec![0xff; modulus_bytes]].concat());
        let pkcs1 = der(0x30, [modulus, vec![2, 3, 1, 0, 1]].concat());
        let algorithm = data_encoding::HEXLOWER.decode(b"300d06092a864886f70d0101010500");
        let bits = der(0x03, [vec![0], pkcs1].concat());
        let spki = der(0x30, [algorithm.unwrap(), bits].concat());
        let len = spki.len();
        let varint = [(len & 0x7f) as u8 | 0x80, (len >> 7) as u8];
        [vec![0x08, 0, 0x12], varint.to_vec(), spki].concat()
    };
    for (modulus_bytes, is_taken) in [
        (255, false),
        (256, true),
        (512, true),
        (513, false),
        (1024, false),
    ] {
        join.key = rsa(modulus_bytes);
        assert_eq!(join.proof(&terms()).is_ok(), is_taken, "{modulus_bytes}");
    }
    for garbage in [&b""[..], b"\x08\x00\x12\x00", &[0xff; 40]] {
        join.key = garbage.to_vec();
        assert_eq!(join.proof(&terms()).err(), Some(ProofError::Key));
    }
}

#[test]
fn r_native_5_calls_read_back() {
    let join = join_call().sign(&terms(), &keypair()).unwrap();
    let join = Call::Join(Box::new(join));
    let calls = [
        join,
        Call::Leave,
        Call::Peers {
            namespace: Namespace::default(),
            after: Some(peer(1)),
        },
        Call::Dial {
            to: peer(1),
            token: token(1),
        },
        Call::Refuse { token: token(2) },
    ];
    for call in calls {
        assert_eq!(decode(&call), crate::Call::Native(call));
    }
}

#[test]
fn r_native_5_what_cannot_be_read_says_what_it_meant() {
    for (json, kind) in [
        (r#"["star-join"]"#, CallKind::StarJoin),
        (r#"["star-join",{}]"#, CallKind::StarJoin),
        (
            r#"["star-join",{"key":"!","signature":"","host":"a:1"}]"#,
            CallKind::StarJoin,
        ),
        (
            r#"["star-join",{"key":"","signature":""}]"#,
            CallKind::StarJoin,
        ),
        (
            r#"["star-join",{"key":"","signature":"","host":"a"}]"#,
            CallKind::StarJoin,
        ),
        (
            r#"["star-dial",{"to":"x","token":"y"}]"#,
            CallKind::StarDial,
        ),
        (r#"["star-dial",null]"#, CallKind::StarDial),
        (r#"["star-peers",{"ns":""}]"#, CallKind::StarPeers),
        (r#"["star-refuse",{"token":"short"}]"#, CallKind::StarRefuse),
        (r#"["star-hello",{}]"#, CallKind::Unknown),
        (r#"["star-presence",{}]"#, CallKind::Unknown),
    ] {
        assert_eq!(
            crate::Call::decode(json, &[]).unwrap_err().kind,
            kind,
            "{json}"
        );
    }
}

#[test]
fn r_native_6_namespaces_are_plain_short_and_few() {
    for good in ["default", "a", "a.b_c-d/e:f", &"x".repeat(64)] {
        assert!(Namespace::parse(good).is_some(), "{good}");
    }
    for bad in ["", "a b", "ä", "a\"", &"x".repeat(65)] {
        assert_eq!(Namespace::parse(bad), None, "{bad}");
    }
    let many: Vec<_> = (0..17).map(|n| format!("n{n}")).collect();
    let json = serde_json::json!(
        ["star-join", {"key": "", "signature": "", "host": "a:1", "namespaces": many}]
    );
    assert!(crate::Call::decode(&json.to_string(), &[]).is_err());
}

#[test]
fn r_native_7_records_are_bounded() {
    assert!(PeerRecord::new(&[1; MAX_RECORD_BYTES]).is_some());
    assert_eq!(PeerRecord::new(&[1; MAX_RECORD_BYTES + 1]), None);
    assert_eq!(PeerRecord::new(&[]), None);
}

#[test]
fn r_native_8_refusals_have_a_code_and_a_hint() {
    let refused = Reply::Refused {
        refusal: Refusal::StarFull,
        retry: Some(Duration::from_secs(5)),
    };
    let text = refused.encode();
    assert_eq!(text, r#"[{"code":"star-full","retry_ms":5000}]"#);
    assert_eq!(
        JoinReply::decode(&text),
        Ok(JoinReply::Refused(
            RemoteRefusal::Known(Refusal::StarFull),
            Some(Duration::from_secs(5))
        ))
    );
    assert_eq!(
        DialReply::decode(r#"[{"code":"other"}]"#),
        Ok(DialReply::Refused(
            RemoteRefusal::Other("other".into()),
            None
        ))
    );
    assert!(JoinReply::decode("[]").is_err());
}

#[test]
fn r_pres_2_pages_read_back() {
    let peers: Vec<PeerId> = (0..3).map(peer).collect();
    let page = Page {
        namespace: Namespace::default(),
        seq: 4,
        total: 7,
        peers: peers.iter().map(|p| p.to_base58().into()).collect(),
        next: Some(peers[2]),
    };
    let joined = Reply::Joined {
        is_resumed: true,
        pages: vec![page.clone()],
    };
    assert_eq!(
        JoinReply::decode(&joined.encode()),
        Ok(JoinReply::Joined {
            is_resumed: true,
            pages: vec![page.clone()]
        })
    );
    let answer = PageReply::decode(&Reply::Page(page.clone()).encode());
    assert_eq!(answer, Ok(PageReply::Page(page.clone())));
    assert_eq!(page.ids().collect::<Vec<_>>(), peers);
}

#[test]
fn r_pres_4_batches_read_back() {
    let batch = PresenceBatch {
        namespace: Namespace::default(),
        seq: 3,
        joined: vec!["a".into()],
        left: vec!["b".into(), "c".into()],
        sync: Sync::InOrder,
    };
    let event = Event::Presence(batch);
    let encoded = event.encode();
    assert_eq!(
        &*encoded.args,
        r#"[{"ns":"default","seq":3,"joined":["a"],"left":["b","c"]}]"#
    );
    assert_eq!(Event::decode(encoded.name, &encoded.args), Some(event));
}

#[test]
fn r_dial_10_the_words_of_a_dial_read_back() {
    let from = peer(1);
    let record = PeerRecord::new(b"x");
    let event = Event::Incoming {
        from,
        token: token(3),
        record: record.clone(),
    };
    let encoded = event.encode();
    assert_eq!(Event::decode(encoded.name, &encoded.args), Some(event));
    let text = Reply::Dialed {
        record: record.clone(),
    }
    .encode();
    assert_eq!(
        DialReply::decode(&text),
        Ok(DialReply::Connected { record })
    );
}

#[test]
fn r_dial_15_tokens_read_back_and_hide() {
    let text = token(200).to_text();
    assert_eq!(text.len(), 43);
    assert_eq!(PipeToken::parse(&text), Some(token(200)));
    for bad in ["", "x", &text[..42], &format!("{text}A"), &"=".repeat(43)] {
        assert_eq!(PipeToken::parse(bad), None);
    }
    assert!(!format!("{:?}", token(200)).contains(&text[..8]));
}

proptest! {
    #[test]
    fn damage_never_panics(name in 0usize..8, json in "\\PC{0,200}") {
        let names = [
            "star-join", "star-leave", "star-peers", "star-dial", "star-refuse",
            "star-hello", "star-presence", "star-incoming",
        ];
        let name = names[name];
        let _ = Event::decode(name, &json);
        let _ = crate::Call::decode(&format!("[\"{name}\",{json}]"), &[]);
        let _ = JoinReply::decode(&json);
        let _ = DialReply::decode(&json);
        let _ = PageReply::decode(&json);
    }

    #[test]
    fn cut_texts_never_panic(cut in 0usize..400) {
        let page = Page {
            namespace: Namespace::default(),
            seq: 1,
            total: 1,
            peers: vec![Arc::from("12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7")],
            next: None,
        };
        let text = Reply::Joined { is_resumed: false, pages: vec![page] }.encode();
        let _ = JoinReply::decode(&text[..cut.min(text.len())]);
    }
}
