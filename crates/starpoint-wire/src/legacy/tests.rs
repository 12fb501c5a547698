use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    CallKind, EncodedCall, Nonce, Refusal, RemoteRefusal, ReplyError, StreamEnd,
    limits::{MAX_ADDRESS_BYTES, MAX_ERROR_TEXT_BYTES},
    stream::{DialId, Direction, StreamId},
};

const NONCE: &str = "700fac41-bbcb-42a4-90c7-ae504bcf606e3bb933cd-eb44-4ab5-a4c5-bc436e46ab5a";
const CHUNK: &[u8] = b"hello";

fn stream() -> StreamId {
    StreamId {
        dial: DialId::parse("40c71676-4b54").unwrap(),
        direction: Direction::Listener,
    }
}

/// Reads what a client sends as a star does.
fn as_star(encoded: &EncodedCall) -> Call {
    let name = serde_json::to_string(&encoded.name).unwrap();
    let inner = &encoded.args[1..encoded.args.len() - 1];
    let comma = if inner.is_empty() { "" } else { "," };
    let json = format!("[{name}{comma}{inner}]");
    match crate::Call::decode(&json, &encoded.attachments) {
        Ok(crate::Call::Legacy(call)) => call,
        other => panic!("a star reads what a client sends: {other:?}"),
    }
}

fn notice(name: &str, args: &str) -> Result<Event, EventError> {
    Event::decode(name, args, &[Bytes::from_static(CHUNK)])
}

