//! What the other side says.

use web_time::Instant;

use super::{Event, LineKey, Mux, Role};
use crate::{
    codec::{Frame, FrameEvent},
    line::{Local, Remote},
    reason::CloseReason,
    reassembly::{Message, ReassemblyFault},
    room::decode_room,
};

impl Mux {
    pub(super) fn handle_frame(&mut self, frame: Frame, now: Instant) {
        let id = frame.line();
        if !self.lines.contains_key(&id) {
            if self.role == Role::Opens {
                self.counters.strays += 1;
                return;
            }
            self.insert(id);
        }
        if self.lines.get(&id).is_some_and(|line| line.is_broken) {
            // All that still matters is that the other side has let go.
            if frame.event() == FrameEvent::Close && frame.total() == 1 {
                self.receive_close(id, frame.payload());
            }
            return;
        }
        loop {
            match self.reassembly.accept(frame.clone(), now) {
                Ok(message) => {
                    self.receive_all(id, message);
                    return self.forget_if_stray(id);
                }
                Err(ReassemblyFault::TotalFull) => {
                    let greediest = self.reassembly.greediest().unwrap_or(id);
                    self.break_line(greediest, CloseReason::Overflow);
                    if greediest == id {
                        return;
                    }
                }
                Err(fault) => return self.break_line(id, reason(fault)),
            }
        }
    }

    /// Forgets a line of which nothing was heard, and nothing waits: an old
    /// duplicate has called it.
    fn forget_if_stray(&mut self, id: u16) {
        let line = self.lines.get(&id);
        let is_silent = line.is_some_and(|line| line.remote == Remote::Silent);
        if self.role == Role::Serves && is_silent && !self.reassembly.holds(id) {
            self.counters.strays += 1;
            self.forget(id);
        }
    }

    fn receive_all(&mut self, id: u16, first: Option<Message>) {
        let mut next = first;
        while let Some(message) = next {
            self.receive(id, message);
            next = self.reassembly.next(id);
        }
    }

    fn receive(&mut self, id: u16, message: Message) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        let key = LineKey {
            id,
            serial: line.serial,
        };
        match message.event {
            FrameEvent::Connect => {
                if line.receive_connect(decode_room(&message.payload)) {
                    self.begin(key);
                }
            }
            FrameEvent::Data => match line.receive_data(message.payload) {
                Ok(charged) => {
                    self.untaken_bytes += charged;
                    if line.is_plain() && line.untaken_bytes > self.config.window_bytes {
                        self.full.insert(id);
                    }
                    self.report_readable(key);
                }
                Err(reason) => self.break_line(id, reason),
            },
            FrameEvent::Close => self.receive_close(id, &message.payload),
        }
        self.attend(id);
    }

    /// The first CONNECT of the other side.
    fn begin(&mut self, line: LineKey) {
        match self.role {
            Role::Opens if !self.is_there(line) => {}
            Role::Opens => self.events.push_back(Event::Opened(line)),
            Role::Serves => {
                self.n_present += 1;
                if self.n_present > self.config.max_lines {
                    self.cut(line.id, CloseReason::Busy);
                } else {
                    self.events.push_back(Event::Incoming(line));
                }
            }
        }
    }

    fn receive_close(&mut self, id: u16, payload: &[u8]) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        if line.remote == Remote::Silent && self.role == Role::Serves {
            return self.forget(id);
        }
        let serial = line.serial;
        let key = LineKey { id, serial };
        let was_present = line.local == Local::Present;
        let untaken = line.untaken_bytes;
        let reset = line.receive_close(CloseReason::from_payload(payload));
        self.untaken_bytes -= untaken - line.untaken_bytes;
        if was_present && line.local == Local::Gone {
            self.n_present -= 1;
        }
        match reset {
            Some(reason) => self.events.push_back(Event::Reset(key, reason)),
            None => self.report_readable(key),
        }
        self.relax(id);
        self.attend(id);
    }

    fn report_readable(&mut self, line: LineKey) {
        if self.is_there(line) {
            self.events.push_back(Event::Readable(line));
        }
    }

    /// Cuts a line that cannot be put in order any more.
    pub(super) fn break_line(&mut self, id: u16, reason: CloseReason) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        if line.remote == Remote::Silent && self.role == Role::Serves {
            return self.forget(id);
        }
        line.is_broken = true;
        self.reassembly.close(id);
        self.cut_and_report(id, reason);
    }
}

/// Returns what the other side is told of a fault.
fn reason(fault: ReassemblyFault) -> CloseReason {
    match fault {
        ReassemblyFault::Disagreement
        | ReassemblyFault::Conflict
        | ReassemblyFault::UnknownLine => CloseReason::Malformed,
        ReassemblyFault::TooFarAhead
        | ReassemblyFault::MessageTooLong
        | ReassemblyFault::LineFull
        | ReassemblyFault::TotalFull => CloseReason::Overflow,
    }
}
