use std::{sync::Arc, time::Duration};

use libp2p_identity::{Keypair, PeerId};
use proptest::prelude::*;

use super::*;
use crate::{CallKind, ClientCall, Refusal, client::StarRefusal};

fn token(fill: u8) -> PipeToken {
    PipeToken::from_random([fill; 32])
}

fn decode(call: &StarCall) -> ClientCall {
    let packet = call.encode();
    let inner = packet.args.strip_prefix('[').expect("an array");
    let comma = if inner == "]" { "" } else { "," };
    let json = format!("[\"{}\"{comma}{inner}", packet.name);
    ClientCall::decode(&json, &[]).expect("it is well formed")
}

fn keypair() -> Keypair {
    Keypair::ed25519_from_bytes([7; 32]).expect("32 bytes are a key")
}

fn peer(n: u8) -> PeerId {
    let keypair = Keypair::ed25519_from_bytes([n; 32]).expect("32 bytes are a key");
    keypair.public().to_peer_id()
}

fn hello() -> Hello {
    Hello {
        star: keypair().public().to_peer_id(),
        challenge: Nonce32([9; 32]),
        expires: 1_800_000_000,
        openness: Openness::Proven,
        grace: Duration::from_secs(15),
    }
}

#[test]
fn r_native_3_the_hello_is_frozen_and_reads_back() {
    let text = hello().encode();
    assert_eq!(
        text,
        "[{\"v\":1,\"star\":\"12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7\",\
         \"challenge\":\"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=\",\
         \"expires\":1800000000,\"open\":false,\"grace_ms\":15000}]"
    );
    assert_eq!(Hello::decode(&text), Some(hello()));
    assert_eq!(Hello::decode(&text.replace("\"v\":1", "\"v\":2")), None);
    assert_eq!(Hello::decode("[]"), None);
    assert_eq!(Hello::decode("[{}]"), None);
}

#[test]
fn r_native_4_the_statement_is_frozen_and_bound_to_all_it_names() {
    let keypair = keypair();
    let statement = JoinStatement {
        star: keypair.public().to_peer_id(),
        peer: keypair.public().to_peer_id(),
        challenge: Nonce32([9; 32]),
        expires: 1_800_000_000,
    };
    let bytes = statement.to_bytes();
    assert!(bytes.starts_with(b"/starpoint/join/1\x00\x26\x00\x24\x08\x01\x12\x20"));
    assert_eq!(bytes.len(), 17 + 2 * (2 + 38) + 32 + 8);
    let vector = include_str!("../../../../spec/vectors/native-join.hex");
    assert_eq!(data_encoding::HEXLOWER.encode(&bytes), vector.trim());
    let signature = statement.sign(&keypair).unwrap();
    assert_eq!(statement.verify(&keypair.public(), &signature), Ok(()));
    let others = [
        JoinStatement {
            star: peer(1),
            ..statement
        },
        JoinStatement {
            peer: peer(1),
            ..statement
        },
        JoinStatement {
            challenge: Nonce32([8; 32]),
            ..statement
        },
        JoinStatement {
            expires: 1_800_000_001,
            ..statement
        },
    ];
    for other in others {
        assert_eq!(
            other.verify(&keypair.public(), &signature),
            Err(ProofError::Signature)
        );
    }
}

#[test]
fn r_native_5_calls_read_back() {
    let join = StarCall::Join(Box::new(JoinCall {
        key: keypair().public().encode_protobuf(),
        signature: vec![1; 64],
        address: Some("/ip4/127.0.0.1/tcp/1/ws/p2p-websocket-star/ipfs/x".into()),
        namespaces: vec![Namespace::default(), Namespace::parse("a/b").unwrap()],
        record: PeerRecord::new(b"record"),
    }));
    let calls = [
        join,
        StarCall::Leave,
        StarCall::Peers {
            namespace: Namespace::default(),
            after: Some(peer(1)),
        },
        StarCall::Dial {
            to: peer(1),
            token: token(1),
        },
        StarCall::Refuse { token: token(2) },
    ];
    for call in calls {
        assert_eq!(decode(&call), ClientCall::Star(call));
    }
}

