//! When a client was last heard, and how long it has owed something.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Time without a heartbeat after which the star vouches for a client that it does
/// not read or that is in the middle of sending. Engine.IO gives up after 45 s.
const VOUCH_AFTER: Duration = Duration::from_secs(30);
/// A client that has sent within this time is alive.
const ALIVE_WITHIN: Duration = Duration::from_secs(10);
/// Time that a client has to complete a message, its attachments included.
const MESSAGE_DEADLINE: Duration = Duration::from_secs(60);
/// Time for which the star may not read the rest of a message for want of room.
const ROOM_DEADLINE: Duration = Duration::from_secs(10);
/// Time in which a client has to take at least one byte of what waits for it.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// The same while much waits in the whole server.
const CROWDED_WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// A moment, or none: milliseconds since the session began, and one.
#[derive(Debug, Default)]
struct Moment(AtomicU64);

impl Moment {
    fn set(&self, since_birth: Duration) {
        let millis = u64::try_from(since_birth.as_millis()).unwrap_or(u64::MAX);
        self.0.store(millis.saturating_add(1), Ordering::Relaxed);
    }

    fn set_once(&self, since_birth: Duration) {
        if self.0.load(Ordering::Relaxed) == 0 {
            self.set(since_birth);
        }
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Returns how long ago it was; `None` when there is none.
    fn age(&self, since_birth: Duration) -> Option<Duration> {
        let at = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        Some(since_birth.saturating_sub(Duration::from_millis(at)))
    }
}

/// Who keeps up the heartbeat of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heartbeat {
    /// Socket.IO's library, which has to be told of a client that cannot be heard.
    OfLibrary,
    /// The connection itself, which knows.
    Own,
}

/// Why nothing is read of a client, as far as its liveness is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It is read.
    Open,
    /// The star holds it, or has no room for its next message.
    Held,
    /// The star has no room for the rest of a message.
    NoRoomWithin,
}

/// What the transport owes its client: whether anything waits, and how many bytes
/// were written so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) is_waiting: bool,
    pub(crate) written_bytes: u64,
    pub(crate) is_crowded: bool,
}

/// What a look at a session has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Nothing to do.
    Fine,
    /// The library is to be told that the client is alive.
    Vouch,
    /// The client did not complete a message in time.
    Unfinished,
    /// There was no room for the rest of a message for too long.
    NoRoom,
    /// The client took nothing for too long.
    Stalled,
}

/// The moments of one session. All times are read by the one task that looks.
#[derive(Debug)]
pub(crate) struct Liveness {
    born: Instant,
    kind: Heartbeat,
    heartbeat: Moment,
    heard: Moment,
    /// When the message that is not complete began.
    message: Moment,
    no_room: Moment,
    /// Since when nothing was taken although something waits.
    stalled: Moment,
    seen_bytes: AtomicU64,
}

impl Liveness {
    pub(crate) fn new(kind: Heartbeat) -> Self {
        let liveness = Self {
            born: Instant::now(),
            kind,
            heartbeat: Moment::default(),
            heard: Moment::default(),
            message: Moment::default(),
            no_room: Moment::default(),
            stalled: Moment::default(),
            seen_bytes: AtomicU64::new(0),
        };
        liveness.heartbeat.set(Duration::ZERO);
        liveness
    }

    pub(crate) fn note_activity(&self) {
        self.heard.set(self.born.elapsed());
    }

    pub(crate) fn note_heartbeat(&self) {
        self.heartbeat.set(self.born.elapsed());
    }

    /// A message has begun, unless one had.
    pub(crate) fn message_began(&self) {
        self.message.set_once(self.born.elapsed());
    }

    /// Every message that had begun is complete.
    pub(crate) fn messages_completed(&self) {
        self.message.clear();
    }

    /// Looks; to be called every few seconds.
    pub(crate) fn look(&self, now: Instant, reading: Reading, output: Output) -> Finding {
        let now = now.saturating_duration_since(self.born);
        if self.is_stalled(now, output) {
            return Finding::Stalled;
        }
        match reading {
            // The time in which it is not read is not the client's.
            Reading::Held => {
                if self.message.age(now).is_some() {
                    self.message.set(now);
                }
                self.no_room.clear();
            }
            Reading::Open => self.no_room.clear(),
            Reading::NoRoomWithin => {
                self.no_room.set_once(now);
                if self.no_room.age(now) >= Some(ROOM_DEADLINE) {
                    return Finding::NoRoom;
                }
            }
        }
        if self.message.age(now) >= Some(MESSAGE_DEADLINE) {
            return Finding::Unfinished;
        }
        self.look_at_heartbeat(now, reading)
    }

