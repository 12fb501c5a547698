//! The memory law for clients: whatever a star says, and whatever it does not read,
//! its client stays below a bound and is at its star again when the star is.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Stdio},
};

use serde_json::json;
use starpoint_hostile_tests::{
    attack::{Raw, server_frame, server_head},
    middle::Middle,
    new_identity,
};
use starpoint_test_support::{
    Profile, Star,
    http::metric,
    star::{command, limit_data_of, rss_bytes_of},
    within,
};
use tempfile::TempDir;
use tokio::time::{Duration, sleep, timeout};

/// How far the memory of a client may rise, in bytes: its largest message, twice
/// while it is put together, and what the allocator keeps.
const MAX_GROWTH_BYTES: u64 = 48 << 20;
/// Memory that the system gives the client.
const DATA_LIMIT_BYTES: u64 = 1 << 30;
/// What an attack sends unless the client stops reading.
const FLOOD_BYTES: usize = 64 << 20;
/// Time of an attack whose bytes the client takes slowly.
const FLOOD_TIME: Duration = Duration::from_secs(3);

/// A client that keeps a place at a star.
struct Listener {
    child: Child,
    /// Kept open: it would end if nobody could read what it prints.
    _stdout: BufReader<ChildStdout>,
    _folder: TempDir,
}

impl Listener {
    /// Starts one, and waits until it has joined for itself: it would end if it lost its
    /// star before.
    async fn start(port: u16) -> Self {
        let folder = TempDir::new().expect("a folder");
        let star = format!("/ip4/127.0.0.1/tcp/{port}/ws/p2p-websocket-star");
        let mut child = command()
            .args(["listen", "--echo", "--star", &star, "--key"])
            .arg(folder.path().join("key"))
            .arg("--known-stars")
            .arg(folder.path().join("known"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program starts");
        limit_data_of(child.id(), DATA_LIMIT_BYTES);
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let first_line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).map(|_| (line, stdout))
        });
        let first_line = within("the client listens", first_line).await;
        let (line, stdout) = first_line.expect("no panic").expect("text");
        assert!(!line.is_empty(), "the client has ended: {:?}", child.wait());
        Self {
            child,
            _stdout: stdout,
            _folder: folder,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Fails only if it has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn until_joined(star: &Star, listener: &mut Listener) {
    let joined = async {
        while metric(star, "rendezvous_peers").await != 1 {
            let ended = listener.child.try_wait().expect("a child");
            assert!(ended.is_none(), "the client has ended: {ended:?}");
            sleep(Duration::from_millis(50)).await;
        }
    };
    within("the client joins", joined).await;
}

/// Does the attack to a fresh connection of a client, several times.
async fn attacked(profile: Profile, what: &str, attack: impl AsyncFn(&mut Raw)) {
    let star = Star::with_args(["--grace", "0s"]);
    let middle = Middle::start(star.port(), profile).await;
    let mut listener = Listener::start(middle.port()).await;
    until_joined(&star, &mut listener).await;
    let baseline = rss_bytes_of(listener.child.id());
    for _ in 0..2 {
        let mut raw = middle.take().await;
        let gone = async {
            while metric(&star, "rendezvous_peers").await != 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        within("the star hears of it", gone).await;
        attack(&mut raw).await;
        let growth = rss_bytes_of(listener.child.id()).saturating_sub(baseline);
        eprintln!("{profile:?}, {what}: {} MiB more", growth >> 20);
        assert!(growth < MAX_GROWTH_BYTES, "{what}: {growth} bytes more");
        drop(raw);
        until_joined(&star, &mut listener).await;
    }
    star.stop().await;
}

async fn attacked_in_both(what: &str, attack: impl AsyncFn(&mut Raw)) {
    for profile in [Profile::Legacy, Profile::Native] {
        attacked(profile, what, &attack).await;
    }
}

#[tokio::test]
async fn pings_of_a_star_that_reads_nothing_cost_its_client_nothing() {
    let pings = server_frame(0x89, &[7; 125]).repeat(500);
    attacked_in_both("pings", async |raw: &mut Raw| {
        raw.flood(&pings, FLOOD_BYTES).await;
    })
    .await;
}

#[tokio::test]
async fn messages_of_a_star_that_do_not_end_are_bounded() {
    let endless = server_frame(0x00, &[b'4'; 16_000]);
    let attachments = server_frame(0x82, &[4; 300_000]);
    for (what, beginning, more) in [
        ("a huge frame", server_head(0x81, 1 << 40), &endless),
        ("the largest frame", server_head(0x81, 15 << 20), &endless),
        ("fragments", server_frame(0x01, b"42"), &endless),
        (
            "attachments",
            server_frame(0x81, br#"459-["ss-x",1]"#),
            &attachments,
        ),
    ] {
        attacked_in_both(what, async |raw: &mut Raw| {
            raw.send(&beginning).await;
            let flood = raw.flood(more, FLOOD_BYTES);
            let _ = timeout(FLOOD_TIME, flood).await;
        })
        .await;
    }
}

/// Everybody has come, again and again, and wants to be connected.
#[tokio::test]
async fn what_a_star_tells_of_is_bounded() {
    let ids: Vec<_> = (0..2000).map(|_| new_identity().peer_id()).collect();
    let text = |event: serde_json::Value| server_frame(0x81, format!("42{event}").as_bytes());
    let mut peers = Vec::new();
    let mut dials = Vec::new();
    let mut batches = Vec::new();
    let mut incoming = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        let address = format!("/ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star/ipfs/{id}");
        peers.extend(text(json!(["ws-peer", address])));
        let dial = json!({"dialId": number.to_string(), "dialTo": address, "dialFrom": address});
        dials.extend(text(json!(["ss-incoming", dial])));
        let batch = json!({"ns": "default", "seq": number, "joined": [id], "left": []});
        batches.extend(text(json!(["star-presence", batch])));
        let token = starpoint_hostile_tests::native::new_token();
        let asked = json!({"from": id, "token": token, "record": null});
        incoming.extend(text(json!(["star-incoming", asked])));
    }
    for (profile, what, bytes) in [
        (Profile::Legacy, "peers", &peers),
        (Profile::Legacy, "dials", &dials),
        (Profile::Native, "batches", &batches),
        (Profile::Native, "pipes", &incoming),
    ] {
        attacked(profile, what, async |raw: &mut Raw| {
            let flood = raw.flood(bytes, FLOOD_BYTES / 4);
            let _ = timeout(FLOOD_TIME, flood).await;
        })
        .await;
    }
}
