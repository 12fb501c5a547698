//! Streams of plain bytes.

use futures_util::StreamExt as _;
use libp2p::PeerId;
use libp2p_stream::IncomingStreams;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// A stream to a peer: `AsyncRead` and `AsyncWrite` of the futures crates.
/// Closing ends the own direction; dropping it resets both.
pub type Stream = libp2p::swarm::Stream;

/// Streams that others open with one protocol.
///
/// At most [`max_waiting_streams`](crate::Config::max_waiting_streams) wait here;
/// one more is reset, and its peer may try again. Below, libp2p-stream has room for
/// one: of two that come in the same moment the second may be reset, too. Let who
/// is dialed speak first, as `starpoint listen` does, and who dials try again.
#[derive(Debug)]
pub struct Incoming {
    streams: mpsc::Receiver<(PeerId, Stream)>,
    _task: AbortOnDropHandle<()>,
}

impl Incoming {
    pub(crate) fn new(streams: IncomingStreams, max_waiting: usize) -> Self {
        let (queue, waiting) = mpsc::channel(max_waiting);
        Self {
            streams: waiting,
            _task: AbortOnDropHandle::new(tokio::spawn(take(streams, queue))),
        }
    }

    /// Waits for the next stream and who opened it; `None` once the node has
    /// stopped.
    ///
    /// Cancel safe: no stream is lost.
    pub async fn next(&mut self) -> Option<(PeerId, Stream)> {
        self.streams.recv().await
    }
}

/// Takes streams the moment they come: below, there is no room for any.
async fn take(mut streams: IncomingStreams, queue: mpsc::Sender<(PeerId, Stream)>) {
    while let Some((peer, stream)) = streams.next().await {
        if queue.try_send((peer, stream)).is_err() {
            tracing::debug!(%peer, "Stream reset, too many wait");
        }
    }
}