    fn look_at_heartbeat(&self, now: Duration, reading: Reading) -> Finding {
        let is_silent = self.heartbeat.age(now) >= Some(VOUCH_AFTER);
        let is_alive = self.heard.age(now).is_some_and(|age| age < ALIVE_WITHIN);
        let is_vouched = match self.kind {
            Heartbeat::OfLibrary => is_silent && (reading != Reading::Open || is_alive),
            Heartbeat::Own => false,
        };
        if is_vouched {
            self.heartbeat.set(now);
            return Finding::Vouch;
        }
        Finding::Fine
    }

    fn is_stalled(&self, now: Duration, output: Output) -> bool {
        let before = self
            .seen_bytes
            .swap(output.written_bytes, Ordering::Relaxed);
        if !output.is_waiting || before != output.written_bytes {
            self.stalled.clear();
        }
        if !output.is_waiting {
            return false;
        }
        self.stalled.set_once(now);
        let patience = if output.is_crowded {
            CROWDED_WRITE_DEADLINE
        } else {
            WRITE_DEADLINE
        };
        self.stalled.age(now) >= Some(patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Output = Output {
        is_waiting: false,
        written_bytes: 0,
        is_crowded: false,
    };

    fn waiting(written_bytes: u64) -> Output {
        Output {
            is_waiting: true,
            written_bytes,
            is_crowded: false,
        }
    }

    fn after(liveness: &Liveness, seconds: u64) -> Instant {
        liveness.born + Duration::from_secs(seconds)
    }

    #[test]
    fn r_limit_20_a_client_that_takes_nothing_is_given_up_after_30_s() {
        let liveness = Liveness::new(Heartbeat::Own);
        let look =
            |seconds, output| liveness.look(after(&liveness, seconds), Reading::Held, output);
        assert_eq!(look(5, waiting(10)), Finding::Fine);
        assert_eq!(look(30, waiting(10)), Finding::Fine);
        // A byte is enough.
        assert_eq!(look(34, waiting(11)), Finding::Fine);
        assert_eq!(look(63, waiting(11)), Finding::Fine);
        assert_eq!(look(64, waiting(11)), Finding::Stalled);
        // Nothing waits: nothing is owed.
        assert_eq!(look(65, IDLE), Finding::Fine);
        assert_eq!(look(66, waiting(11)), Finding::Fine);
    }

    #[test]
    fn r_limit_20_patience_is_short_while_the_server_is_crowded() {
        let liveness = Liveness::new(Heartbeat::Own);
        let crowded = Output {
            is_crowded: true,
            ..waiting(1)
        };
        let look = |seconds| liveness.look(after(&liveness, seconds), Reading::Open, crowded);
        assert_eq!(look(1), Finding::Fine);
        assert_eq!(look(10), Finding::Fine);
        assert_eq!(look(11), Finding::Stalled);
    }

    #[test]
    fn r_limit_21_a_message_has_60_s_in_which_its_client_is_read() {
        let liveness = Liveness::new(Heartbeat::Own);
        liveness.message_began();
        let look = |seconds, reading| liveness.look(after(&liveness, seconds), reading, IDLE);
        assert_eq!(look(59, Reading::Open), Finding::Fine);
        assert_eq!(look(100, Reading::Held), Finding::Fine);
        assert_eq!(look(159, Reading::Open), Finding::Fine);
        assert_eq!(look(160, Reading::Open), Finding::Unfinished);
        liveness.messages_completed();
        assert_eq!(look(200, Reading::Open), Finding::Fine);
    }

    #[test]
    fn r_limit_21_the_rest_of_a_message_waits_10_s_for_room() {
        let liveness = Liveness::new(Heartbeat::Own);
        let look = |seconds, reading| liveness.look(after(&liveness, seconds), reading, IDLE);
        assert_eq!(look(5, Reading::NoRoomWithin), Finding::Fine);
        assert_eq!(look(14, Reading::NoRoomWithin), Finding::Fine);
        assert_eq!(look(15, Reading::NoRoomWithin), Finding::NoRoom);
        assert_eq!(look(16, Reading::Open), Finding::Fine);
        assert_eq!(look(25, Reading::NoRoomWithin), Finding::Fine);
    }

    #[test]
    fn r_limit_22_who_waits_for_room_is_vouched_for() {
        let liveness = Liveness::new(Heartbeat::OfLibrary);
        let look = |seconds, reading| liveness.look(after(&liveness, seconds), reading, IDLE);
        assert_eq!(look(29, Reading::Held), Finding::Fine);
        assert_eq!(look(31, Reading::Open), Finding::Fine);
        assert_eq!(look(31, Reading::Held), Finding::Vouch);
        assert_eq!(look(60, Reading::Held), Finding::Fine);
        assert_eq!(look(61, Reading::Held), Finding::Vouch);
        // One that keeps its own heartbeat needs nobody.
        let own = Liveness::new(Heartbeat::Own);
        assert_eq!(
            own.look(after(&own, 40), Reading::Held, IDLE),
            Finding::Fine
        );
    }
}
