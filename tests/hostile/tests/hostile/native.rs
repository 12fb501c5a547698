//! The native profile: who is offered it, and joins that prove nothing.

use serde_json::{Value, json};
use starpoint_hostile_tests::{
    Peer, assert_still_serves,
    native::{NativePeer, assert_serves_natively, new_token},
    new_identity,
};
use starpoint_test_support::{
    Client, Engine, Hello, NativeJoin, Packet, Profile, Star, code_of, http,
};

const ENGINES: [Engine; 2] = [Engine::V3, Engine::V4];

/// Takes what comes first on a connection: two packets of the handshake, and what
/// is behind them. That is the answer to a call if the star has nothing to say.
async fn first_packets(star: &Star, engine: Engine, profile: Profile) -> [Packet; 3] {
    let mut client = Client::connect_without_handshake_as(star.port(), engine, profile).await;
    let open = client.receive().await.expect("the open packet");
    if engine == Engine::V4 {
        client.send_text("40").await;
    }
    let connect = client.receive().await.expect("the connect packet");
    client.send_text("420[\"ss-join\"]").await;
    let third = client.receive().await.expect("a packet");
    [open, connect, third]
}

#[tokio::test]
async fn r_native_1_a_star_takes_the_offer_of_a_websocket_and_says_so_first() {
    let mut star = Star::with_args([]);
    for engine in ENGINES {
        let packets = first_packets(&star, engine, Profile::Native).await;
        let [Packet::Open(open), Packet::Connect(_), Packet::Event(hello)] = &packets else {
            panic!("{packets:?}");
        };
        assert_eq!(open["star"], 1, "{open}");
        assert_eq!(hello.name, "star-hello");
        let hello = Hello::read(hello);
        assert_eq!((hello.challenge.len(), hello.open), (32, false));
        assert!(hello.star.starts_with("12D3KooW"), "{hello:?}");
        let packets = first_packets(&star, engine, Profile::Legacy).await;
        let [Packet::Open(open), Packet::Connect(_), Packet::Ack { .. }] = &packets else {
            panic!("{packets:?}");
        };
        assert_eq!(open["star"], Value::Null, "{open}");
    }
    assert_serves_natively(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn r_native_1_long_polling_stays_legacy_whatever_is_offered() {
    let mut star = Star::with_args([]);
    let nonce = "BQUFBQUFBQUFBQUFBQUFBQ";
    for engine in ENGINES {
        let number = engine.number();
        let target = format!("/socket.io/?EIO={number}&transport=polling&star=1&nonce={nonce}");
        let open = http::get(star.port(), &target).await;
        assert_eq!(open.status, 200);
        let text = open.text();
        assert!(text.contains("\"sid\""), "{text}");
        assert!(!text.contains("\"star\""), "{text}");
        assert!(!text.contains("star-hello"), "{text}");
        let mut client = Client::connect_polling(star.port(), engine).await;
        client
            .start_call("star-peers", json!([{"ns": "default"}]))
            .await;
        let packets = client.take_all().await;
        assert!(packets.is_empty(), "{packets:?}");
        Peer::join_as(client, &new_identity()).await;
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

type Change<'a, T> = &'a dyn Fn(&mut T);

#[tokio::test]
async fn r_native_5_a_join_that_proves_nothing_is_refused() {
    let mut star = Star::with_args([]);
    let other_star = new_identity().peer_id();
    let victim = NativePeer::join(&star).await;
    for engine in ENGINES {
        let me = new_identity();
        let port = star.port();
        let address = victim.identity.address(port);
        let invalid = "signature-invalid";
        // What of the hello and of the join is signed, what of it is sent, and the code.
        let cases: [(Change<'_, Hello>, Change<'_, NativeJoin>, &str); 10] = [
            (&|_| {}, &|join| join.signature[0] ^= 1, invalid),
            (&|_| {}, &|join| join.signature.clear(), invalid),
            (
                &|hello| hello.star.clone_from(&other_star),
                &|_| {},
                invalid,
            ),
            (&|hello| hello.challenge[31] ^= 1, &|_| {}, invalid),
            (&|hello| hello.expires += 1, &|_| {}, invalid),
            (&|_| {}, &|join| join.key = vec![8, 1, 18, 0], "invalid-key"),
            (&|_| {}, &|join| join.host = "other:1".into(), invalid),
            (&|_| {}, &|join| join.address = None, invalid),
            (&|_| {}, &|join| join.namespaces.clear(), invalid),
            (&|_| {}, &|join| join.record = Some(vec![1]), invalid),
        ];
        for (number, (sign, send, code)) in cases.into_iter().enumerate() {
            let (mut client, hello) = Client::connect_native(port, engine).await;
            let mut signed = hello.clone();
            sign(&mut signed);
            let mut join = NativeJoin::new(&me, &signed, port);
            send(&mut join);
            let reply = client.call("star-join", join.args()).await;
            assert_eq!(code_of(&reply), code, "{number}");
            // That was the answer to the challenge, and there is no other.
            let right = NativeJoin::new(&me, &hello, port);
            let reply = client.call("star-join", right.args()).await;
            assert_eq!(code_of(&reply), "already-joined", "{number}");
        }
        for (address, code) in [
            (address.as_str(), "id-mismatch"),
            ("/ip4/1.2.3", "invalid-address"),
        ] {
            let (mut client, hello) = Client::connect_native(port, engine).await;
            let mut join = NativeJoin::new(&me, &hello, port);
            join.address = Some(address.to_owned());
            let join = join.signed(&me, &hello);
            let reply = client.call("star-join", join.args()).await;
            assert_eq!(code_of(&reply), code);
        }
        // The key and the signature of somebody else, who has joined with them.
        let (mut client, hello) = Client::connect_native(port, engine).await;
        let join = NativeJoin::new(&me, &hello, port);
        client.native_join(&join).await;
        let (mut thief, _) = Client::connect_native(port, engine).await;
        let reply = thief.call("star-join", join.args()).await;
        assert_eq!(code_of(&reply), "signature-invalid");
    }
    assert_serves_natively(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn r_native_15_a_relayed_join_takes_nobodys_place_at_a_star_that_names_its_hosts() {
    let mut star = Star::with_args(["--host", "star.example:443"]);
    let port = star.port();
    let me = new_identity();
    let join_at = |host: &str, hello: &Hello| {
        let mut join = NativeJoin::new(&me, hello, port);
        join.host = host.to_owned();
        join.signed(&me, hello)
    };
    for engine in ENGINES {
        let (mut own, hello) = Client::connect_native(port, engine).await;
        assert_eq!(hello.hosts, ["star.example:443"]);
        own.native_join(&join_at("star.example:443", &hello)).await;
        for elsewhere in ["evil.example:443", "star.example:444", "127.0.0.1:1"] {
            let (mut evil, hello) = Client::connect_native(port, engine).await;
            let join = join_at(elsewhere, &hello);
            let reply = evil.call("star-join", join.args()).await;
            assert_eq!(code_of(&reply), "wrong-host", "{elsewhere}");
            // Nor does it help to tell another host than what was signed.
            let (mut evil, hello) = Client::connect_native(port, engine).await;
            let mut join = join_at(elsewhere, &hello);
            join.host = "star.example:443".to_owned();
            let reply = evil.call("star-join", join.args()).await;
            assert_eq!(code_of(&reply), "signature-invalid", "{elsewhere}");
        }
        let reply = own.call("star-peers", json!([{"ns": "default"}])).await;
        assert_eq!(reply[1]["total"], 1, "{reply}");
        own.call("star-leave", json!([])).await;
    }
    assert_eq!(http::metric(&star, "starpoint_takeovers_total").await, 0);
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn r_chal_5_what_follows_a_join_at_once_is_handled_behind_it() {
    let mut star = Star::with_args([]);
    for engine in ENGINES {
        let me = new_identity();
        let (mut client, hello) = Client::connect_native(star.port(), engine).await;
        let join = NativeJoin::new(&me, &hello, star.port());
        let joined = client.start_call("star-join", join.args()).await;
        let peers = client
            .start_call("star-peers", json!([{"ns": "default"}]))
            .await;
        let left = client.start_call("star-leave", json!([])).await;
        assert!(client.expect_ack(joined).await[0].is_null());
        let page = client.expect_ack(peers).await;
        let peers = page[1]["peers"].as_array().expect("a page");
        assert!(peers.contains(&json!(me.peer_id())), "{page}");
        client.expect_ack(left).await;
        // Joins, and closes before it can know what came of that.
        let (mut client, hello) = Client::connect_native(star.port(), engine).await;
        let join = NativeJoin::new(&me, &hello, star.port());
        client.start_call("star-join", join.args()).await;
        client.disconnect().await;
    }
    assert_serves_natively(&mut star).await;
    star.stop().await;
}

/// Arguments that none of the calls of the profile takes.
fn unreadable() -> Vec<Value> {
    // As long as a message before a join may be (R-LIMIT-21).
    let long = "a".repeat(3_000);
    vec![
        json!([]),
        json!([null]),
        json!([1]),
        json!(["text"]),
        json!([[]]),
        json!([{}]),
        json!([{"key": 1, "signature": 2, "ns": 3, "to": 4, "token": 5}]),
        json!([{"key": "!", "signature": "!", "ns": "", "to": "!", "token": "!"}]),
        json!([{"key": "", "signature": null, "ns": null, "to": null, "token": null}]),
        json!([{"key": long, "signature": long, "ns": long, "to": long, "token": long}]),
        json!([{"key": "", "signature": "", "host": "a:1", "namespaces": {}, "ns": "a b", "to": "__proto__",
            "token": new_token() + "="}]),
        json!([{"key": "", "signature": "", "host": "a:1", "namespaces": vec!["a"; 17], "ns": "default",
            "after": "nobody", "to": "", "token": ""}]),
        json!([{"key": "", "signature": "", "host": "a:1", "address": "a".repeat(1025), "ns": "\u{0}",
            "to": new_identity().peer_id(), "token": new_token().replace('a', "+") + "/"}]),
        json!([{"key": "", "signature": "", "host": "a", "ns": "", "to": "", "token": ""}]),
        json!([{"key": "", "signature": "", "host": 1, "ns": "", "to": "", "token": ""}]),
        json!([{"key": "", "signature": "", "host": "a:1", "record": "AAAA".repeat(700), "ns": "☎"}]),
    ]
}

#[tokio::test]
async fn r_native_5_calls_that_cannot_be_read_are_refused_and_change_nothing() {
    let mut star = Star::with_args([]);
    for engine in ENGINES {
        let (mut client, hello) = Client::connect_native(star.port(), engine).await;
        for args in unreadable() {
            for name in ["star-join", "star-peers", "star-dial", "star-refuse"] {
                let reply = client.call(name, args.clone()).await;
                assert_eq!(code_of(&reply), "invalid-arguments", "{name} {args}");
                client.emit(name, args.clone()).await;
            }
            client.emit("star-hello", args.clone()).await;
            client.emit("star-presence", args.clone()).await;
            client.emit("star-incoming", args).await;
        }
        // Good, but for the acknowledgement that they need.
        let me = new_identity();
        let join = NativeJoin::new(&me, &hello, star.port());
        client.emit("star-join", join.args()).await;
        client.emit("star-peers", json!([{"ns": "default"}])).await;
        assert_eq!(client.take_all().await, []);
        client.native_join(&join).await;
        client.call("star-leave", json!([])).await;
    }
    assert_serves_natively(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn r_native_5_what_is_no_packet_ends_the_connection_of_its_sender_alone() {
    let mut star = Star::with_args([]);
    let mut neighbor = NativePeer::join(&star).await;
    for engine in ENGINES {
        for text in [
            "",
            "x",
            "4",
            "9",
            "42/other,[]",
            "459-[]",
            "43[]",
            "431{}",
            "ä",
        ] {
            let (mut client, _) = Client::connect_native(star.port(), engine).await;
            client.send_text(text).await;
            client.expect_closed().await;
        }
        let (mut client, _) = Client::connect_native(star.port(), engine).await;
        client.try_send_raw_binary(vec![4, 1].into()).await.unwrap();
        client.expect_closed().await;
    }
    let reply = neighbor
        .client
        .call("star-peers", json!([{"ns": "default"}]))
        .await;
    assert_eq!(reply[1]["total"], 1, "{reply}");
    assert_serves_natively(&mut star).await;
    star.stop().await;
}

/// Connects a client that has joined: others may send little.
async fn joined(star: &Star, engine: Engine) -> Client {
    let (mut client, hello) = Client::connect_native(star.port(), engine).await;
    let join = NativeJoin::new(&new_identity(), &hello, star.port());
    client.native_join(&join).await;
    client
}

#[tokio::test]
async fn r_limit_12_a_message_that_is_too_long_ends_the_connection() {
    const LIMIT: usize = 128 * 1024;
    let mut star = Star::with_args([]);
    for engine in ENGINES {
        let head = "42[\"x\",\"";
        let text = |len: usize| format!("{head}{}\"]", "a".repeat(len - head.len() - 2));
        let mut client = joined(&star, engine).await;
        client.send_text(text(LIMIT)).await;
        assert_eq!(client.take_all().await, [], "it is just not too long");
        // The star may cut the connection before it has read everything.
        let _ = client.try_send_text(text(LIMIT + 1)).await;
        client.expect_closed().await;
        let mut client = joined(&star, engine).await;
        let _ = client.try_send_text(text(8 << 20)).await;
        client.expect_closed().await;
        let mut client = joined(&star, engine).await;
        client.send_text("452-[\"x\"]").await;
        let half = vec![4; LIMIT / 2 + 2];
        let _ = client.try_send_raw_binary(half.clone().into()).await;
        let _ = client.try_send_raw_binary(half.into()).await;
        client.expect_closed().await;
    }
    assert_serves_natively(&mut star).await;
    star.stop().await;
}
