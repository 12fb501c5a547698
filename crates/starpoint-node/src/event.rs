//! What a node tells by itself.

use std::{io, time::Duration};

use libp2p::{Multiaddr, PeerId};
use libp2p_websocket_star as websocket_star;
use tokio::sync::mpsc;

/// Who began a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The other one.
    Inbound,
    /// This node.
    Outbound,
}

/// What happened to a node.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Others can dial the node at this address, its id not included unless it is
    /// that of a star.
    Listening {
        /// The address.
        address: Multiaddr,
    },
    /// They can no more.
    NotListening {
        /// The address.
        address: Multiaddr,
    },
    /// A listener has trouble and goes on.
    ListenerError {
        /// Why.
        error: io::Error,
    },
    /// A star is about to be connected, for the first time or again.
    StarConnecting {
        /// The star.
        star: Multiaddr,
    },
    /// Others can dial the node at this star.
    StarLive {
        /// The star.
        star: Multiaddr,
        /// The node's address there.
        address: Multiaddr,
    },
    /// An attempt to connect a star failed, or a live one is lost.
    StarLost {
        /// The star.
        star: Multiaddr,
        /// Why.
        reason: websocket_star::Error,
        /// Time to the next attempt; `None` when there is none.
        retry_in: Option<Duration>,
    },
    /// A peer is at one of the stars; only a connection proves it.
    PeerJoined {
        /// The peer.
        peer: PeerId,
        /// Where it can be dialed.
        address: Multiaddr,
    },
    /// A peer is not at a star any more, or the star is lost.
    PeerLeft {
        /// The peer.
        peer: PeerId,
        /// Where it could be dialed.
        address: Multiaddr,
    },
    /// A connection to a peer is open, its id proved.
    Connected {
        /// The peer.
        peer: PeerId,
        /// The address of the other side.
        address: Multiaddr,
        /// Who began it.
        direction: Direction,
    },
    /// The last connection to a peer is closed.
    Disconnected {
        /// The peer.
        peer: PeerId,
    },
    /// Events were left out because nobody took them; [`Node::peers`] and
    /// [`Node::addresses`] say what is true now.
    ///
    /// [`Node::peers`]: crate::Node::peers
    /// [`Node::addresses`]: crate::Node::addresses
    Missed {
        /// How many.
        n_events: u64,
    },
}

/// The events of a node, in order.
///
/// The queue is bounded by
/// [`max_waiting_events`](crate::Config::max_waiting_events). A node never waits
/// for its user: what finds no room is left out, and an [`Event::Missed`] says
/// how much. Dropping this is fine.
#[derive(Debug)]
pub struct Events(pub(crate) mpsc::Receiver<Event>);

impl Events {
    /// Waits for the next event; `None` once the node has stopped.
    ///
    /// Cancel safe: no event is lost.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

/// Where the task puts events.
pub(crate) struct EventQueue {
    events: mpsc::Sender<Event>,
    n_missed: u64,
}

impl EventQueue {
    pub(crate) fn new(capacity: usize) -> (Self, Events) {
        let (events, receiver) = mpsc::channel(capacity);
        let queue = Self {
            events,
            n_missed: 0,
        };
        (queue, Events(receiver))
    }

    pub(crate) fn push(&mut self, event: Event) {
        if self.n_missed > 0 {
            let missed = Event::Missed {
                n_events: self.n_missed,
            };
            match self.events.try_send(missed) {
                Ok(()) => self.n_missed = 0,
                Err(_) => {
                    self.n_missed += 1;
                    return;
                }
            }
        }
        if let Err(mpsc::error::TrySendError::Full(_)) = self.events.try_send(event) {
            self.n_missed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(event: &Event) -> u64 {
        let Event::Missed { n_events } = event else {
            panic!("unexpected {event:?}");
        };
        *n_events
    }

    #[tokio::test]
    async fn what_finds_no_room_is_counted_in_its_place() {
        let (mut queue, mut events) = EventQueue::new(2);
        for n_events in [100, 101, 102, 103] {
            queue.push(Event::Missed { n_events });
        }
        assert_eq!(numbered(&events.next().await.unwrap()), 100);
        assert_eq!(numbered(&events.next().await.unwrap()), 101);

        queue.push(Event::Missed { n_events: 104 });
        assert_eq!(numbered(&events.next().await.unwrap()), 2);
        assert_eq!(numbered(&events.next().await.unwrap()), 104);
        drop(queue);
        assert!(events.next().await.is_none());
    }
}
