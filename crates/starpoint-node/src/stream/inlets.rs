//! Which protocols are taken, and by whom.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use libp2p::{PeerId, StreamProtocol};

use super::{FairQueue, Incoming, Stream};
use crate::error::IncomingError;

/// The protocols that are taken, for the handle and for every connection.
///
/// The lock is for the table alone: nothing is sent, dropped or waited for under
/// it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inlets(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    inlets: Vec<Inlet>,
    is_stopped: bool,
}

#[derive(Clone, Debug)]
struct Inlet {
    protocol: StreamProtocol,
    queue: Arc<FairQueue<Stream>>,
    n_reset: Arc<AtomicU64>,
}

impl Inlets {
    /// Takes a protocol until the result is dropped.
    pub(crate) fn take(
        &self,
        protocol: StreamProtocol,
        max_waiting: usize,
    ) -> Result<Incoming, IncomingError> {
        let queue = Arc::new(FairQueue::new(max_waiting));
        let n_reset = Arc::<AtomicU64>::default();
        let incoming = Incoming {
            streams: Arc::clone(&queue),
            n_reset: Arc::clone(&n_reset),
        };
        let mut table = self.lock();
        if table.is_stopped {
            queue.end();
            return Ok(incoming);
        }
        table.inlets.retain(|inlet| inlet.queue.is_open());
        if table.inlets.iter().any(|inlet| inlet.protocol == protocol) {
            return Err(IncomingError::Taken(protocol));
        }
        table.inlets.push(Inlet {
            protocol,
            queue,
            n_reset,
        });
        Ok(incoming)
    }

    /// Returns the protocols that somebody takes now.
    pub(super) fn protocols(&self) -> Vec<StreamProtocol> {
        let table = self.lock();
        let taken = table.inlets.iter().filter(|i| i.queue.is_open());
        taken.map(|inlet| inlet.protocol.clone()).collect()
    }

    /// Puts a stream where its protocol is taken, or resets it.
    pub(super) fn deliver(&self, peer: PeerId, protocol: &StreamProtocol, stream: Stream) {
        let inlet = {
            let table = self.lock();
            table
                .inlets
                .iter()
                .find(|i| i.protocol == *protocol)
                .cloned()
        };
        let Some(inlet) = inlet else {
            return;
        };
        if let Some((peer, _reset)) = inlet.queue.push(peer, stream)
            && inlet.queue.is_open()
        {
            inlet.n_reset.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%peer, %protocol, "Stream reset, too many wait");
        }
    }

    /// Ends everything that is taken, now and later.
    pub(super) fn stop(&self) {
        let inlets = {
            let mut table = self.lock();
            table.is_stopped = true;
            std::mem::take(&mut table.inlets)
        };
        inlets.iter().for_each(|inlet| inlet.queue.end());
    }

    /// The table is whole between any two statements, so a panic elsewhere has
    /// not broken it.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOCOL: StreamProtocol = StreamProtocol::new("/test/1");

    #[tokio::test]
    async fn a_protocol_is_free_again_when_nobody_takes_it() {
        let inlets = Inlets::default();
        let first = inlets.take(PROTOCOL, 1).unwrap();
        assert_eq!(inlets.protocols(), [PROTOCOL]);
        assert!(inlets.take(PROTOCOL, 1).is_err());
        drop(first);
        assert!(inlets.protocols().is_empty());
        inlets.take(PROTOCOL, 1).unwrap();
    }

    #[tokio::test]
    async fn what_is_taken_ends_with_the_node() {
        let inlets = Inlets::default();
        let mut before = inlets.take(PROTOCOL, 1).unwrap();
        inlets.stop();
        let mut after = inlets.take(PROTOCOL, 1).unwrap();
        assert!(before.next().await.is_none());
        assert!(after.next().await.is_none());
        assert!(inlets.protocols().is_empty());
    }
}
