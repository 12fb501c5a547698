use std::time::{Duration, Instant};

use starpoint_broker::{ConnId, SourceId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc,
};

use super::*;
use crate::source::Source;

const MASK: [u8; 4] = [1, 2, 3, 4];

struct Rig {
    client: DuplexStream,
    gate: Gate<DuplexStream>,
    session: Arc<Session>,
}

fn rig(protocol: ProtocolVersion) -> Rig {
    rig_with(protocol, LargeMessages::new(1 << 20, 1 << 20))
}

fn rig_with(protocol: ProtocolVersion, large: LargeMessages) -> Rig {
    let (events, _) = mpsc::unbounded_channel();
    let session = Session::new(ConnId(1), Arc::new(Source::new(SourceId(1))), events, None);
    let (client, server) = duplex(1 << 20);
    Rig {
        client,
        gate: Gate::new(server, session.clone(), protocol, large),
        session,
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
    } = rig(ProtocolVersion::V4);
    let first = masked(2, b"first message");
    let second = masked(2, b"second");
    client.write_all(&first[..5]).await.unwrap();
    let mut buf = vec![0; 5];
    gate.read_exact(&mut buf).await.unwrap();

    session.set_paused(true);
    client.write_all(&first[5..]).await.unwrap();
    client.write_all(&second).await.unwrap();
    let mut buf = vec![0; first.len() - 5];
    gate.read_exact(&mut buf).await.unwrap();
    assert_eq!(buf, first[5..]);
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
    } = rig(ProtocolVersion::V4);
    let reader = tokio::spawn(async move {
        let mut bytes = Vec::new();
        gate.read_to_end(&mut bytes).await.map(|_| bytes)
    });
    tokio::task::yield_now().await;
    session.close();
    let read = tokio::time::timeout(Duration::from_secs(10), reader).await;
    assert_eq!(read.unwrap().unwrap().unwrap(), CLOSE_FRAME);
}

#[tokio::test]
async fn a_finished_session_closes_when_everything_is_written() {
    let Rig {
        client: _client,
        mut gate,
        session,
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

#[tokio::test]
async fn large_messages_wait_for_room() {
    let large = LargeMessages::new(64 * 1024, 64 * 1024);
    let Rig {
        mut client,
        mut gate,
        session,
    } = rig_with(ProtocolVersion::V5, large.clone());
    let taken = large.room_for(40 * 1024).await.unwrap();
    let message = masked(2, &vec![7; 32 * 1024]);
    client.write_all(&message).await.unwrap();
    // The head has to be read to know how large it is.
    let mut head = [0; 8];
    gate.read_exact(&mut head).await.unwrap();
    assert!(is_waiting(&mut gate).await);

    drop(taken);
    let mut rest = vec![0; message.len() - head.len()];
    gate.read_exact(&mut rest).await.unwrap();
    assert_eq!(rest, message[head.len()..]);
    // The room goes on with the message until it is handed on.
    assert!(futures_util::poll!(std::pin::pin!(large.room_for(40 * 1024))).is_pending());
    drop(session.take_rooms());
    assert!(large.room_for(40 * 1024).await.is_ok());
}

#[tokio::test]
async fn a_client_that_does_not_finish_a_large_message_is_closed() {
    let Rig {
        mut client,
        mut gate,
        session,
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
