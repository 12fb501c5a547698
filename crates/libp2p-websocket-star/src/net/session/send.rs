//! What goes out: commands first, then the streams in turn.

use std::task::{Context, Poll};

use starpoint_sio::{Closed, MAX_PENDING_CALLS};
use starpoint_wire::{StreamEnd, legacy::encode_callee_answer};

use super::{POLL_BUDGET, Session};
use crate::{
    machine::star::Command,
    net::relayed::{Chunk, MAX_CHUNK_BYTES},
};

impl Session {
    /// Sends while the connection takes it; returns whether it has.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        let mut has_sent = false;
        for _ in 0..POLL_BUDGET {
            if self.star.n_commands() == 0 && !self.next_turn() {
                break;
            }
            match self.connection.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(closed)) => return Err(closed),
                Poll::Pending => break,
            }
            if self.star.n_commands() == 0 {
                self.take_chunk();
            }
            if let Some(command) = self.star.next_command() {
                self.carry_out(command);
            }
            has_sent = true;
        }
        Ok(has_sent)
    }

    /// Drops turns that have come to nothing; returns whether one is left.
    fn next_turn(&mut self) -> bool {
        while let Some(dial) = self.turns.front() {
            let may_write = self.star.may_write(dial);
            match self.slots.get_mut(dial) {
                Some(slot) if may_write && slot.shared.has_chunk() => return true,
                Some(slot) => slot.is_in_turn = false,
                None => {}
            }
            self.turns.pop_front();
        }
        false
    }

    /// Turns the next chunk into a command; its stream goes to the end of the
    /// line.
    fn take_chunk(&mut self) {
        let Some(dial) = self.turns.pop_front() else {
            return;
        };
        let Some(slot) = self.slots.get_mut(&dial) else {
            return;
        };
        slot.is_in_turn = false;
        let limit = self.connection.max_payload().unwrap_or(MAX_CHUNK_BYTES);
        match slot.shared.next_chunk(limit.clamp(1, MAX_CHUNK_BYTES)) {
            Chunk::Data(chunk) => self.star.write(&dial, chunk),
            Chunk::End => self.star.end(&dial, StreamEnd::Clean),
            Chunk::Nothing => {}
        }
        self.take_turn(&dial);
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Call(tag, call) => {
                let packet = call.encode();
                let id = self
                    .connection
                    .call(&packet.name, &packet.args, packet.attachments);
                if self.calls.len() == MAX_PENDING_CALLS {
                    self.calls.pop_first();
                }
                self.calls.insert(id, tag);
            }
            Command::Emit(call) => {
                let packet = call.encode();
                self.connection
                    .emit(&packet.name, &packet.args, packet.attachments);
            }
            Command::Answer(token, answer) => {
                if let Some(id) = self.tokens.remove(&token) {
                    let args = encode_callee_answer(answer.err());
                    self.connection.acknowledge(id, &args);
                }
            }
        }
    }
}
