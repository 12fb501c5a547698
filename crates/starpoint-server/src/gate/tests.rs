use std::time::{Duration, Instant};

use starpoint_broker::{ConnId, SourceId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc,
};

use super::*;
use crate::{
    account::{Account, Charge},
    session::Heartbeat,
    source::Source,
};

const MASK: [u8; 4] = [1, 2, 3, 4];

struct Rig {
    client: DuplexStream,
    gate: Gate<DuplexStream>,
    session: Arc<Session>,
    account: Arc<Account>,
}

fn rig(protocol: ProtocolVersion) -> Rig {
    rig_with(protocol, Account::new(1 << 24, 1 << 15))
}

/// Creates the session of a client that has joined.
fn session(account: &Arc<Account>) -> Arc<Session> {
    let (events, _) = mpsc::unbounded_channel();
    let source = Arc::new(Source::new(SourceId(1), Arc::clone(account), 1));
    let (heartbeat, tally) = (Heartbeat::OfLibrary, Arc::default());
    let session = Session::new(ConnId(1), source, events, None, heartbeat, tally);
    session.set_joined();
    session
}

fn rig_with(protocol: ProtocolVersion, account: Arc<Account>) -> Rig {
    let session = session(&account);
    let (client, server) = duplex(1 << 20);
    Rig {
        client,
        gate: Gate::new(server, session.clone(), protocol, 1 << 20),
        session,
        account,
    }
}

/// A client's frame.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u16::try_from(payload.len()) {
        Ok(len @ 0..126) => frame.push(0x80 | len as u8),
        Ok(len) => {
            frame.push(0x80 | 126);
            frame.extend(len.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(p, m)| p ^ m));
    frame
}

/// Whether a read is waiting; whatever it read is lost.
async fn is_waiting(gate: &mut Gate<DuplexStream>) -> bool {
    let mut buf = [0; 4096];
    futures_util::poll!(std::pin::pin!(gate.read(&mut buf))).is_pending()
}

#[tokio::test]
async fn r_flow_2_a_held_client_is_read_to_the_end_of_its_message_and_no_further() {
    let Rig {
        mut client,
        mut gate,
        session,
        ..
    } = rig(ProtocolVersion::V4);
    let first = masked(2, b"first message");
    let second = masked(2, b"second");
    client.write_all(&first[..9]).await.unwrap();
    let mut buf = vec![0; 9];
    gate.read_exact(&mut buf).await.unwrap();

    session.set_paused(true);
    client.write_all(&first[9..]).await.unwrap();
    client.write_all(&second).await.unwrap();
    let mut buf = vec![0; first.len() - 9];
    gate.read_exact(&mut buf).await.unwrap();
    assert_eq!(buf, first[9..]);
    assert!(is_waiting(&mut gate).await);

    session.set_paused(false);
    let mut buf = vec![0; second.len()];
    gate.read_exact(&mut buf).await.unwrap();
    assert_eq!(buf, second);
}

