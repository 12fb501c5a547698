//! The legacy profile: joins with a challenge, dials, streams, announcements.

mod announce;
mod dial;
mod join;
mod streams;

use std::time::Instant;

use rand_core::CryptoRng;
use starpoint_wire::{Refusal, legacy};

use super::Broker;
use crate::{
    id::{AckId, ConnId},
    message::Message,
};

impl<R: CryptoRng> Broker<R> {
    pub(super) fn legacy_call(
        &mut self,
        conn: ConnId,
        call: legacy::Call,
        ack: Option<AckId>,
        now: Instant,
    ) {
        match (call, ack) {
            (legacy::Call::Join { address, proof }, Some(ack)) => {
                self.join(conn, &address, &proof, ack, now);
            }
            (legacy::Call::Leave { address }, ack) => self.leave(conn, &address, ack, now),
            (legacy::Call::Dial { from, to, dial_id }, Some(ack)) => {
                self.dial(conn, &from, &to, &dial_id, ack, now);
            }
            (legacy::Call::StreamAccept { stream }, _) => self.stream_accept(conn, stream),
            (legacy::Call::StreamQueue { stream, payload }, _) => {
                self.stream_queue(conn, stream, payload, now);
            }
            (legacy::Call::StreamError { stream, end }, _) => {
                self.stream_error(conn, stream, end, now);
            }
            (call @ (legacy::Call::Join { .. } | legacy::Call::Dial { .. }), None) => {
                self.malformed(conn, call.kind(), None);
            }
        }
    }

    pub(super) fn refuse(&mut self, conn: ConnId, ack: AckId, refusal: Refusal) {
        *self.counters.refusals.entry(refusal).or_default() += 1;
        self.reply(conn, ack, legacy::Reply::Refused(refusal));
    }

    pub(super) fn reply(&mut self, conn: ConnId, ack: AckId, reply: legacy::Reply) {
        self.send(conn, Message::Reply(ack, reply));
    }
}
