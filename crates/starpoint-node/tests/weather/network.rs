//! A way to a star as bad as wanted. TCP hides that packets are lost: what is left
//! of it is time, and connections that break.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

/// What happens to bytes on their way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    seed: u64,
    max_delay_ms: u64,
    /// Of 1 000 pieces, those that are sent again after a while.
    lost_per_mille: u64,
    max_piece_bytes: u64,
}

impl Weather {
    pub(crate) fn stormy(seed: u64) -> Self {
        Self {
            seed,
            max_delay_ms: 8,
            lost_per_mille: 20,
            max_piece_bytes: 3_000,
        }
    }

    pub(crate) fn calm(seed: u64) -> Self {
        Self {
            seed,
            max_delay_ms: 1,
            lost_per_mille: 0,
            max_piece_bytes: 16_000,
        }
    }
}

/// Time until a lost piece is sent again.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// A proxy in front of a star, until it is dropped.
pub(crate) struct Network {
    port: u16,
    state: Arc<Mutex<State>>,
    _task: JoinSet<()>,
}

#[derive(Default)]
struct State {
    controls: Vec<AbortHandle>,
    n_pipes: usize,
}

impl Network {
    pub(crate) async fn to(star: u16, weather: Weather) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(Mutex::new(State::default()));
        let mut task = JoinSet::new();
        task.spawn(serve(listener, star, weather, Arc::clone(&state)));
        Self {
            port,
            state,
            _task: task,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Breaks the connections that are no pipes; returns how many there were.
    pub(crate) fn cut_controls(&self) -> usize {
        let controls = std::mem::take(&mut lock(&self.state).controls);
        let open = controls.iter().filter(|control| !control.is_finished());
        open.map(AbortHandle::abort).count()
    }

    /// Returns how many pipes there have been.
    pub(crate) fn n_pipes(&self) -> usize {
        lock(&self.state).n_pipes
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, star: u16, weather: Weather, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    let mut dice = Dice(weather.seed);
    loop {
        let (client, _) = listener.accept().await.expect("the listener is there");
        let (there, back) = (Dice(dice.next()), Dice(dice.next()));
        let mut head = [0; 20];
        // Who connects speaks at once.
        client.readable().await.expect("it can be read");
        while client
            .peek(&mut head)
            .await
            .is_ok_and(|n| n > 0 && n < head.len())
        {
            tokio::task::yield_now().await;
        }
        let connection = connections.spawn(carry(client, star, weather, there, back));
        let mut state = lock(&state);
        if head.starts_with(b"GET /star/pipe/") {
            state.n_pipes += 1;
        } else {
            state.controls.push(connection);
        }
    }
}

/// Carries a connection; both ends are reset when this is dropped.
async fn carry(client: TcpStream, star: u16, weather: Weather, there: Dice, back: Dice) {
    let Ok(star) = TcpStream::connect(("127.0.0.1", star)).await else {
        return;
    };
    for end in [&client, &star] {
        end.set_zero_linger().expect("it is open");
        end.set_nodelay(true).expect("it is open");
    }
    let (client_reader, client_writer) = client.into_split();
    let (star_reader, star_writer) = star.into_split();
    let there = pass(client_reader, star_writer, weather, there);
    let back = pass(star_reader, client_writer, weather, back);
    // One that breaks ends both.
    let _ = tokio::try_join!(there, back);
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    weather: Weather,
    mut dice: Dice,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n_bytes =
            usize::try_from(1 + dice.below(weather.max_piece_bytes)).expect("it is small");
        let n_bytes = from.read(&mut buffer[..n_bytes]).await?;
        if n_bytes == 0 {
            return to.shutdown().await;
        }
        let mut delay = Duration::from_millis(dice.below(1 + weather.max_delay_ms));
        if dice.below(1_000) < weather.lost_per_mille {
            delay += RETRANSMISSION;
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        to.write_all(&buffer[..n_bytes]).await?;
    }
}

/// Numbers that look random and depend on the seed alone (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}
