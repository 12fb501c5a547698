//! Announcements to legacy peers, within a budget.

use std::time::Instant;

use rand_core::CryptoRng;
use starpoint_wire::legacy;

use crate::broker::Broker;
use crate::{
    connection::{Announcer, Connection},
    deadline::Deadline,
    directory::Seq,
    id::ConnId,
    message::Message,
    quota,
};

impl<R: CryptoRng> Broker<R> {
    /// Starts the announcements to a connection that has joined with `seq`; the
    /// answer to its join tells it of the others.
    pub(in crate::broker) fn begin_announcing(&mut self, conn: ConnId, seq: Seq, now: Instant) {
        let at = now + self.config.announce_interval;
        let connection = self.conns.get_mut(&conn);
        let Some(announcer) = connection.and_then(Connection::announcer_mut) else {
            return;
        };
        announcer.news = seq;
        if announcer.next.is_none() {
            announcer.next = Some(at);
            self.deadlines.add(at, Deadline::Announce(conn));
        }
    }

    /// Tells others of a new address at once, as far as the budgets go (R-PEER-5,
    /// R-LIMIT-29); the rest hear of it at their next interval.
    pub(in crate::broker) fn announce_now(&mut self, seq: Seq, now: Instant) {
        if self.directory.n_legacy() == 0 {
            return;
        }
        let Some(source) = self.directory.get(seq).map(|r| r.source) else {
            return;
        };
        let budget = self.admission.announceable_bytes(source, now);
        let mut n_bytes = 0;
        let mut told = 0;
        let mut cursor = if self.directory.len() <= quota::MAX_IMMEDIATE_NOTICES {
            Seq::default()
        } else {
            self.notice_cursor
        };
        let recipients: Vec<(Seq, ConnId)> = self
            .directory
            .after(cursor)
            .chain(self.directory.after(Seq::default()))
            .take(quota::MAX_IMMEDIATE_NOTICES.min(self.directory.len()))
            .map(|(at, registration)| (at, registration.conn))
            .collect();
        for (at, conn) in recipients {
            if n_bytes >= budget {
                break;
            }
            cursor = at;
            if let Some(weight) = self.tell_news(conn, seq) {
                n_bytes += weight;
                told += 1;
            }
        }
        self.admission.charge_announced(source, n_bytes, now);
        self.notice_cursor = cursor;
        self.counters.announcements += told;
    }

    /// Tells one connection of the newest address unless it has heard of it; returns
    /// the bytes of that.
    fn tell_news(&mut self, conn: ConnId, seq: Seq) -> Option<usize> {
        let connection = self.conns.get_mut(&conn)?;
        let is_writable = connection.outbox.is_writable();
        let heard = connection.announcer_mut()?.news;
        if heard >= seq || !is_writable {
            return None;
        }
        let n_bytes = self.announce_to(conn, seq)?;
        // Others that it has not heard of come at its interval, and this one again.
        let is_next = self.directory.news(heard).all(|(other, _)| other == seq);
        if is_next && let Some(announcer) = self.announcer_mut(conn) {
            announcer.news = seq;
        }
        Some(n_bytes)
    }

    /// Tells a connection of the others: first the new ones, then in turn the old
    /// ones (R-PEER-2, R-PEER-3).
    pub(in crate::broker) fn announce(&mut self, conn: ConnId, at: Instant, now: Instant) {
        let interval = self.config.announce_interval;
        let budget = self.announcements_per_interval();
        let last = self.directory.last_seq();
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        let is_away = connection.addresses.is_empty();
        let is_busy = !connection.outbox.is_writable() || !connection.outbox.messages.is_empty();
        let Some(announcer) = connection.announcer_mut() else {
            return;
        };
        if announcer.next != Some(at) {
            return;
        }
        if is_away {
            announcer.next = None;
            return;
        }
        // A star that was asleep does not catch up with what it missed.
        let next = Some(at + interval)
            .filter(|next| *next > now)
            .unwrap_or(now + interval);
        announcer.next = Some(next);
        let (news, refresh) = (announcer.news, announcer.refresh);
        self.deadlines.add(next, Deadline::Announce(conn));
        if is_busy {
            return;
        }
        let mut old = self.others_after(conn, refresh, news, budget);
        old.extend(self.others_after(conn, Seq::default(), refresh, budget - old.len()));
        // Half is kept for the old ones, however fast new ones come.
        let news_budget = budget - old.len().min(budget / 2);
        let fresh = self.others_after(conn, news, last, news_budget);
        old.truncate(budget - fresh.len());
        let n_told = self.tell_all(conn, &fresh, news_budget);
        let is_all_news = n_told == fresh.len() && n_told < news_budget;
        let news = if is_all_news {
            last
        } else {
            n_told.checked_sub(1).map_or(news, |at| fresh[at])
        };
        let n_told = self.tell_all(conn, &old, budget - n_told);
        let refresh = n_told.checked_sub(1).map_or(refresh, |at| old[at]);
        if let Some(announcer) = self.announcer_mut(conn) {
            announcer.news = news;
            announcer.refresh = refresh;
        }
    }

    fn announcer_mut(&mut self, conn: ConnId) -> Option<&mut Announcer> {
        self.conns.get_mut(&conn)?.announcer_mut()
    }

    /// Tells a connection of these addresses, in bytes for so many of them; returns how
    /// many that were.
    fn tell_all(&mut self, conn: ConnId, seqs: &[Seq], budget: usize) -> usize {
        let most_bytes = budget * quota::ANNOUNCEMENT_BYTES;
        let mut n_bytes = 0;
        for (n_told, seq) in seqs.iter().enumerate() {
            if n_bytes >= most_bytes {
                return n_told;
            }
            if let Some(weight) = self.announce_to(conn, *seq) {
                n_bytes += weight;
                self.counters.announcements += 1;
            }
        }
        seqs.len()
    }

    /// Returns registrations of other connections, from after `from` up to `to`.
    fn others_after(&self, conn: ConnId, from: Seq, to: Seq, limit: usize) -> Vec<Seq> {
        self.directory
            .news(from)
            .take_while(|(seq, _)| *seq <= to)
            .filter(|(_, registration)| registration.conn != conn)
            .map(|(seq, _)| seq)
            .take(limit)
            .collect()
    }

    /// Tells a connection of an address; returns the bytes of that.
    fn announce_to(&mut self, conn: ConnId, seq: Seq) -> Option<usize> {
        let connection = self.conns.get(&conn)?;
        let registration = self.directory.get(seq)?;
        if registration.conn == conn || !registration.address.is_announceable() {
            return None;
        }
        let address = registration.spelled(connection.spelling);
        let event = legacy::Event::Peer { address };
        let n_bytes = event.weight();
        self.send(conn, Message::Event(event));
        Some(n_bytes)
    }
}
