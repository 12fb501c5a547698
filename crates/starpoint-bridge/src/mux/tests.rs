use super::*;
use crate::{
    codec::{FrameEvent, HEADER_BYTES, MAX_SENT_PAYLOAD_BYTES, frames},
    ids::MAX_LINES,
    reassembly::{MESSAGE_LIFETIME, ReassemblyLimits},
    room::{MAX_ROOM_BYTES, charge, encode_room},
};

mod hostile;
mod room;
mod storm;

const WINDOW: usize = 64 * 1024;

fn config() -> MuxConfig {
    MuxConfig {
        window_bytes: WINDOW,
        ..MuxConfig::default()
    }
}

fn mux(role: Role) -> Mux {
    Mux::new(role, config()).unwrap()
}

fn frame(event: FrameEvent, line: u16, message: u16, payload: &[u8]) -> Bytes {
    let payload = Bytes::copy_from_slice(payload);
    Frame::whole(event, line, message, payload)
        .unwrap()
        .encode()
}

/// Gives a frame to a mux.
fn receive(mux: &mut Mux, event: FrameEvent, line: u16, message: u16, payload: &[u8]) {
    mux.handle_message(&frame(event, line, message, payload), Instant::now());
}

fn events(mux: &mut Mux) -> Vec<Event> {
    std::iter::from_fn(|| mux.next_event()).collect()
}

/// What a mux has to say, as event, line, message and payload.
fn sent(mux: &mut Mux) -> Vec<(FrameEvent, u16, u16, Bytes)> {
    std::iter::from_fn(|| mux.next_message())
        .map(|bytes| {
            let frame = Frame::decode(&bytes).unwrap();
            let (event, line, message) = (frame.event(), frame.line(), frame.message());
            (event, line, message, frame.into_payload())
        })
        .collect()
}

/// The same, without payloads and without what gives room.
fn sent_events(mux: &mut Mux) -> Vec<(FrameEvent, u16)> {
    let words = sent(mux).into_iter();
    words.map(|(event, line, ..)| (event, line)).collect()
}

fn close_code(mux: &mut Mux) -> Option<String> {
    let closed = sent(mux)
        .into_iter()
        .find(|(event, ..)| *event == FrameEvent::Close);
    closed.map(|(.., code)| String::from_utf8(code.to_vec()).unwrap())
}

/// Carries messages both ways until nobody has any.
fn exchange(a: &mut Mux, b: &mut Mux) {
    loop {
        let to_b: Vec<_> = std::iter::from_fn(|| a.next_message()).collect();
        let to_a: Vec<_> = std::iter::from_fn(|| b.next_message()).collect();
        if to_a.is_empty() && to_b.is_empty() {
            return;
        }
        for message in to_b {
            b.handle_message(&message, Instant::now());
        }
        for message in to_a {
            a.handle_message(&message, Instant::now());
        }
    }
}

fn incoming(mux: &mut Mux) -> LineKey {
    events(mux)
        .into_iter()
        .find_map(|event| match event {
            Event::Incoming(line) => Some(line),
            Event::Opened(_) | Event::Readable(_) | Event::Sent(..) | Event::Reset(..) => None,
        })
        .expect("a line has come in")
}

/// Two sides with one line that both know.
fn joined() -> (Mux, LineKey, Mux, LineKey) {
    let (mut client, mut host) = (mux(Role::Opens), mux(Role::Serves));
    let near = client.open().unwrap();
    exchange(&mut client, &mut host);
    let far = incoming(&mut host);
    host.accept(far);
    exchange(&mut client, &mut host);
    assert_eq!(events(&mut client), [Event::Opened(near)]);
    (client, near, host, far)
}

/// A host whose line 1 comes from the reference: what it says is heard by hand.
fn plain_host() -> (Mux, LineKey) {
    let mut host = mux(Role::Serves);
    receive(&mut host, FrameEvent::Connect, 1, 0, b"");
    let line = incoming(&mut host);
    host.accept(line);
    (host, line)
}

