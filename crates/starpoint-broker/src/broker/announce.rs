//! Who hears of whom, within a budget.

use std::time::Instant;

use rand_core::CryptoRng;
use starpoint_wire::ServerEvent;

use super::Broker;
use crate::{deadline::Deadline, directory::Seq, id::ConnId, outbox::Control, quota};

impl<R: CryptoRng> Broker<R> {
    /// Starts the announcements to a connection that has joined with `seq`; the
    /// answer to its join tells it of the others.
    pub(super) fn begin_announcing(&mut self, conn: ConnId, seq: Seq, now: Instant) {
        let at = now + self.config.announce_interval;
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        connection.announcer.news = seq;
        if connection.announcer.next.is_none() {
            connection.announcer.next = Some(at);
            self.deadlines.add(at, Deadline::Announce(conn));
        }
    }

    /// Tells others of a new address at once, as far as the budget goes (R-PEER-5);
    /// the rest hear of it at their next interval.
    pub(super) fn announce_now(&mut self, seq: Seq) {
        if self.directory.n_legacy() == 0 {
            return;
        }
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
            cursor = at;
            if self.tell_news(conn, seq) {
                told += 1;
            }
        }
        self.notice_cursor = cursor;
        self.counters.announcements += told;
    }

    /// Tells one connection of the newest address unless it has heard of it.
    fn tell_news(&mut self, conn: ConnId, seq: Seq) -> bool {
        let Some(connection) = self.conns.get(&conn) else {
            return false;
        };
        let heard = connection.announcer.news;
        let is_next = heard < seq && self.directory.news(heard).all(|(other, _)| other == seq);
        if !is_next || !connection.outbox.is_writable() {
            return false;
        }
        if !self.tell(conn, seq) {
            return false;
        }
        if let Some(connection) = self.conns.get_mut(&conn) {
            connection.announcer.news = seq;
        }
        true
    }

    /// Tells a connection of the others: first the new ones, then in turn the old
    /// ones (R-PEER-2, R-PEER-3).
    pub(super) fn announce(&mut self, conn: ConnId, at: Instant, now: Instant) {
        let interval = self.config.announce_interval;
        let budget = self.announcements_per_interval();
        let last = self.directory.last_seq();
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        if connection.announcer.next != Some(at) {
            return;
        }
        if connection.addresses.is_empty() {
            connection.announcer.next = None;
            return;
        }
        // A star that was asleep does not catch up with what it missed.
        let next = Some(at + interval)
            .filter(|next| *next > now)
            .unwrap_or(now + interval);
        connection.announcer.next = Some(next);
        self.deadlines.add(next, Deadline::Announce(conn));
        if !connection.outbox.is_writable() || !connection.outbox.control.is_empty() {
            return;
        }
        let (news, refresh) = (connection.announcer.news, connection.announcer.refresh);
        let mut old = self.others_after(conn, refresh, news, budget);
        old.extend(self.others_after(conn, Seq::default(), refresh, budget - old.len()));
        // Half is kept for the old ones, however fast new ones come.
        let news_budget = budget - old.len().min(budget / 2);
        let fresh = self.others_after(conn, news, last, news_budget);
        old.truncate(budget - fresh.len());
        let is_all_news = fresh.len() < news_budget;
        let news = fresh
            .last()
            .copied()
            .filter(|_| !is_all_news)
            .unwrap_or(last);
        if let Some(connection) = self.conns.get_mut(&conn) {
            connection.announcer.news = news;
            connection.announcer.refresh = old.last().copied().unwrap_or(refresh);
        }
        for seq in fresh.into_iter().chain(old) {
            if self.tell(conn, seq) {
                self.counters.announcements += 1;
            }
        }
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

    fn tell(&mut self, conn: ConnId, seq: Seq) -> bool {
        let Some(connection) = self.conns.get(&conn) else {
            return false;
        };
        let Some(registration) = self.directory.get(seq) else {
            return false;
        };
        if registration.conn == conn || !registration.address.is_announceable() {
            return false;
        }
        let address = registration.spelled(connection.spelling);
        self.send(conn, Control::Emit(ServerEvent::Peer { address }));
        true
    }
}
