use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use starpoint_broker::{ConnId, SourceId};
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::{
    account::Account,
    session::{Event, Heartbeat},
    source::Source,
};

const SECOND: Duration = Duration::from_secs(1);

/// A served connection, and its client.
struct Rig {
    client: WebSocketStream<DuplexStream>,
    events: mpsc::UnboundedReceiver<Event>,
    outgoing: Arc<Outgoing>,
    task: JoinHandle<()>,
    /// What the star said first.
    open: String,
}

fn greeter() -> Greeter {
    let identity = Keypair::ed25519_from_bytes([1; 32]).expect("32 bytes are a key");
    Greeter::new(
        Arc::new(identity),
        native::ClientNonce::from_random([2; 16]),
    )
}

/// Connects a client, up to the open packet.
async fn rig(engine: Engine) -> Rig {
    let (tell, events) = mpsc::unbounded_channel();
    let source = Arc::new(Source::new(SourceId(1), Account::new(1 << 24, 1 << 15), 1));
    let session = Session::new(
        ConnId(1),
        source,
        tell,
        None,
        Heartbeat::Own,
        Arc::default(),
    );
    let (near, far) = duplex(1 << 12);
    let connection = Connection::new(far, session, engine, greeter()).await;
    let outgoing = Arc::clone(&connection.outgoing);
    let task = tokio::spawn(connection);
    let mut rig = Rig {
        client: WebSocketStream::from_raw_socket(near, Role::Client, None).await,
        events,
        outgoing,
        task,
        open: String::new(),
    };
    rig.open = rig.text().await;
    assert!(rig.open.starts_with('0'));
    rig
}

/// Connects a client, up to the namespace.
async fn connected(engine: Engine) -> Rig {
    let mut rig = rig(engine).await;
    if engine == Engine::V4 {
        rig.send("40").await;
    }
    assert!(rig.text().await.starts_with("40"));
    let event = rig.event().await;
    assert!(matches!(event, Some(Event::Connected { .. })), "{event:?}");
    rig
}

impl Rig {
    async fn text(&mut self) -> String {
        let message = self.client.next().await.expect("the connection is open");
        let message = message.expect("a message");
        message.into_text().expect("text").as_str().to_owned()
    }

    async fn send(&mut self, text: &str) {
        let message = Message::text(text);
        self.client.send(message).await.expect("it is read");
    }

    /// Waits for what the star is told next, but for progress.
    async fn event(&mut self) -> Option<Event> {
        loop {
            let event = self.events.recv().await;
            if !matches!(event, Some(Event::Progress { .. })) {
                return event;
            }
        }
    }

    /// Waits for the connection to end; returns how, if the star knew of it.
    async fn ended(mut self) -> Option<Ending> {
        (&mut self.task).await.expect("it does not panic");
        match self.event().await {
            Some(Event::Disconnected { ending, .. }) => Some(ending),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    /// Answers heartbeats, or makes them, for so long.
    async fn live(&mut self, engine: Engine, time: Duration) -> usize {
        let mut n_heartbeats = 0;
        let beating = async {
            loop {
                match engine {
                    Engine::V3 => {
                        tokio::time::sleep(25 * SECOND).await;
                        self.send("2").await;
                        assert_eq!(self.text().await, "3");
                    }
                    Engine::V4 => {
                        assert_eq!(self.text().await, "2");
                        self.send("3").await;
                    }
                }
                n_heartbeats += 1;
            }
        };
        assert!(timeout(time, beating).await.is_err(), "it goes on");
        n_heartbeats
    }
}

#[tokio::test(start_paused = true)]
async fn r_native_11_a_client_that_is_silent_for_45_s_is_lost() {
    for engine in [Engine::V3, Engine::V4] {
        let rig = connected(engine).await;
        let begun = Instant::now();
        assert_eq!(rig.ended().await, Some(Ending::Silent), "{engine:?}");
        let time = begun.elapsed();
        assert!((45 * SECOND..46 * SECOND).contains(&time), "{time:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r_native_11_a_client_with_a_heartbeat_lives_and_is_lost_without_it() {
    for engine in [Engine::V3, Engine::V4] {
        let mut rig = connected(engine).await;
        let n_heartbeats = rig.live(engine, 600 * SECOND).await;
        assert!((23..=30).contains(&n_heartbeats), "{n_heartbeats}");
        assert!(!rig.task.is_finished(), "{engine:?}");
        let begun = Instant::now();
        assert_eq!(rig.ended().await, Some(Ending::Silent), "{engine:?}");
        let time = begun.elapsed();
        assert!((15 * SECOND..46 * SECOND).contains(&time), "{time:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r_native_11_whatever_a_client_says_is_a_sign_of_life() {
    for engine in [Engine::V3, Engine::V4] {
        let mut rig = connected(engine).await;
        for _ in 0..20 {
            tokio::time::sleep(44 * SECOND).await;
            rig.send("42[\"x\"]").await;
            let event = rig.event().await;
            assert!(matches!(event, Some(Event::Call { .. })), "{event:?}");
        }
        assert!(!rig.task.is_finished(), "{engine:?}");
        // The other half is gone: nothing comes any more, and that is no silence.
        rig.client.close(None).await.expect("it is read");
        assert_eq!(rig.ended().await, Some(Ending::Closed), "{engine:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_ask_for_the_namespace_is_closed() {
    let mut rig = rig(Engine::V4).await;
    let begun = Instant::now();
    for _ in 0..19 {
        tokio::time::sleep(SECOND).await;
        rig.send("3").await;
    }
    assert_eq!(rig.ended().await, None);
    let time = begun.elapsed();
    assert!((20 * SECOND..21 * SECOND).contains(&time), "{time:?}");
}

#[tokio::test]
async fn heartbeats_that_are_not_taken_do_not_pile_up() {
    for (engine, text) in [(Engine::V3, "2"), (Engine::V4, "40")] {
        let mut rig = connected(engine).await;
        for _ in 0..20_000 {
            rig.send(text).await;
        }
        let outgoing = Arc::clone(&rig.outgoing);
        let waiting = std::iter::from_fn(|| outgoing.pop()).take(100).count();
        assert!(waiting <= 1, "{engine:?}");
        assert!((&mut rig.task).now_or_never().is_none());
    }
}

#[tokio::test]
async fn r_http_4_the_names_of_sessions_are_random() {
    let mut names = std::collections::HashSet::new();
    for _ in 0..20 {
        let mut rig = rig(Engine::V4).await;
        rig.send("40").await;
        let space = rig.text().await;
        for text in [&rig.open[1..], &space[2..]] {
            let packet: serde_json::Value = serde_json::from_str(text).unwrap();
            let name = packet["sid"].as_str().unwrap().to_owned();
            assert!(name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit()));
            assert!(names.insert(name), "a name twice");
        }
    }
}
