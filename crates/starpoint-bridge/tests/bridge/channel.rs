//! A channel of messages in memory, with seeded delay and so in any order.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::PollSender;

/// Most messages on their way in one direction.
const IN_FLIGHT: usize = 256;

/// One end of a channel.
pub(crate) struct End {
    to: PollSender<Bytes>,
    from: mpsc::Receiver<Bytes>,
}

/// What happens to messages on their way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) seed: u64,
    /// Each message is late by up to as much.
    pub(crate) max_delay: Duration,
}

/// Sees every message that the first end sends.
pub(crate) type Tap = Box<dyn FnMut(&Bytes) + Send>;

impl Weather {
    pub(crate) const CALM: Self = Self {
        seed: 0,
        max_delay: Duration::ZERO,
    };

    pub(crate) fn stormy(seed: u64) -> Self {
        Self {
            seed,
            max_delay: Duration::from_millis(5),
        }
    }
}

/// Makes a channel.
pub(crate) fn channel(weather: Weather) -> (End, End) {
    tapped_channel(weather, Box::new(|_| {}))
}

/// Makes a channel of which something sees one direction.
pub(crate) fn tapped_channel(weather: Weather, tap: Tap) -> (End, End) {
    let there = Weather {
        seed: weather.seed.wrapping_mul(2) | 1,
        ..weather
    };
    let back = Weather {
        seed: weather.seed.wrapping_add(7_919).wrapping_mul(2) | 1,
        ..weather
    };
    let (to_there, from_here) = direction(there, tap);
    let (to_here, from_there) = direction(back, Box::new(|_| {}));
    let here = End {
        to: PollSender::new(to_there),
        from: from_there,
    };
    let there = End {
        to: PollSender::new(to_here),
        from: from_here,
    };
    (here, there)
}

fn direction(weather: Weather, tap: Tap) -> (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>) {
    let (to, sent) = mpsc::channel(16);
    let (arrived, from) = mpsc::channel(16);
    tokio::spawn(carry(weather, tap, sent, arrived));
    (to, from)
}

async fn carry(
    weather: Weather,
    mut tap: Tap,
    mut sent: mpsc::Receiver<Bytes>,
    arrived: mpsc::Sender<Bytes>,
) {
    let mut random = weather.seed;
    let mut on_their_way: BinaryHeap<Reverse<(Instant, u64, Bytes)>> = BinaryHeap::new();
    let mut count = 0;
    let mut is_open = true;
    while is_open || !on_their_way.is_empty() {
        let due = on_their_way.peek().map(|Reverse((due, ..))| *due);
        tokio::select! {
            message = sent.recv(), if is_open && on_their_way.len() < IN_FLIGHT => {
                let Some(message) = message else {
                    is_open = false;
                    continue;
                };
                tap(&message);
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let micros = weather.max_delay.as_micros() as u64;
                let delay = Duration::from_micros(random % (micros + 1));
                count += 1;
                on_their_way.push(Reverse((Instant::now() + delay, count, message)));
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let Some(Reverse((.., message))) = on_their_way.pop() else { continue };
                if arrived.send(message).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Stream for End {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.from.poll_recv(cx).map(|message| message.map(Ok))
    }
}

impl Sink<Bytes> for End {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = self.to.poll_reserve(cx);
        ready.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn start_send(mut self: Pin<&mut Self>, message: Bytes) -> io::Result<()> {
        let sent = self.to.send_item(message);
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.to.close();
        Poll::Ready(Ok(()))
    }
}
