//! Who hears of whom in the native profile: changes, and nothing else.

use std::time::{Duration, Instant};

use libp2p_identity::PeerId;
use rand_core::CryptoRng;
use starpoint_wire::{
    Refusal,
    native::{self, Namespace, PAGE_PEERS},
};

use crate::broker::Broker;
use crate::{
    deadline::Deadline,
    directory::Owner,
    id::{AckId, ConnId},
    quota::{self, DIAL_RATE, Rate},
};

impl<R: CryptoRng> Broker<R> {
    pub(in crate::broker) fn add_to_space(
        &mut self,
        namespace: &Namespace,
        peer: PeerId,
        now: Instant,
    ) {
        if let Some(at) = self.spaces.add(namespace, peer, now) {
            self.deadlines
                .add(at, Deadline::Presence(namespace.clone()));
        }
    }

    pub(in crate::broker) fn remove_from_space(
        &mut self,
        namespace: &Namespace,
        peer: PeerId,
        now: Instant,
    ) {
        if let Some(at) = self.spaces.remove(namespace, peer, now) {
            self.deadlines
                .add(at, Deadline::Presence(namespace.clone()));
        }
    }

    /// Handles `star-peers` (R-PRES-2).
    pub(in crate::broker) fn star_peers(
        &mut self,
        conn: ConnId,
        namespace: &Namespace,
        after: Option<PeerId>,
        ack: AckId,
        now: Instant,
    ) {
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        let is_reader = connection
            .joined()
            .is_some_and(|joined| joined.namespaces.contains(namespace));
        if !connection.dials.take(DIAL_RATE, now) {
            return self.refuse_star(conn, ack, Refusal::TooManyRequests);
        }
        if !is_reader {
            return self.refuse_star(conn, ack, Refusal::NotAuthorized);
        }
        let owner = Owner {
            conn,
            source: connection.source,
        };
        if let Some(wait) = self.pages_wait(owner, now) {
            let refusal = Refusal::TooManyRequests;
            *self.counters.refusals.entry(refusal).or_default() += 1;
            let retry = Some(wait.max(Duration::from_secs(1)));
            return self.reply_star(conn, ack, native::Reply::Refused { refusal, retry });
        }
        let page = self.spaces.page(namespace, after, PAGE_PEERS);
        self.charge_pages(owner, page.weight(), now);
        self.reply_star(conn, ack, native::Reply::Page(page));
    }

    /// Returns how long a connection or its source may read no pages (R-LIMIT-28).
    fn pages_wait(&self, owner: Owner, now: Instant) -> Option<Duration> {
        let connection = self.conns.get(&owner.conn)?;
        let pages = connection.native()?.pages;
        let own = pages.wait(Rate::per_second(quota::PAGE_BYTES), now);
        own.max(self.admission.pages_wait(owner.source, now))
    }

    pub(in crate::broker) fn charge_pages(&mut self, owner: Owner, n_bytes: usize, now: Instant) {
        self.admission.charge_pages(owner.source, n_bytes, now);
        let connection = self.conns.get_mut(&owner.conn);
        if let Some(native) = connection.and_then(|c| c.native_mut()) {
            let rate = Rate::per_second(quota::PAGE_BYTES);
            native.pages.charge(rate, n_bytes, now);
        }
    }

    /// Tells the readers of a namespace what has changed. Who does not take it is
    /// told later that it has missed something (R-PRES-7).
    pub(in crate::broker) fn presence_due(&mut self, namespace: &Namespace, now: Instant) {
        let Some(flush) = self.spaces.flush(namespace, now) else {
            return;
        };
        if flush.batches.is_empty() {
            return;
        }
        for conn in flush.readers {
            let Some(connection) = self.conns.get_mut(&conn) else {
                continue;
            };
            let is_slow = !connection.outbox.is_writable()
                || connection.outbox.message_bytes > quota::CONTROL_LOW_BYTES;
            let Some(native) = connection.native_mut() else {
                continue;
            };
            if is_slow || native.behind.contains(namespace) {
                native.behind.insert(namespace.clone());
                continue;
            }
            for batch in &flush.batches {
                self.counters.presence_batches += 1;
                self.emit_star(conn, batch.clone());
            }
        }
    }

    /// Tells a reader that takes something again what it has missed.
    pub(in crate::broker) fn catch_up(&mut self, conn: ConnId) {
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        let is_idle = connection.outbox.is_writable() && connection.outbox.messages.is_empty();
        let Some(native) = connection.native_mut().filter(|_| is_idle) else {
            return;
        };
        for namespace in std::mem::take(&mut native.behind) {
            let lost = self.spaces.lost(&namespace);
            self.counters.presence_batches += 1;
            self.emit_star(conn, lost);
        }
    }
}
