//! The native profile: joins in one round trip, presence by changes, pipes.

mod join;
mod pipe;
mod presence;

pub use join::Ending;

use std::time::Instant;

use rand_core::CryptoRng;
use starpoint_wire::{Refusal, native};

use super::Broker;
use crate::{
    id::{AckId, ConnId},
    message::Message,
};

impl<R: CryptoRng> Broker<R> {
    pub(super) fn emit_star(&mut self, conn: ConnId, event: native::EncodedEvent) {
        self.send(conn, Message::NativeEvent(event));
    }

    pub(super) fn reply_star(&mut self, conn: ConnId, ack: AckId, reply: native::Reply) {
        self.send(conn, Message::NativeReply(ack, reply));
    }

    pub(super) fn refuse_star(&mut self, conn: ConnId, ack: AckId, refusal: Refusal) {
        *self.counters.refusals.entry(refusal).or_default() += 1;
        let retry = refusal.retry_after();
        self.reply_star(conn, ack, native::Reply::Refused { refusal, retry });
    }

    /// Handles a call of the native profile. One of a connection that has not
    /// offered it is an event that nobody knows (R-NATIVE-2).
    pub(super) fn star_call(
        &mut self,
        conn: ConnId,
        call: native::Call,
        ack: Option<AckId>,
        now: Instant,
    ) {
        let is_native = self.conns.get(&conn).is_some_and(|c| c.native().is_some());
        if !is_native {
            return self.malformed(conn, starpoint_wire::CallKind::Unknown, None);
        }
        match (call, ack) {
            (native::Call::Join(join), Some(ack)) => self.star_join(conn, *join, ack, now),
            (native::Call::Peers { namespace, after }, Some(ack)) => {
                self.star_peers(conn, &namespace, after, ack, now);
            }
            (native::Call::Dial { to, token }, Some(ack)) => {
                self.star_dial(conn, to, token, ack, now)
            }
            (native::Call::Refuse { token }, _) => self.star_refuse(conn, &token),
            (native::Call::Leave, ack) => {
                self.star_leave(conn, now);
                if let Some(ack) = ack {
                    self.reply_star(conn, ack, native::Reply::Done);
                }
            }
            (
                call @ (native::Call::Join(_)
                | native::Call::Peers { .. }
                | native::Call::Dial { .. }),
                None,
            ) => self.malformed(conn, call.kind(), None),
        }
    }
}
