use futures_util::StreamExt as _;
use starpoint_broker::{ConnId, SourceId};
use tokio::{sync::mpsc, time::Instant};

use super::*;
use crate::{account::Account, session::Heartbeat};

/// A body that has begun and goes on for ever, a byte every 5 s.
fn endless() -> Body {
    let pieces = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Some((Ok::<_, Infallible>("1"), ()))
    });
    Body::from_stream(pieces)
}

fn session() -> Arc<Session> {
    let (events, _) = mpsc::unbounded_channel();
    let account = Account::new(1 << 20, 1 << 16);
    let source = Arc::new(Source::new(SourceId(1), account, 1));
    let (heartbeat, tally) = (Heartbeat::OfLibrary, Arc::default());
    Session::new(ConnId(1), source, events, None, heartbeat, tally)
}

fn nothing_charged(session: &Session) -> Charge {
    Charge::none(Arc::clone(&session.source))
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end_is_given_up() {
    let session = session();
    for (len, seconds) in [(10, 30), (SMALL_BYTES + 1, 60)] {
        let begin = Instant::now();
        let mut charge = nothing_charged(&session);
        let mut promise = None;
        let body = collect(endless(), &session, &mut promise, &mut charge);
        assert!(in_time(body, len).await.is_none());
        assert_eq!(begin.elapsed().as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_waited_for() {
    let pieces = stream::iter(["1", "2"]).then(|piece| async move {
        tokio::time::sleep(Duration::from_secs(14)).await;
        Ok::<_, Infallible>(piece)
    });
    let session = session();
    let mut charge = nothing_charged(&session);
    let (body, mut promise) = (Body::from_stream(pieces), None);
    let body = collect(body, &session, &mut promise, &mut charge);
    assert_eq!(in_time(body, 2).await.unwrap(), "12");
    assert_eq!(charge.bytes(), 2);
}

#[tokio::test]
async fn r_http_8_packets_are_handed_on_as_the_session_is_read() {
    let session = session();
    let payload = Bytes::from_static(b"42[]\x1e2\x1e42[1]");
    let mut pieces = Box::pin(pieces(session.clone(), Encoding::Text4, payload));
    assert_eq!(pieces.next().await, Some(Ok("42[]\x1e".into())));
    session.set_paused(true);
    let mut second = pieces.next();
    assert!(futures_util::poll!(&mut second).is_pending());
    session.set_paused(false);
    assert_eq!(second.await, Some(Ok("2\x1e".into())));
    assert_eq!(pieces.next().await, Some(Ok("42[1]".into())));
    assert_eq!(pieces.next().await, None);
}

#[test]
fn attachments_are_missed_from_one_payload_to_the_next() {
    let outline = |payload: &[u8], n_missing| {
        let outline = check(Encoding::Text4, payload, n_missing)?;
        Some((outline.n_missing, outline.has_ended_one))
    };
    assert_eq!(outline(b"2", 0), Some((0, true)));
    assert_eq!(outline(b"453-[]\x1ebAAAA", 0), Some((2, false)));
    assert_eq!(outline(b"2", 2), Some((2, false)));
    assert_eq!(outline(b"bAAAA\x1ebAAAA\x1e451-[]", 2), Some((1, true)));
    assert_eq!(outline(b"bAAAA", 1), Some((0, true)));
    assert_eq!(outline(b"42[]\x1e40/other,", 0), None);
    assert_eq!(outline(b"\xff", 0), None);
}

#[test]
fn r_http_8_an_event_is_charged_until_its_last_attachment_has_come() {
    let session = session();
    let account = session.source.share.account();
    let mut incomplete = Incomplete::default();
    for (n_missing, has_ended_one, held) in [
        (2, false, 100),
        (1, false, 200),
        (1, true, 100),
        (0, true, 0),
    ] {
        let charge = Charge::of(Arc::clone(&session.source), 100);
        let outline = Outline {
            n_missing,
            has_ended_one,
        };
        settle(&session, &mut incomplete, outline, charge);
        assert_eq!(account.held_bytes(), held);
    }
}

#[tokio::test]
async fn r_http_9_an_answer_counts_as_written_once_it_is_taken() {
    let session = session();
    session.sent(3);
    let answer = Bytes::from(vec![b'x'; 40_000]);
    let mut delivery = Delivery::new(session.clone(), 2, answer.clone());
    assert_eq!(delivery.size_hint().exact(), Some(40_000));
    for (bytes, packets) in [(16_384, 0), (32_768, 0), (40_000, 2)] {
        delivery.frame().await.unwrap().unwrap();
        assert_eq!(session.take_progress(), (packets, bytes));
    }
    assert!(delivery.is_end_stream());
    drop(delivery);
    assert!(!session.is_closing());
    drop(Delivery::new(session.clone(), 3, answer));
    assert!(session.is_closing(), "an answer was lost");
}