#[test]
fn r_native_5_what_cannot_be_read_says_what_it_meant() {
    for (json, kind) in [
        (r#"["star-join"]"#, CallKind::StarJoin),
        (r#"["star-join",{}]"#, CallKind::StarJoin),
        (
            r#"["star-join",{"key":"!","signature":""}]"#,
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
            ClientCall::decode(json, &[]).unwrap_err().kind,
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
    let json = serde_json::json!(["star-join", {"key": "", "signature": "", "namespaces": many}]);
    assert!(ClientCall::decode(&json.to_string(), &[]).is_err());
}

#[test]
fn r_native_7_records_are_bounded() {
    assert!(PeerRecord::new(&[1; MAX_RECORD_BYTES]).is_some());
    assert_eq!(PeerRecord::new(&[1; MAX_RECORD_BYTES + 1]), None);
    assert_eq!(PeerRecord::new(&[]), None);
}

#[test]
fn r_native_8_refusals_have_a_code_and_a_hint() {
    let refused = StarReply::Refused {
        refusal: Refusal::StarFull,
        retry: Some(Duration::from_secs(5)),
    };
    let text = refused.encode();
    assert_eq!(text, r#"[{"code":"star-full","retry_ms":5000}]"#);
    assert_eq!(
        JoinAnswer::decode(&text),
        Ok(JoinAnswer::Refused(
            StarRefusal::Known(Refusal::StarFull),
            Some(Duration::from_secs(5))
        ))
    );
    assert_eq!(
        DialAnswer::decode(r#"[{"code":"other"}]"#),
        Ok(DialAnswer::Refused(
            StarRefusal::Other("other".into()),
            None
        ))
    );
    assert!(JoinAnswer::decode("[]").is_err());
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
    let joined = StarReply::Joined {
        is_resumed: true,
        pages: vec![page.clone()],
    };
    assert_eq!(
        JoinAnswer::decode(&joined.encode()),
        Ok(JoinAnswer::Joined {
            is_resumed: true,
            pages: vec![page.clone()]
        })
    );
    let answer = PageAnswer::decode(&StarReply::Page(page.clone()).encode());
    assert_eq!(answer, Ok(PageAnswer::Page(page.clone())));
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
    let args = batch.encode();
    assert_eq!(
        args,
        r#"[{"ns":"default","seq":3,"joined":["a"],"left":["b","c"]}]"#
    );
    let event = StarEvent::Presence(args.into());
    assert_eq!(
        NativeNotice::decode(event.name(), &event.args()),
        Some(NativeNotice::Presence(batch))
    );
}

#[test]
fn r_dial_10_the_words_of_a_dial_read_back() {
    let from = peer(1);
    let record = PeerRecord::new(b"x");
    let event = StarEvent::Incoming {
        from,
        token: token(3),
        record: record.clone(),
    };
    let notice = NativeNotice::decode(event.name(), &event.args());
    assert_eq!(
        notice,
        Some(NativeNotice::Incoming {
            from,
            token: token(3),
            record: record.clone()
        })
    );
    let text = StarReply::Dialed {
        record: record.clone(),
    }
    .encode();
    assert_eq!(
        DialAnswer::decode(&text),
        Ok(DialAnswer::Connected { record })
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
        let _ = NativeNotice::decode(name, &json);
        let _ = ClientCall::decode(&format!("[\"{name}\",{json}]"), &[]);
        let _ = JoinAnswer::decode(&json);
        let _ = DialAnswer::decode(&json);
        let _ = PageAnswer::decode(&json);
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
        let text = StarReply::Joined { is_resumed: false, pages: vec![page] }.encode();
        let _ = JoinAnswer::decode(&text[..cut.min(text.len())]);
    }
}