/// Reads and takes all.
fn drain(mux: &mut Mux, line: LineKey) -> (Vec<u8>, Option<Read>) {
    let mut bytes = Vec::new();
    loop {
        match mux.read(line) {
            Some(Read::Data(data)) => {
                mux.taken(line, data.len());
                bytes.extend_from_slice(&data);
            }
            other @ (Some(Read::End | Read::Over) | None) => return (bytes, other),
        }
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let wrong = |change: fn(&mut MuxConfig)| {
        let mut config = MuxConfig::default();
        change(&mut config);
        Mux::new(Role::Opens, config)
            .map(|_| ())
            .unwrap_err()
            .setting
    };
    assert_eq!(wrong(|config| config.max_lines = 0), "max_lines");
    assert_eq!(wrong(|config| config.max_lines = 65_536), "max_lines");
    assert_eq!(wrong(|config| config.chunk_bytes = 65_525), "chunk_bytes");
    assert_eq!(wrong(|config| config.window_bytes = 65_535), "window_bytes");
    assert_eq!(wrong(|config| config.untaken_bytes = 1), "untaken_bytes");
}

#[test]
fn r_bridge_2_a_mux_sends_65524_bytes_at_most_and_takes_65525() {
    let config = MuxConfig {
        chunk_bytes: MAX_SENT_PAYLOAD_BYTES,
        window_bytes: MAX_ROOM_BYTES,
        ..MuxConfig::default()
    };
    let mut client = Mux::new(Role::Opens, config).unwrap();
    let line = client.open().unwrap();
    assert_eq!(sent(&mut client)[0].3, encode_room(1024 * 1024));
    receive(&mut client, FrameEvent::Connect, 1, 0, b"");
    client.write(line, vec![1; OUTBOX_BYTES].into()).unwrap();
    let lens: Vec<_> = sent(&mut client)
        .iter()
        .map(|(.., payload)| HEADER_BYTES + payload.len())
        .collect();
    assert_eq!(lens, [65_535, 11 + 12]);
    receive(&mut client, FrameEvent::Data, 1, 1, &[7; 65_525]);
    assert_eq!(drain(&mut client, line), (vec![7; 65_525], None));
}

/// The words of one echo, as they were recorded, with a plain peer on either side.
#[test]
fn r_bridge_10_a_dialogue_with_the_reference_has_its_words() {
    use FrameEvent::{Close, Connect, Data};
    let mut client = mux(Role::Opens);
    let near = client.open().unwrap();
    client.write(near, Bytes::from_static(b"hi")).unwrap();
    assert_eq!(sent_events(&mut client), [(Connect, 1), (Data, 1)]);
    receive(&mut client, Connect, 1, 0, b"");
    receive(&mut client, Data, 1, 1, b"hi");
    assert_eq!(drain(&mut client, near), (b"hi".to_vec(), None));
    client.end(near);
    assert_eq!(sent_events(&mut client), [(Close, 1)]);
    receive(&mut client, Close, 1, 2, b"");
    assert_eq!(client.read(near), Some(Read::Over));
    client.finish(near);
    assert_eq!((client.n_lines(), sent(&mut client).len()), (0, 0));

    let (mut host, far) = plain_host();
    receive(&mut host, Data, 1, 1, b"hi");
    assert_eq!(drain(&mut host, far), (b"hi".to_vec(), None));
    host.write(far, Bytes::from_static(b"hi")).unwrap();
    let expected = [
        (Connect, 1, 0, Bytes::new()),
        (Data, 1, 1, Bytes::from_static(b"hi")),
    ];
    assert_eq!(sent(&mut host), expected);
    receive(&mut host, Close, 1, 2, b"");
    assert_eq!(host.read(far), Some(Read::Over));
    host.finish(far);
    assert_eq!(sent(&mut host), [(Close, 1, 2, Bytes::new())]);
    assert_eq!(host.n_lines(), 0);
}

#[test]
fn r_bridge_10_a_host_that_ends_first_closes_to_the_reference() {
    let (mut host, far) = plain_host();
    host.write(far, Bytes::from_static(b"bye")).unwrap();
    host.end(far);
    let all = sent_events(&mut host);
    assert_eq!(all.last(), Some(&(FrameEvent::Close, 1)));
    assert_eq!(all.len(), 3);
    assert_eq!(host.n_lines(), 1, "until the other side has closed too");
    receive(&mut host, FrameEvent::Close, 1, 1, b"");
    assert_eq!(drain(&mut host, far), (Vec::new(), Some(Read::Over)));
    host.finish(far);
    assert_eq!((host.n_lines(), sent(&mut host).len()), (0, 0));
}

#[test]
fn r_bridge_10_a_close_with_unread_data_is_read_behind_them() {
    let (mut host, far) = plain_host();
    for message in 1..=3 {
        receive(
            &mut host,
            FrameEvent::Data,
            1,
            message,
            &[message as u8; 4_000],
        );
    }
    receive(&mut host, FrameEvent::Close, 1, 4, b"");
    let (bytes, end) = drain(&mut host, far);
    assert_eq!((bytes.len(), end), (12_000, Some(Read::Over)));
}

#[test]
fn r_bridge_10_a_burst_before_the_target_is_there_is_not_lost() {
    let mut host = mux(Role::Serves);
    receive(&mut host, FrameEvent::Connect, 1, 0, b"");
    receive(&mut host, FrameEvent::Data, 1, 1, b"all");
    receive(&mut host, FrameEvent::Close, 1, 2, b"");
    let line = incoming(&mut host);
    assert!(sent(&mut host).is_empty());
    host.accept(line);
    assert_eq!(drain(&mut host, line), (b"all".to_vec(), Some(Read::Over)));
    host.finish(line);
    assert_eq!(sent_events(&mut host), [(FrameEvent::Close, 1)]);
}

#[test]
fn r_bridge_11_each_direction_ends_by_itself() {
    let (mut client, near, mut host, far) = joined();
    client.write(near, Bytes::from_static(b"ask")).unwrap();
    client.end(near);
    exchange(&mut client, &mut host);
    assert_eq!(drain(&mut host, far), (b"ask".to_vec(), Some(Read::End)));
    host.write(far, Bytes::from_static(b"answer")).unwrap();
    host.end(far);
    exchange(&mut client, &mut host);
    assert_eq!(
        drain(&mut client, near),
        (b"answer".to_vec(), Some(Read::End))
    );
    host.finish(far);
    exchange(&mut client, &mut host);
    assert_eq!((client.n_lines(), host.n_lines()), (1, 1));
    client.finish(near);
    exchange(&mut client, &mut host);
    assert_eq!((client.n_lines(), host.n_lines()), (0, 0));
}

#[test]
fn r_bridge_11_an_end_waits_until_the_other_side_is_known() {
    let (mut client, mut host) = (mux(Role::Opens), mux(Role::Serves));
    let near = client.open().unwrap();
    client.write(near, Bytes::from_static(b"burst")).unwrap();
    client.end(near);
    assert_eq!(sent(&mut client).len(), 2, "CONNECT and DATA");
    receive(&mut host, FrameEvent::Connect, 1, 0, &encode_room(1));
    let far = incoming(&mut host);
    host.accept(far);
    exchange(&mut client, &mut host);
    assert_eq!(host.read(far), None, "the data is still missing");
    receive(&mut host, FrameEvent::Data, 1, 1, b"burst");
    assert_eq!(drain(&mut host, far), (b"burst".to_vec(), Some(Read::End)));
}

#[test]
fn r_bridge_9_a_reset_is_told_with_its_reason_and_both_forget() {
    let (mut client, near, mut host, far) = joined();
    host.write(far, Bytes::from_static(b"lost")).unwrap();
    host.reset(far, CloseReason::Reset);
    exchange(&mut client, &mut host);
    assert_eq!(
        events(&mut client),
        [Event::Reset(near, CloseReason::Reset)]
    );
    assert_eq!((client.n_lines(), host.n_lines()), (0, 0));

    let (mut client, near, mut host, far) = joined();
    client.reset(near, CloseReason::Reset);
    host.reset(far, CloseReason::Reset);
    exchange(&mut client, &mut host);
    assert_eq!((client.n_lines(), host.n_lines()), (0, 0), "both at once");
}

#[test]
fn r_bridge_9_a_target_that_refuses_is_told() {
    let (mut client, mut host) = (mux(Role::Opens), mux(Role::Serves));
    let near = client.open().unwrap();
    exchange(&mut client, &mut host);
    let far = incoming(&mut host);
    host.reset(far, CloseReason::Refused);
    exchange(&mut client, &mut host);
    assert_eq!(
        events(&mut client),
        [Event::Reset(near, CloseReason::Refused)]
    );
    assert_eq!((client.n_lines(), host.n_lines()), (0, 0));
}

#[test]
fn a_line_of_which_nobody_has_heard_leaves_no_trace() {
    let mut client = mux(Role::Opens);
    let line = client.open().unwrap();
    client.reset(line, CloseReason::Reset);
    assert_eq!((client.n_lines(), sent(&mut client).len()), (0, 0));
}

#[test]
fn r_bridge_6_an_id_is_free_when_the_host_has_heard_the_last_word() {
    let (mut client, near, mut host, far) = joined();
    host.reset(far, CloseReason::Reset);
    let reset: Vec<_> = std::iter::from_fn(|| host.next_message()).collect();
    client.reset(near, CloseReason::Reset);
    for message in &reset {
        client.handle_message(message, Instant::now());
    }
    assert_eq!(client.n_lines(), 1, "the host has not heard of the reset");
    exchange(&mut client, &mut host);
    assert_eq!((client.n_lines(), host.n_lines()), (0, 0));
}

#[test]
fn r_bridge_6_only_one_side_opens_lines_and_the_number_is_bounded() {
    let config = MuxConfig {
        max_lines: 2,
        ..config()
    };
    let mut host = Mux::new(Role::Serves, config).unwrap();
    assert_eq!(host.open(), Err(OpenError::Serves));
    let mut client = mux(Role::Opens);
    let lines: Vec<_> = (0..3).map(|_| client.open().unwrap()).collect();
    exchange(&mut client, &mut host);
    assert_eq!(
        events(&mut client),
        [Event::Reset(lines[2], CloseReason::Busy)]
    );
    assert_eq!((client.n_lines(), host.n_lines()), (2, 2));
    let mut client = Mux::new(Role::Opens, config).unwrap();
    let first = client.open().unwrap();
    client.open().unwrap();
    assert_eq!(client.open(), Err(OpenError::Busy));
    client.reset(first, CloseReason::Reset);
    assert!(client.open().is_ok());
}

#[test]
fn r_bridge_6_when_65535_lines_live_the_next_is_refused() {
    let (mut client, near, mut host, far) = joined();
    for _ in 1..MAX_LINES {
        client.open().unwrap();
    }
    assert_eq!(client.open(), Err(OpenError::Busy));
    exchange(&mut client, &mut host);
    assert_eq!((client.n_lines(), host.n_lines()), (MAX_LINES, MAX_LINES));
    client.write(near, Bytes::from_static(b"mine")).unwrap();
    exchange(&mut client, &mut host);
    assert_eq!(drain(&mut host, far), (b"mine".to_vec(), None));
}

#[test]
fn r_bridge_13_a_bridge_that_stops_tells_every_line() {
    let (mut client, near, mut host, far) = joined();
    client.open().unwrap();
    exchange(&mut client, &mut host);
    host.stop();
    let told = events(&mut host);
    assert!(told.contains(&Event::Reset(far, CloseReason::Stopped)));
    exchange(&mut client, &mut host);
    assert!(events(&mut client).contains(&Event::Reset(near, CloseReason::Stopped)));
    assert_eq!((client.n_lines(), host.n_lines()), (0, 0));
}

#[test]
fn r_bridge_4_messages_of_several_frames_are_data_like_others() {
    let (mut host, line) = plain_host();
    let payload: Bytes = (0..200_000_u32).map(|n| n as u8).collect();
    let mut sent = frames(FrameEvent::Data, 1, 1, &payload, 65_525).unwrap();
    sent.reverse();
    for frame in sent {
        host.handle_message(&frame.encode(), Instant::now());
    }
    assert_eq!(drain(&mut host, line), (payload.to_vec(), None));
}

#[test]
fn lines_take_turns() {
    let (mut client, near, mut host, _) = joined();
    let second = client.open().unwrap();
    exchange(&mut client, &mut host);
    let other = incoming(&mut host);
    host.accept(other);
    exchange(&mut client, &mut host);
    for line in [near, second] {
        client.write(line, vec![1; 50_000].into()).unwrap();
    }
    let order: Vec<_> = sent_events(&mut client)
        .iter()
        .map(|(_, line)| *line)
        .collect();
    assert_eq!(order, [1, 2, 1, 2, 1, 2, 1, 2]);
    assert_eq!(charge(1), 129);
}
