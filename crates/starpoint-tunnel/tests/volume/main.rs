//! Much of everything, in a process of its own: what its memory does is the work of
//! one tunnel, and of no other test.

#[expect(dead_code, reason = "it has more than volume needs")]
#[path = "../tunnel/services.rs"]
mod services;
#[expect(dead_code, reason = "it has more than volume needs")]
#[path = "../tunnel/stage.rs"]
mod stage;

use std::time::{Duration, Instant};

use starpoint_test_support::{Star, within};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Mutex,
};

use crate::{
    services::{Service, body, echo, read_all},
    stage::{Stage, all, connect},
};

const MIB: usize = 1024 * 1024;

/// Held by the test that runs.
static ALONE: Mutex<()> = Mutex::const_new(());

/// How memory of both sides, which are this process, and of the star grows.
#[derive(Debug)]
struct Memory {
    warm_bytes: [u64; 2],
    highest_bytes: [u64; 2],
}

impl Memory {
    /// Starts to measure once everything that stays has been allocated.
    fn warm(star: &Star) -> Self {
        let warm_bytes = [rss_bytes(), star.rss_bytes()];
        Self {
            warm_bytes,
            highest_bytes: warm_bytes,
        }
    }

    fn measure(&mut self, star: &Star) {
        let now_bytes = [rss_bytes(), star.rss_bytes()];
        for (highest, now) in self.highest_bytes.iter_mut().zip(now_bytes) {
            *highest = now.max(*highest);
        }
    }

    fn assert_flat(&self, most: u64) {
        for (index, side) in ["both sides", "the star"].into_iter().enumerate() {
            let grown = (self.highest_bytes[index] - self.warm_bytes[index]) / MIB as u64;
            assert!(grown < most, "{side}: {grown} MiB more");
        }
    }
}

fn rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a process has a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("a number")
        * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_15_a_gibibyte_goes_each_way_at_once_and_memory_stays_flat() {
    const N_MIB: usize = 1024;
    const N_WARM_MIB: usize = 16;
    let _alone = ALONE.lock().await;
    let service = Service::new(echo);
    let (stage, _guest, address) = Stage::between(service.address).await;
    let (mut reader, mut writer) = connect(address).await.into_split();
    let begun = Instant::now();
    let sending = tokio::spawn(async move {
        let chunk = body(MIB);
        for _ in 0..N_MIB {
            writer.write_all(&chunk).await.unwrap();
        }
        writer.shutdown().await.unwrap();
        writer
    });
    let (mut chunk, expected) = (vec![0; MIB], body(MIB));
    let mut memory = Memory::warm(&stage.star);
    for n in 0..N_MIB {
        within("another MiB", reader.read_exact(&mut chunk))
            .await
            .unwrap();
        assert!(chunk == expected, "MiB {n}");
        if n == N_WARM_MIB {
            memory = Memory::warm(&stage.star);
        }
        memory.measure(&stage.star);
    }
    let end = within("the end", reader.read(&mut chunk)).await;
    assert_eq!(end.unwrap(), 0);
    sending.await.unwrap();
    println!("{N_MIB} MiB each way in {:?}, {memory:?}", begun.elapsed());
    // Windows of Yamux grow for a while, by some 30 MiB.
    memory.assert_flat(96);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_short_sockets_leave_a_long_one_alone() {
    const N_ROUNDS: u32 = 700;
    const N_AT_ONCE: u32 = 100;
    const N_WARM_ROUNDS: u32 = 50;
    let _alone = ALONE.lock().await;
    let service = Service::new(echo);
    let (stage, _guest, address) = Stage::between(service.address).await;
    let mut lasting = connect(address).await;
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut memory = Memory::warm(&stage.star);
    for round in 0..N_ROUNDS {
        let short = (0..N_AT_ONCE).map(move |n| async move {
            let mut socket = connect(address).await;
            let sent = (round * N_AT_ONCE + n).to_be_bytes();
            socket.write_all(&sent).await.unwrap();
            socket.shutdown().await.unwrap();
            assert_eq!(read_all(&mut socket).await, sent);
        });
        let short = tokio::spawn(all("a hundred short sockets", short));
        // Beside them, not after them.
        let asked = Instant::now();
        let mut four = [0; 4];
        lasting.write_all(&round.to_be_bytes()).await.unwrap();
        within("an echo", lasting.read_exact(&mut four))
            .await
            .unwrap();
        assert_eq!(four, round.to_be_bytes());
        slowest = slowest.max(asked.elapsed());
        short.await.unwrap();
        if round == N_WARM_ROUNDS {
            memory = Memory::warm(&stage.star);
        }
        memory.measure(&stage.star);
    }
    let n_short = N_ROUNDS * N_AT_ONCE;
    println!(
        "{n_short} short sockets in {:?}, slowest echo {slowest:?}, {memory:?}",
        begun.elapsed()
    );
    memory.assert_flat(32);
}
