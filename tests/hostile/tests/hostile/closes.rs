//! Connections that end abruptly, at every step.

use std::sync::Arc;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::json;
use starpoint_hostile_tests::{
    Peer, assert_hear, assert_joined, assert_memory_returns, assert_still_serves, new_identity,
};
use starpoint_test_support::{Client, Engine, Packet, Reading, Star, http::HttpConnection, within};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};

/// Connections before memory is first looked at, and after.
///
/// One in eight leaves a session of long polling behind, which lives until its
/// heartbeat is missed; the tolerance has room for the few hundred of a run.
const N_WARM_UP: usize = 500;
const N_CLOSES: usize = 2_500;

/// Connections that are in progress at the same time.
const N_AT_ONCE: usize = 24;

/// Where a connection ends, from the first packet on.
#[derive(Clone, Copy, Debug)]
enum Step {
    Http(HttpStep),
    Socket(SocketStep),
}

/// Ends before there is a WebSocket.
#[derive(Clone, Copy, Debug)]
enum HttpStep {
    Connected,
    HalfRequest,
    HalfUpgrade,
    Polling,
    HalfPost,
}

/// How far a peer goes before it ends; each step includes those above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SocketStep {
    Upgraded,
    Handshaken,
    Challenged,
    Answered,
    Joined,
    Dialing,
    WritingAhead,
    Dialed,
    Writing,
    HalfChunk,
    Ended,
}

const STEPS: [Step; 16] = [
    Step::Http(HttpStep::Connected),
    Step::Http(HttpStep::HalfRequest),
    Step::Http(HttpStep::HalfUpgrade),
    Step::Http(HttpStep::Polling),
    Step::Http(HttpStep::HalfPost),
    Step::Socket(SocketStep::Upgraded),
    Step::Socket(SocketStep::Handshaken),
    Step::Socket(SocketStep::Challenged),
    Step::Socket(SocketStep::Answered),
    Step::Socket(SocketStep::Joined),
    Step::Socket(SocketStep::Dialing),
    Step::Socket(SocketStep::WritingAhead),
    Step::Socket(SocketStep::Dialed),
    Step::Socket(SocketStep::Writing),
    Step::Socket(SocketStep::HalfChunk),
    Step::Socket(SocketStep::Ended),
];

/// How it ends.
#[derive(Clone, Copy, Debug)]
enum Close {
    Reset,
    Dropped,
}

/// `STARPOINT_HOSTILE_SEED` replays another run.
fn seed() -> u64 {
    let given = std::env::var("STARPOINT_HOSTILE_SEED").ok();
    let seed = given.map_or(0x5745_4c4c, |text| {
        text.parse().expect("a seed is a number")
    });
    eprintln!("STARPOINT_HOSTILE_SEED={seed}");
    seed
}

#[tokio::test]
async fn thousands_of_abrupt_closes_leave_nothing_behind() {
    let mut star = Star::with_args(["--max-peers-per-ip=100000"]);
    let mut rng = StdRng::seed_from_u64(seed());
    let mut callee = Peer::join_with(&star, Engine::V4).await;
    callee.client.set_reading(Reading::WhileSending);
    let callee_address: Arc<str> = callee.address.as_str().into();
    let stop = Arc::new(Notify::new());
    let sink = tokio::spawn(take_every_dial(callee, Arc::clone(&stop)));

    close_many(star.port(), &callee_address, N_WARM_UP, &mut rng).await;
    let baseline = star.rss_bytes();
    close_many(star.port(), &callee_address, N_CLOSES, &mut rng).await;

    stop.notify_one();
    let mut callee = within("the callee", sink).await.expect("the callee lives");
    let mut honest = Peer::join(&star).await;
    let dial_id = "after all of them";
    let dial = honest.start_dial(&callee.address, dial_id).await;
    // Dials of those that are gone may still come first.
    while callee.client.accept_dial().await != dial_id {}
    assert_eq!(honest.client.expect_ack(dial).await, json!([]));
    honest
        .client
        .accept_stream(&format!("{dial_id}.listener"))
        .await;
    assert_hear(&mut honest, &mut callee, dial_id).await;
    assert_memory_returns(&star, baseline).await;
    assert_still_serves(&mut star).await;
    star.stop().await;
}

async fn close_many(port: u16, callee: &Arc<str>, n_closes: usize, rng: &mut StdRng) {
    let permits = Arc::new(Semaphore::new(N_AT_ONCE));
    let mut closes = JoinSet::new();
    for _ in 0..n_closes {
        let step = *STEPS.choose(rng).expect("there are steps");
        let close = if rng.random_bool(0.5) {
            Close::Reset
        } else {
            Close::Dropped
        };
        let engine = if rng.random_bool(0.5) {
            Engine::V3
        } else {
            Engine::V4
        };
        let cut = rng.random_range(1..100);
        let permit = Arc::clone(&permits)
            .acquire_owned()
            .await
            .expect("never closed");
        let callee = Arc::clone(callee);
        closes.spawn(async move {
            close_at(step, close, engine, port, &callee, cut).await;
            drop(permit);
        });
        while let Some(done) = closes.try_join_next() {
            done.expect("a connection gets as far as it should");
        }
    }
    while let Some(done) = closes.join_next().await {
        done.expect("a connection gets as far as it should");
    }
}

