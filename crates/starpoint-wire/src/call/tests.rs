use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    legacy::CalleeAnswer,
    limits::{MAX_ERROR_TEXT_BYTES, MAX_PROOF_BYTES},
    stream::{Direction, StreamEnd},
};

fn decode(json: &str) -> Result<legacy::Call, CallError> {
    decode_with(json, &[])
}

fn decode_with(json: &str, attachments: &[Bytes]) -> Result<legacy::Call, CallError> {
    match Call::decode(json, attachments)? {
        Call::Legacy(call) => Ok(call),
        Call::Native(call) => panic!("{call:?} is native"),
    }
}

fn refused(json: &str) -> CallKind {
    decode(json).expect_err(json).kind
}

#[test]
fn the_recorded_calls_decode() {
    let join = decode(r#"["ss-join","/ip4/127.0.0.1","0801"]"#).unwrap();
    assert_eq!(
        join,
        legacy::Call::Join {
            address: "/ip4/127.0.0.1".into(),
            proof: "0801".into()
        }
    );
    let dial = decode(r#"["ss-dial","/a","/b","40c71676-4b54-43f0-b4f5-05fb02a61caf"]"#).unwrap();
    assert!(matches!(dial, legacy::Call::Dial { from, to, .. } if from == "/a" && to == "/b"));
    let leave = decode(r#"["ss-leave","/a"]"#).unwrap();
    assert_eq!(
        leave,
        legacy::Call::Leave {
            address: "/a".into()
        }
    );
    let accept = decode(r#"["socket.io-pull-stream.accept.dial-1.listener"]"#).unwrap();
    let legacy::Call::StreamAccept { stream } = accept else {
        panic!("{accept:?}")
    };
    assert_eq!(stream.dial.as_str(), "dial-1");
    assert_eq!(stream.direction, Direction::Listener);
}

#[test]
fn arguments_behind_the_expected_ones_are_ignored() {
    let join = decode(r#"["ss-join","/a","",1,[2],{"x":[]},null,"z"]"#).unwrap();
    assert_eq!(join.kind(), CallKind::Join);
}

#[test]
fn r_call_1_wrong_counts_and_types_name_the_call_that_was_meant() {
    for json in [
        r#"["ss-join"]"#,
        r#"["ss-join","/a"]"#,
        r#"["ss-join",null,null]"#,
        r#"["ss-join",1,2]"#,
        r#"["ss-join","/a",{}]"#,
        r#"["ss-join",["/a"],""]"#,
        r#"["ss-join",{"_placeholder":true,"num":0},""]"#,
    ] {
        assert_eq!(refused(json), CallKind::Join, "{json}");
    }
    for json in [
        r#"["ss-dial"]"#,
        r#"["ss-dial","/a","/b"]"#,
        r#"["ss-dial","/a","/b",7]"#,
    ] {
        assert_eq!(refused(json), CallKind::Dial, "{json}");
    }
    assert_eq!(refused(r#"["ss-leave",5]"#), CallKind::Leave);
    assert_eq!(
        refused(r#"["socket.io-pull-stream.accept."]"#),
        CallKind::Stream
    );
    for json in [
        "",
        "[]",
        "{}",
        "null",
        "[null]",
        "[7]",
        r#"["ss-join""#,
        r#"["x"] trailing"#,
    ] {
        assert_eq!(refused(json), CallKind::Unknown, "{json}");
    }
}

#[test]
fn r_limit_3_an_oversized_proof_is_refused() {
    let json = format!(r#"["ss-join","/a","{}"]"#, "a".repeat(MAX_PROOF_BYTES + 1));
    assert_eq!(refused(&json), CallKind::Join);
}

fn payload(json: &str, attachments: &[Bytes]) -> Option<Bytes> {
    match decode_with(json, attachments) {
        Ok(legacy::Call::StreamQueue { payload, .. }) => Some(payload),
        _ => None,
    }
}

#[test]
fn r_stream_7_payloads_are_attachments_strings_and_arrays() {
    let name = "socket.io-pull-stream.queue.d.dialer";
    let chunk = [Bytes::from_static(b"hello")];
    let placeholder = format!(r#"["{name}",{{"_placeholder":true,"num":0}}]"#);
    assert_eq!(payload(&placeholder, &chunk).unwrap(), "hello");
    assert_eq!(payload(&placeholder, &[]), None);
    let text = format!(r#"["{name}","grüße"]"#);
    assert_eq!(payload(&text, &[]).unwrap(), "grüße".as_bytes());
    let array = format!(r#"["{name}",[1,256,"x",255,-1]]"#);
    assert_eq!(payload(&array, &[]).unwrap(), &[1u8, 0, 0, 255, 255][..]);
}

#[test]
fn r_stream_8_objects_never_become_bytes() {
    let name = "socket.io-pull-stream.queue.d.dialer";
    for value in [
        r#"{"length":10000000}"#,
        r#"{"length":1e9}"#,
        r#"{"_placeholder":true,"num":-1}"#,
        r#"{"_placeholder":true,"num":"0"}"#,
        r#"{"_placeholder":true,"num":1}"#,
        r#"{"_placeholder":true,"num":18446744073709551616}"#,
        "7",
        "true",
        "null",
    ] {
        let json = format!(r#"["{name}",{value}]"#);
        assert_eq!(payload(&json, &[Bytes::from_static(b"x")]), None, "{value}");
    }
    assert_eq!(payload(&format!(r#"["{name}"]"#), &[]), None);
}

fn end(value: &str) -> StreamEnd {
    let json = format!(r#"["socket.io-pull-stream.error.d.dialer"{value}]"#);
    match decode(&json) {
        Ok(legacy::Call::StreamError { end, .. }) => end,
        other => panic!("{value}: {other:?}"),
    }
}

#[test]
fn r_stream_6_every_argument_ends_a_stream() {
    for clean in [",true", ",false", ",null", ",0", r#","""#, ""] {
        assert_eq!(end(clean), StreamEnd::Clean, "{clean:?}");
    }
    assert_eq!(
        end(r#","went wrong""#),
        StreamEnd::Error("went wrong".into())
    );
    assert_eq!(end(",5"), StreamEnd::Error("5".into()));
    assert_eq!(end(",{}"), StreamEnd::Error("Stream failed".into()));
}

#[test]
fn r_limit_4_error_texts_are_cut_at_a_character_border() {
    let long = "é".repeat(MAX_ERROR_TEXT_BYTES);
    let StreamEnd::Error(text) = end(&format!(r#","x{long}""#)) else {
        panic!("no error")
    };
    assert_eq!(text.len(), MAX_ERROR_TEXT_BYTES - 1);
    assert!(text.ends_with('é'));
}

#[test]
fn deep_nesting_is_refused_without_overflowing_the_stack() {
    let nested = format!(
        r#"["ss-join",{}{}]"#,
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    assert!(decode(&nested).is_err());
    let ignored = format!(
        r#"["ss-leave","/a",1,1,1,1,{}{}]"#,
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    let _ = decode(&ignored);
}

fn answer(json: &str) -> CalleeAnswer {
    serde_json::from_str(json).expect(json)
}

#[test]
fn r_dial_5_a_callee_accepts_with_nothing_and_refuses_with_anything() {
    for accepted in ["[]", "[null]", "[false]", "[0]", r#"[""]"#, "[null,1,2]"] {
        assert_eq!(answer(accepted), CalleeAnswer::Accepted, "{accepted}");
    }
    assert_eq!(answer(r#"["busy"]"#), CalleeAnswer::Refused("busy".into()));
    assert_eq!(answer("[{}]"), CalleeAnswer::Refused("Dial refused".into()));
}

proptest! {
    #[test]
    fn any_text_decodes_or_is_refused(json in ".{0,200}") {
        let _ = decode(&json);
    }

    #[test]
    fn damaged_calls_never_panic(at in 0usize..80, with in any::<char>()) {
        let mut json = r#"["socket.io-pull-stream.queue.dial.dialer",{"_placeholder":true,"num":0}]"#.to_owned();
        json.replace_range(at.min(json.len() - 1)..=at.min(json.len() - 1), &with.to_string());
        let _ = decode_with(&json, &[Bytes::from_static(b"x")]);
    }
}
