//! Connections that end abruptly, at every step.

use std::{sync::Arc, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::json;
use starpoint_hostile_tests::{
    Peer, assert_memory_returns, assert_still_serves, assert_talk, new_identity,
};
use starpoint_test_support::{Client, Engine, Packet, Star, http::HttpConnection, within};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};

/// Connections before memory is first looked at, and after.
const N_WARM_UP: usize = 500;
const N_CLOSES: usize = 2_500;

/// Connections that are in progress at the same time.
const N_AT_ONCE: usize = 24;

/// Where a connection ends.
#[derive(Clone, Copy, Debug)]
enum Step {
    Connected,
    HalfRequest,
    HalfUpgrade,
    Upgraded,
    Polling,
    HalfPost,
    Handshaken,
    Challenged,
    HalfAnswered,
    Joined,
    Dialing,
    Dialed,
    HalfChunk,
    Writing,
    Ended,
    Dialer,
}

const STEPS: [Step; 16] = [
    Step::Connected,
    Step::HalfRequest,
    Step::HalfUpgrade,
    Step::Upgraded,
    Step::Polling,
    Step::HalfPost,
    Step::Handshaken,
    Step::Challenged,
    Step::HalfAnswered,
    Step::Joined,
    Step::Dialing,
    Step::Dialed,
    Step::HalfChunk,
    Step::Writing,
    Step::Ended,
    Step::Dialer,
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
    let mut star = Star::with_args([]);
    let mut rng = StdRng::seed_from_u64(seed());
    let mut honest = Peer::join(&star).await;
    let callee = Peer::join_with(&star, Engine::V4).await;
    let callee_address: Arc<str> = callee.address.as_str().into();
    let stop = Arc::new(Notify::new());
    let sink = tokio::spawn(take_every_dial(callee, Arc::clone(&stop)));

    close_many(star.port(), &callee_address, N_WARM_UP, &mut rng).await;
    let baseline = star.rss_bytes();
    close_many(star.port(), &callee_address, N_CLOSES, &mut rng).await;

    stop.notify_one();
    let mut callee = within("the callee", sink).await.expect("the callee lives");
    assert_talk(&mut honest, &mut callee, "after all of them").await;
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

/// Goes as far as `step` and ends there; `cut` is how much of a half is sent.
async fn close_at(step: Step, close: Close, engine: Engine, port: u16, callee: &str, cut: usize) {
    match step {
        Step::Connected
        | Step::HalfRequest
        | Step::HalfUpgrade
        | Step::Polling
        | Step::HalfPost => {
            let connection = in_http(step, engine, port, cut).await;
            match close {
                Close::Reset => connection.abort(),
                Close::Dropped => drop(connection),
            }
        }
        Step::Upgraded
        | Step::Handshaken
        | Step::Challenged
        | Step::HalfAnswered
        | Step::Joined
        | Step::Dialing
        | Step::Dialed
        | Step::HalfChunk
        | Step::Writing
        | Step::Ended
        | Step::Dialer => {
            let client = in_socket(step, engine, port, callee, cut).await;
            match close {
                Close::Reset => client.abort(),
                Close::Dropped => drop(client),
            }
        }
    }
}

async fn in_http(step: Step, engine: Engine, port: u16, cut: usize) -> HttpConnection {
    let number = engine.number();
    let mut connection = HttpConnection::connect(port).await;
    let target = format!("/socket.io/?EIO={number}&transport=");
    let half = match step {
        Step::HalfRequest => {
            format!("GET {target}polling HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n")
        }
        Step::HalfUpgrade => format!(
            "GET {target}websocket HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nupgrade: websocket\r\n\
             connection: upgrade\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ),
        Step::Polling | Step::HalfPost => {
            let target = format!("{target}polling");
            connection.send("GET", &target, "", b"").await.unwrap();
            let opened = within("open", connection.receive()).await.unwrap().text();
            let sid = opened
                .split("\"sid\":\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap();
            match step {
                Step::HalfPost => format!(
                    "POST {target}&sid={sid} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\
                     content-length: 1000\r\n\r\n42[\"half"
                ),
                _ => format!("GET {target}&sid={sid} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"),
            }
        }
        _ => String::new(),
    };
    let is_whole = matches!(step, Step::Polling | Step::HalfPost);
    let n_bytes = if is_whole {
        half.len()
    } else {
        half.len() * cut / 100
    };
    connection
        .send_raw(&half.as_bytes()[..n_bytes])
        .await
        .unwrap();
    connection
}

async fn in_socket(step: Step, engine: Engine, port: u16, callee: &str, cut: usize) -> Client {
    if matches!(step, Step::Upgraded) {
        return Client::connect_without_handshake(port, engine).await;
    }
    let mut client = Client::connect(port, engine).await;
    let identity = new_identity();
    let address = identity.address(port);
    let dial_id = identity.peer_id();
    let stream = format!("{dial_id}.dialer");
    if matches!(step, Step::Handshaken) {
        return client;
    }
    let nonce = client.ask_challenge(&identity, &address).await;
    if matches!(step, Step::Challenged) {
        return client;
    }
    let join = client
        .start_call("ss-join", [address.as_str(), &identity.sign(&nonce)])
        .await;
    if matches!(step, Step::HalfAnswered) {
        return client;
    }
    let reply = client.expect_ack(join).await;
    assert_eq!(
        reply.as_array().map(Vec::len),
        Some(3),
        "not joined: {reply}"
    );
    if matches!(step, Step::Joined) {
        return client;
    }
    let dial = client.start_dial(&address, callee, &dial_id).await;
    if matches!(step, Step::Dialing) {
        return client;
    }
    if matches!(step, Step::Dialer) {
        // Ahead of the answer, and gone.
        client.write(&stream, vec![1; cut * 100]).await;
        return client;
    }
    assert_eq!(client.expect_ack(dial).await, json!([]), "not connected");
    client.accept_stream(&format!("{dial_id}.listener")).await;
    match step {
        Step::HalfChunk => {
            let queue = format!("socket.io-pull-stream.queue.{stream}");
            client
                .send_text(format!(
                    "451-[\"{queue}\",{{\"_placeholder\":true,\"num\":0}}]"
                ))
                .await;
        }
        Step::Writing | Step::Ended => {
            for _ in 0..cut {
                client.write(&stream, vec![1; 1000]).await;
            }
            if matches!(step, Step::Ended) {
                client.end(&stream, json!([true])).await;
            }
        }
        _ => {}
    }
    client
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
    dialer.client.idle(Duration::ZERO).await.unwrap();
    assert_still_serves(&mut star).await;
    star.stop().await;
}
