//! One line at the bottom of a terminal that says how things are now.

use std::{
    future,
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use starpoint_node::Multiaddr;
use starpoint_tunnel::monitor::Traffic;
use tokio::time;

/// How often the line is drawn.
const INTERVAL: Duration = Duration::from_secs(1);

/// How a connection runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Through a star.
    Relayed,
    /// Past it.
    Direct,
}

impl Path {
    /// Returns the path to who is at this address.
    pub(crate) fn of(address: &Multiaddr) -> Self {
        match libp2p_websocket_star::StarAddress::try_from(address) {
            Ok(_) => Self::Relayed,
            Err(_) => Self::Direct,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Relayed => "relayed",
            Self::Direct => "direct",
        }
    }
}

/// The line. Where stderr is no terminal there is none.
pub(crate) struct Status {
    is_on: bool,
    is_shown: bool,
    traffic: Traffic,
    drawn: Instant,
    sent_bytes: u64,
    received_bytes: u64,
}

impl Status {
    pub(crate) fn new(json: bool, traffic: Traffic) -> Self {
        Self {
            is_on: !json && io::stderr().is_terminal(),
            is_shown: false,
            traffic,
            drawn: Instant::now(),
            sent_bytes: 0,
            received_bytes: 0,
        }
    }

    /// Waits until the line is to be drawn again; for ever, where there is none.
    pub(crate) async fn due(&self) {
        if self.is_on {
            time::sleep_until((self.drawn + INTERVAL).into()).await;
        } else {
            future::pending().await
        }
    }

    /// Takes the line away, so that others can be written.
    pub(crate) fn clear(&mut self) {
        if self.is_shown {
            self.is_shown = false;
            write("\r\x1b[K");
        }
    }

    /// Draws the line: `head`, then sockets and rates.
    pub(crate) fn draw(&mut self, head: &str) {
        let elapsed = self.drawn.elapsed().max(Duration::from_millis(1));
        let (sent, received) = (self.traffic.sent_bytes(), self.traffic.received_bytes());
        let up = rate(sent - self.sent_bytes, elapsed);
        let down = rate(received - self.received_bytes, elapsed);
        (self.sent_bytes, self.received_bytes) = (sent, received);
        self.drawn = Instant::now();
        self.is_shown = true;
        let sockets = counted(self.traffic.n_open(), "socket");
        // Beyond the edge a line could not be taken away again.
        write(&format!(
            "\r\x1b[K\x1b[?7l{head} · {sockets} · out {up} · in {down}\x1b[?7h"
        ));
    }

    /// Lets the next line be drawn a while from now.
    pub(crate) fn skip(&mut self) {
        self.drawn = Instant::now();
    }
}

fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    // Nobody is left to tell when stderr is gone.
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate is shown with one digit behind the point"
)]
fn rate(n_bytes: u64, elapsed: Duration) -> String {
    let mut value = n_bytes as f64 / elapsed.as_secs_f64();
    for unit in ["B/s", "KiB/s", "MiB/s"] {
        if value < 1_000.0 {
            return format!("{value:.1} {unit}");
        }
        value /= 1_024.0;
    }
    format!("{value:.1} GiB/s")
}

/// Returns a number of things, in the right number.
pub(crate) fn counted(n: usize, thing: &str) -> String {
    match n {
        1 => format!("1 {thing}"),
        _ => format!("{n} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_units() {
        let second = Duration::from_secs(1);
        assert_eq!(rate(0, second), "0.0 B/s");
        assert_eq!(rate(999, second), "999.0 B/s");
        assert_eq!(rate(10 * 1024, second), "10.0 KiB/s");
        assert_eq!(rate(3 << 20, 2 * second), "1.5 MiB/s");
        assert_eq!(rate(5 << 40, second), "5120.0 GiB/s");
    }

    #[test]
    fn one_thing_is_not_several() {
        assert_eq!(counted(0, "socket"), "0 sockets");
        assert_eq!(counted(1, "socket"), "1 socket");
        assert_eq!(counted(2, "socket"), "2 sockets");
    }

    #[test]
    fn an_address_of_a_star_is_relayed() {
        let path = |text: &str| Path::of(&text.parse().unwrap());
        let star = "/dns4/star.example/tcp/443/wss/p2p-websocket-star";
        assert_eq!(path(star), Path::Relayed);
        assert_eq!(path("/ip4/192.0.2.1/tcp/4001"), Path::Direct);
        assert_eq!(path("/ip4/192.0.2.1/udp/4001/quic-v1"), Path::Direct);
    }
}
