//! Round trips that are asked for.

use std::{
    io,
    time::{Duration, Instant},
};

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::{PeerId, StreamProtocol};

use crate::{
    error::{OpenStreamError, PingError},
    node::Node,
    stream::Stream,
};

/// Size of a ping, given by libp2p.
const PING_BYTES: usize = 32;

/// libp2p's protocol for it.
const PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/ping/1.0.0");

/// Measures round trips to a peer. Made by [`Node::pinger`].
#[derive(Debug)]
pub struct Pinger {
    node: Node,
    peer: PeerId,
    stream: Option<Stream>,
}

impl Pinger {
    pub(crate) async fn open(node: Node, peer: PeerId) -> Result<Self, OpenStreamError> {
        let stream = Some(node.open_stream(peer, PROTOCOL).await?);
        Ok(Self { node, peer, stream })
    }

    /// Measures one round trip, connecting anew if the connection was lost since
    /// the last one; that takes no part in what is measured.
    ///
    /// Not cancel safe: a ping that is not waited for is lost.
    ///
    /// # Errors
    ///
    /// [`PingError`]; the next ping begins anew.
    pub async fn ping(&mut self, deadline: Duration) -> Result<Duration, PingError> {
        match tokio::time::timeout(deadline, self.attempts()).await {
            Ok(done) => done,
            Err(_) => {
                self.stream = None;
                Err(PingError::Timeout)
            }
        }
    }

    async fn attempts(&mut self) -> Result<Duration, PingError> {
        // A peer answers on one stream at a time, and the swarm pings too: its
        // stream may have made the peer forget this one.
        if let Some(stream) = self.stream.take()
            && let Ok((stream, elapsed)) = round_trip(stream).await
        {
            self.stream = Some(stream);
            return Ok(elapsed);
        }
        let stream = self.node.open_stream(self.peer, PROTOCOL).await?;
        let (stream, elapsed) = round_trip(stream).await.map_err(PingError::Lost)?;
        self.stream = Some(stream);
        Ok(elapsed)
    }
}

async fn round_trip(mut stream: Stream) -> io::Result<(Stream, Duration)> {
    let sent: [u8; PING_BYTES] = rand::random();
    let begun = Instant::now();
    stream.write_all(&sent).await?;
    stream.flush().await?;
    let mut received = [0; PING_BYTES];
    stream.read_exact(&mut received).await?;
    if received == sent {
        Ok((stream, begun.elapsed()))
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not the answer to this ping",
        ))
    }
}