/// Goes as far as `step` and ends there; `cut` is a number for what a step does
/// by halves or repeatedly, 1 to 99.
async fn close_at(step: Step, close: Close, engine: Engine, port: u16, callee: &str, cut: usize) {
    match (step, close) {
        (Step::Http(step), Close::Reset) => in_http(step, engine, port, cut).await.abort(),
        (Step::Http(step), Close::Dropped) => drop(in_http(step, engine, port, cut).await),
        (Step::Socket(step), Close::Reset) => {
            in_socket(step, engine, port, callee, cut).await.abort();
        }
        (Step::Socket(step), Close::Dropped) => {
            drop(in_socket(step, engine, port, callee, cut).await);
        }
    }
}

async fn in_http(step: HttpStep, engine: Engine, port: u16, cut: usize) -> HttpConnection {
    let mut connection = HttpConnection::connect(port).await;
    let number = engine.number();
    let host = format!("HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n");
    let target = format!("/socket.io/?EIO={number}&transport=polling");
    let request = match step {
        HttpStep::Connected => String::new(),
        HttpStep::HalfRequest => half(&format!("GET {target} {host}\r\n"), cut),
        HttpStep::HalfUpgrade => half(
            &format!(
                "GET /socket.io/?EIO={number}&transport=websocket {host}upgrade: websocket\r\n\
                 connection: upgrade\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ),
            cut,
        ),
        HttpStep::Polling => {
            let sid = connection.open_session(&target).await;
            format!("GET {target}&sid={sid} {host}\r\n")
        }
        HttpStep::HalfPost => {
            let sid = connection.open_session(&target).await;
            format!("POST {target}&sid={sid} {host}content-length: 1000\r\n\r\n42[\"half")
        }
    };
    connection
        .send_raw(request.as_bytes())
        .await
        .expect("the star reads");
    connection
}

fn half(text: &str, percent: usize) -> String {
    text[..text.len() * percent / 100].to_owned()
}

async fn in_socket(
    step: SocketStep,
    engine: Engine,
    port: u16,
    callee: &str,
    cut: usize,
) -> Client {
    if step == SocketStep::Upgraded {
        return Client::connect_without_handshake(port, engine).await;
    }
    let mut client = Client::connect(port, engine).await;
    if step == SocketStep::Handshaken {
        return client;
    }
    let identity = new_identity();
    let address = identity.address(port);
    let nonce = client.ask_challenge(&identity, &address).await;
    if step == SocketStep::Challenged {
        return client;
    }
    let join = client
        .start_call("ss-join", [address.as_str(), &identity.sign(&nonce)])
        .await;
    if step == SocketStep::Answered {
        return client;
    }
    assert_joined(&client.expect_ack(join).await);
    if step > SocketStep::Joined {
        dial_and_write(&mut client, step, &address, callee, cut).await;
    }
    client
}

async fn dial_and_write(client: &mut Client, step: SocketStep, from: &str, to: &str, cut: usize) {
    // As unique as the address of the dialer.
    let dial_id = from.rsplit('/').next().unwrap_or_default();
    let stream = format!("{dial_id}.dialer");
    let dial = client.start_dial(from, to, dial_id).await;
    if step == SocketStep::Dialing {
        return;
    }
    client.write(&stream, vec![1; cut * 100]).await;
    if step == SocketStep::WritingAhead {
        return;
    }
    assert_eq!(client.expect_ack(dial).await, json!([]), "not connected");
    client.accept_stream(&format!("{dial_id}.listener")).await;
    if step == SocketStep::Dialed {
        return;
    }
    for _ in 0..cut {
        client.write(&stream, vec![1; 1000]).await;
    }
    if step == SocketStep::HalfChunk {
        let event = format!("socket.io-pull-stream.queue.{stream}");
        let header = json!([event, {"_placeholder": true, "num": 0}]);
        client.send_text(format!("451-{header}")).await;
    }
    if step == SocketStep::Ended {
        client.end(&stream, json!([true])).await;
    }
}

/// Takes every dial and answers it with a few bytes; reads whatever comes.
async fn take_every_dial(mut callee: Peer, stop: Arc<Notify>) -> Peer {
    loop {
        let packet = tokio::select! {
            () = stop.notified() => return callee,
            packet = callee.client.receive() => packet.expect("the star keeps the callee"),
        };
        if let Packet::Event(event) = packet
            && event.name == "ss-incomming"
        {
            let dial_id = event.args[0]
                .as_str()
                .expect("a dial id is text")
                .to_owned();
            callee
                .client
                .accept_stream(&format!("{dial_id}.dialer"))
                .await;
            callee.client.acknowledge(&event, json!([])).await;
            callee
                .client
                .write(&format!("{dial_id}.listener"), "welcome")
                .await;
        }
    }
}

/// A peer that says goodbye to many at once takes nobody with it.
#[tokio::test]
async fn the_end_of_one_side_of_many_streams_ends_them_all() {
    let mut star = Star::with_args([]);
    let mut dialer = Peer::join(&star).await;
    let mut callee = Peer::join(&star).await;
    for number in 0..100 {
        dialer.connect(&mut callee, &format!("{number}")).await;
    }
    callee.client.abort();
    for number in 0..100 {
        let (bytes, end) = dialer
            .client
            .read_to_end(&format!("{number}.listener"))
            .await;
        assert_eq!((bytes.len(), end), (0, json!(["Peer disconnected"])));
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}