#[test]
fn calls_have_the_recorded_form() {
    let dial = Call::Dial {
        from: "/a".into(),
        to: "/b".into(),
        dial_id: "x".into(),
    };
    let encoded = dial.encode();
    assert_eq!(encoded.name, "ss-dial");
    assert_eq!(encoded.args, r#"["/a","/b","x"]"#);
    let queue = Call::StreamQueue {
        stream: stream(),
        payload: Bytes::from_static(CHUNK),
    };
    let encoded = queue.encode();
    assert_eq!(
        encoded.name,
        "socket.io-pull-stream.queue.40c71676-4b54.listener"
    );
    assert_eq!(encoded.args, r#"[{"_placeholder":true,"num":0}]"#);
    assert_eq!(encoded.attachments, [CHUNK]);
    let accept = Call::StreamAccept { stream: stream() };
    assert_eq!(accept.encode().args, "[]");
    let end = Call::StreamError {
        stream: stream(),
        end: StreamEnd::Clean,
    };
    assert_eq!(end.encode().args, "[true]");
    assert_eq!(encode_callee_answer(None), "[]");
    assert_eq!(encode_callee_answer(Some("busy")), r#"["busy"]"#);
}

#[test]
fn a_client_reads_what_a_star_writes() {
    let events = [
        Event::Incoming {
            dial_id: DialId::parse("d").unwrap(),
            from: "/a".into(),
        },
        Event::Peer {
            address: "/a".into(),
        },
        Event::Evicted {
            address: "/a".into(),
        },
        Event::StreamAccept { stream: stream() },
        Event::StreamError {
            stream: stream(),
            end: StreamEnd::Clean,
        },
        Event::StreamError {
            stream: stream(),
            end: StreamEnd::Error("no".into()),
        },
    ];
    for event in events {
        let args = serde_json::to_string(&event).unwrap();
        let read = Event::decode(&event.name(), &args, &[]).unwrap();
        assert_eq!(read, event);
    }
}

#[test]
fn chunks_are_attachments_strings_and_arrays() {
    let name = "socket.io-pull-stream.queue.d.dialer";
    for (args, expected) in [
        (r#"[{"_placeholder":true,"num":0}]"#, CHUNK),
        (r#"["text"]"#, b"text"),
        ("[[1,2]]", &[1, 2]),
    ] {
        let Ok(Event::StreamQueue { payload, .. }) = notice(name, args) else {
            panic!("{args}")
        };
        assert_eq!(payload, expected);
    }
    for bad in [
        "[]",
        "[{}]",
        r#"[{"_placeholder":true,"num":1}]"#,
        r#"[{"length":1e9}]"#,
    ] {
        assert_eq!(notice(name, bad), Err(EventError::Malformed), "{bad}");
    }
}

#[test]
fn notices_of_the_wrong_form_are_malformed_and_foreign_ones_unknown() {
    let long = format!(r#"["{}"]"#, "a".repeat(MAX_ADDRESS_BYTES + 1));
    for (name, args) in [
        ("ss-incomming", r#"["d"]"#),
        ("ss-incomming", r#"["","/a"]"#),
        ("ss-incomming", "[1,2]"),
        ("ws-peer", "[]"),
        ("ws-peer", "[null]"),
        ("ws-peer", "not json"),
        ("ws-peer", &long),
        ("socket.io-pull-stream.accept.x", "[]"),
        ("socket.io-pull-stream.error..dialer", "[]"),
    ] {
        assert_eq!(
            notice(name, args),
            Err(EventError::Malformed),
            "{name} {args}"
        );
    }
    for name in ["", "ss-join", "error", "__proto__", &"x".repeat(900_000)] {
        assert_eq!(notice(name, "[]"), Err(EventError::Unknown));
    }
}

#[test]
fn r_join_1_replies_of_a_star_are_read() {
    assert_eq!(
        JoinReply::decode(&format!(r#"[null,"{NONCE}"]"#)),
        Ok(JoinReply::Challenge(Nonce::parse(NONCE).unwrap()))
    );
    let joined = Reply::Joined(vec!["/a".into(), "/b".into()]);
    assert_eq!(
        JoinReply::decode(&serde_json::to_string(&joined).unwrap()),
        Ok(JoinReply::Joined {
            others: vec!["/a".into(), "/b".into()]
        })
    );
    for empty in ["[]", "[null]", "[null,null]", "[null,null,null,7]"] {
        assert_eq!(
            JoinReply::decode(empty),
            Ok(JoinReply::Joined { others: vec![] }),
            "{empty}"
        );
    }
    assert_eq!(DialReply::decode("[]"), Ok(DialReply::Connected));
    assert_eq!(DialReply::decode("[null,1]"), Ok(DialReply::Connected));
}

#[test]
fn r_refuse_2_every_refusal_is_known_again_by_its_text() {
    for refusal in Refusal::ALL {
        let json = serde_json::to_string(&Reply::Refused(refusal)).unwrap();
        let known = RemoteRefusal::Known(refusal);
        assert_eq!(
            DialReply::decode(&json),
            Ok(DialReply::Refused(known.clone()))
        );
        assert_eq!(JoinReply::decode(&json), Ok(JoinReply::Refused(known)));
    }
    for (json, text) in [
        (r#"["busy"]"#, "busy"),
        ("[{}]", ""),
        ("[true]", "true"),
        ("[5]", "5"),
    ] {
        let other = RemoteRefusal::Other(text.into());
        assert_eq!(DialReply::decode(json), Ok(DialReply::Refused(other)));
    }
}

#[test]
fn r_chal_1_only_a_nonce_of_the_right_form_is_a_challenge() {
    let upper = NONCE.to_uppercase();
    let long = format!("{NONCE}0");
    let shifted = format!("0{}", &NONCE[..71]);
    for text in ["", "sign me", &upper, &long, &shifted, &"é".repeat(36)] {
        let json = format!(r#"[null,"{text}"]"#);
        assert_eq!(
            JoinReply::decode(&json),
            Err(ReplyError::Challenge),
            "{text}"
        );
    }
    for bad in ["", "{}", "7", "[null,7]", "[null,{}]", "[null,null,7]"] {
        assert_eq!(JoinReply::decode(bad), Err(ReplyError::Malformed), "{bad}");
    }
}

#[test]
fn a_hostile_list_is_cut_and_what_is_no_address_left_out() {
    let long = "x".repeat(MAX_ADDRESS_BYTES + 1);
    let json = format!(r#"[null,null,["/a",7,null,{{}},"{long}",["/c"],"/b"]]"#);
    assert_eq!(
        JoinReply::decode(&json),
        Ok(JoinReply::Joined {
            others: vec!["/a".into(), "/b".into()]
        })
    );
    let many = vec!["/a"; MAX_LISTED_PEERS + 5];
    let json = serde_json::to_string(&((), (), many)).unwrap();
    let Ok(JoinReply::Joined { others }) = JoinReply::decode(&json) else {
        panic!("not joined")
    };
    assert_eq!(others.len(), MAX_LISTED_PEERS);
}

#[test]
fn a_long_refusal_is_cut() {
    let json = format!(r#"["{}"]"#, "é".repeat(MAX_ERROR_TEXT_BYTES));
    let Ok(DialReply::Refused(RemoteRefusal::Other(text))) = DialReply::decode(&json) else {
        panic!("not refused")
    };
    assert_eq!(text.len(), MAX_ERROR_TEXT_BYTES);
}

proptest! {
    #[test]
    fn a_star_reads_every_call(address in ".{0,40}", proof in "[0-9a-f]{0,40}", text in ".{1,40}") {
        let calls = [
            Call::Join { address: address.clone(), proof },
            Call::Leave { address: address.clone() },
            Call::Dial { from: address.clone(), to: address, dial_id: text.clone() },
            Call::StreamAccept { stream: stream() },
            Call::StreamQueue { stream: stream(), payload: text.clone().into() },
            Call::StreamError { stream: stream(), end: StreamEnd::Error(text) },
            Call::StreamError { stream: stream(), end: StreamEnd::Clean },
        ];
        for call in calls {
            prop_assert_eq!(&as_star(&call.encode()), &call);
            prop_assert_ne!(call.kind(), CallKind::Unknown);
        }
    }

    #[test]
    fn any_text_decodes_or_is_refused(name in ".{0,40}", args in ".{0,120}") {
        let _ = notice(&name, &args);
        let _ = notice("ss-incomming", &args);
        let _ = notice("socket.io-pull-stream.queue.d.dialer", &args);
        let _ = JoinReply::decode(&args);
        let _ = DialReply::decode(&args);
        let _ = Nonce::parse(&args);
    }

    #[test]
    fn damaged_answers_never_panic(at in 0usize..90, with in any::<char>()) {
        for json in [format!(r#"[null,"{NONCE}"]"#), r#"[null,null,["/a","/b"],{"x":[1]}]"#.into()] {
            let at = at.min(json.len() - 1);
            let mut damaged = json;
            damaged.replace_range(at..=at, &with.to_string());
            let _ = JoinReply::decode(&damaged);
            let _ = DialReply::decode(&damaged);
            let _ = notice("socket.io-pull-stream.queue.d.dialer", &damaged);
        }
    }
}