#[tokio::test]
async fn a_reader_that_waits_is_woken_when_its_client_is_released() {
    let Rig {
        mut client,
        mut gate,
        session,
        ..
    } = rig(ProtocolVersion::V4);
    session.set_paused(true);
    client.write_all(&masked(1, b"2")).await.unwrap();
    let reader = tokio::spawn(async move {
        let mut buf = [0; 7];
        gate.read_exact(&mut buf).await.map(|_| buf)
    });
    tokio::task::yield_now().await;
    session.set_paused(false);
    let read = tokio::time::timeout(Duration::from_secs(10), reader).await;
    assert!(read.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn r_flow_1_packets_count_when_their_last_byte_is_written() {
    let Rig {
        client: _client,
        mut gate,
        session,
        ..
    } = rig(ProtocolVersion::V4);
    // What Socket.IO says by itself does not count.
    for unsolicited in [
        &b"\x81\x010"[..],
        b"\x81\x0240",
        b"\x81\x013",
        b"\x81\x0241",
    ] {
        gate.write_all(unsolicited).await.unwrap();
    }
    assert_eq!(session.take_progress().0, 0);
    gate.write_all(b"\x81\x0442[]").await.unwrap();
    assert_eq!(session.take_progress().0, 1);
    gate.write_all(b"\x81\x0645").await.unwrap();
    gate.write_all(b"1-[]").await.unwrap();
    gate.write_all(b"\x82\x05\x04he").await.unwrap();
    assert_eq!(session.take_progress().0, 2);
    gate.write_all(b"ll\x81\x0443").await.unwrap();
    assert_eq!(session.take_progress().0, 3);
}

#[tokio::test]
async fn the_star_vouches_for_a_client_that_it_does_not_read() {
    for (protocol, heartbeat) in [(ProtocolVersion::V4, b'2'), (ProtocolVersion::V5, b'3')] {
        let Rig {
            client: _client,
            mut gate,
            session,
            ..
        } = rig(protocol);
        session.set_paused(true);
        session.watch(Instant::now());
        assert!(is_waiting(&mut gate).await, "too early");
        session.watch(Instant::now() + Duration::from_secs(31));
        let mut buf = [0; 7];
        gate.read_exact(&mut buf).await.unwrap();
        assert_eq!(buf, [0x81, 0x81, 0, 0, 0, 0, heartbeat]);
        assert!(is_waiting(&mut gate).await, "only once");
    }
}

#[tokio::test]
async fn nobody_vouches_for_a_silent_client() {
    let Rig {
        client: _client,
        mut gate,
        session,
        ..
    } = rig(ProtocolVersion::V5);
    session.watch(Instant::now() + Duration::from_secs(40));
    assert!(is_waiting(&mut gate).await);
}

#[tokio::test]
async fn a_closed_session_reads_as_closed_by_its_client_and_then_as_ended() {
    let Rig {
        client: _client,
        mut gate,
        session,
        ..
    } = rig(ProtocolVersion::V4);
    let reader = tokio::spawn(async move {
        let mut bytes = Vec::new();
        gate.read_to_end(&mut bytes).await.map(|_| bytes)
    });
    tokio::task::yield_now().await;
    session.close();
    let read = tokio::time::timeout(Duration::from_secs(10), reader).await;
    assert_eq!(read.unwrap().unwrap().unwrap(), close_frame(1001));
}

#[tokio::test]
async fn a_finished_session_closes_when_everything_is_written() {
    let Rig {
        client: _client,
        mut gate,
        session,
        ..
    } = rig(ProtocolVersion::V4);
    session.sent(2);
    gate.write_all(b"\x81\x0443[]").await.unwrap();
    session.finish();
    assert!(!session.is_closing());
    gate.write_all(b"\x81\x0443[").await.unwrap();
    assert!(!session.is_closing());
    gate.write_all(b"]").await.unwrap();
    assert!(session.is_closing());
}

/// What a gate makes the library read to close a connection.
fn close_frame(status: u16) -> Vec<u8> {
    [&[0x88, 0x82, 0, 0, 0, 0][..], &status.to_be_bytes()].concat()
}

#[tokio::test]
async fn r_limit_22_the_head_of_a_large_message_waits_for_room_and_the_client_is_vouched_for() {
    let Rig {
        mut client,
        mut gate,
        session,
        account,
    } = rig_with(ProtocolVersion::V5, Account::new(256 * 1024, 1 << 15));
    let other = Arc::new(Source::new(SourceId(2), Arc::clone(&account), 1));
    let taken = Charge::of(other, 200 * 1024);
    let small = masked(1, b"42[]");
    let message = masked(2, &vec![7; 32 * 1024]);
    client
        .write_all(&[&small[..], &message].concat())
        .await
        .unwrap();
    let mut buf = [0; 4096];
    let n_read = gate.read(&mut buf).await.unwrap();
    assert_eq!(buf[..n_read], small, "nothing of the large one");
    assert!(is_waiting(&mut gate).await);
    // It can be vouched for: the library is between two messages.
    session.watch(Instant::now() + Duration::from_secs(31));
    let n_read = gate.read(&mut buf).await.unwrap();
    assert_eq!(buf[..n_read], PONG_FRAME);
    assert!(is_waiting(&mut gate).await);

    drop(taken);
    let mut whole = vec![0; message.len()];
    gate.read_exact(&mut whole).await.unwrap();
    assert_eq!(whole, message);
    assert_eq!(account.held_bytes(), 32 * 1024, "until it is handed on");
    assert!(is_waiting(&mut gate).await);
    assert_eq!(account.held_bytes(), 0);
}

#[tokio::test]
async fn r_limit_22_heads_cost_nothing() {
    let account = Account::new(1 << 20, 1 << 15);
    let mut rigs = Vec::new();
    for _ in 0..100 {
        let mut rig = rig_with(ProtocolVersion::V4, account.clone());
        let message = masked(2, &vec![7; 200_000]);
        rig.client.write_all(&message[..14]).await.unwrap();
        assert!(rig.gate.read(&mut [0; 4096]).await.unwrap() >= 14);
        assert!(is_waiting(&mut rig.gate).await);
        rigs.push(rig);
    }
    assert_eq!(account.held_bytes(), 0);
}

#[tokio::test]
async fn r_limit_22_fragments_and_attachments_are_charged_until_the_packet_is_whole() {
    let Rig {
        mut client,
        mut gate,
        account,
        ..
    } = rig(ProtocolVersion::V5);
    let mut fragment = masked(1, b"452-[\"x\"");
    fragment[0] &= 0x7f;
    let mut rest = masked(0, b",1]");
    let heartbeat = masked(1, b"3");
    let attachment = masked(2, &[7; 10_000]);
    let mut buf = [0; 1 << 15];
    for part in [&fragment, &rest, &attachment, &heartbeat] {
        client.write_all(part).await.unwrap();
        gate.read_exact(&mut buf[..part.len()]).await.unwrap();
    }
    assert!(is_waiting(&mut gate).await);
    let held = b"452-[\"x\",1]".len() + 10_000 + 1;
    assert_eq!(account.held_bytes(), held);
    client.write_all(&attachment).await.unwrap();
    gate.read_exact(&mut buf[..attachment.len()]).await.unwrap();
    assert!(is_waiting(&mut gate).await);
    assert_eq!(account.held_bytes(), 0);
    // Announced in a piece too short to be seen.
    fragment = masked(1, b"45");
    fragment[0] &= 0x7f;
    rest.clear();
    client.write_all(&fragment).await.unwrap();
    let n_read = gate.read(&mut buf).await.unwrap();
    assert_eq!(buf[..n_read], close_frame(1002));
}

#[tokio::test]
async fn r_limit_21_nothing_above_16_kib_is_read_before_a_join() {
    let account = Account::new(1 << 24, 1 << 15);
    let (events, _) = mpsc::unbounded_channel();
    let source = Arc::new(Source::new(SourceId(1), Arc::clone(&account), 1));
    let session = Session::new(
        ConnId(1),
        source,
        events,
        None,
        Heartbeat::OfLibrary,
        Arc::default(),
    );
    let (mut client, server) = duplex(1 << 20);
    let mut gate = Gate::new(server, session.clone(), ProtocolVersion::V4, 1 << 20);
    let mut buf = vec![0; 1 << 16];
    // In pieces, so that none of them is too long.
    let mut fragment = masked(1, &[b'4'; 16_000]);
    fragment[0] &= 0x7f;
    client.write_all(&fragment).await.unwrap();
    gate.read_exact(&mut buf[..fragment.len()]).await.unwrap();
    client.write_all(&masked(0, &[b'4'; 1_000])).await.unwrap();
    let n_read = gate.read(&mut buf).await.unwrap();
    assert_eq!(buf[..n_read], close_frame(1009));
    assert!(session.is_closing());
}

#[tokio::test]
async fn r_limit_23_pings_are_answered_here_and_only_the_last_while_nothing_is_taken() {
    let account = Account::new(1 << 24, 1 << 15);
    let session = session(&account);
    let (mut client, server) = duplex(4096);
    let mut gate = Gate::new(server, session.clone(), ProtocolVersion::V4, 1 << 20);
    let ping = |n: u32| masked(9, &[&n.to_be_bytes()[..], &[1; 121]].concat());
    let pong = |n: u32| [&[0x8a, 125][..], &n.to_be_bytes(), &[1; 121]].concat();
    let mut buf = [0; 4096];
    for n in 0..1000 {
        client.write_all(&ping(n)).await.unwrap();
        let mut read = vec![0; ping(n).len()];
        gate.read_exact(&mut read).await.unwrap();
        assert_eq!(read[0], 0x8a, "the library reads a pong");
        assert_eq!(read[1..], ping(n)[1..]);
    }
    assert_eq!(session.tally().n_pings(), 1000);
    let n_written = 1000 - session.tally().n_pongs_left_out() as u32;
    // What the library writes waits behind a pong that has begun, and arrives whole.
    let library = tokio::spawn(async move {
        gate.write_all(b"\x81\x0443[]").await.unwrap();
        gate.flush().await.unwrap();
    });
    let mut n_pongs = 0;
    let mut last = None;
    loop {
        client.read_exact(&mut buf[..2]).await.unwrap();
        let len = usize::from(buf[1]);
        client.read_exact(&mut buf[2..2 + len]).await.unwrap();
        if buf[..2 + len] == *b"\x81\x0443[]" {
            break;
        }
        n_pongs += 1;
        last = Some(buf[..2 + len].to_vec());
    }
    library.await.unwrap();
    assert_eq!(last, Some(pong(999)));
    assert!(
        n_pongs < 40 && n_pongs == n_written,
        "{n_pongs} of {n_written}"
    );
}

#[tokio::test]
async fn a_broken_off_session_fails_the_write_that_waits() {
    let account = Account::new(1 << 24, 1 << 15);
    let session = session(&account);
    let (_client, server) = duplex(16);
    let mut gate = Gate::new(server, session.clone(), ProtocolVersion::V4, 1 << 20);
    let library = tokio::spawn(async move { gate.write_all(&[0; 1000]).await });
    tokio::task::yield_now().await;
    session.break_off(crate::tally::CloseCause::Stalled);
    let written = tokio::time::timeout(Duration::from_secs(10), library).await;
    assert!(written.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn a_client_that_does_not_finish_a_large_message_is_closed() {
    let Rig {
        mut client,
        mut gate,
        session,
        ..
    } = rig(ProtocolVersion::V5);
    let message = masked(2, &vec![7; 32 * 1024]);
    client.write_all(&message[..100]).await.unwrap();
    let mut head = [0; 8];
    gate.read_exact(&mut head).await.unwrap();
    assert!(gate.read(&mut [0; 4096]).await.unwrap() > 0);
    session.watch(Instant::now() + Duration::from_secs(59));
    assert!(!session.is_closing());
    session.watch(Instant::now() + Duration::from_secs(61));
    assert!(session.is_closing());
}
