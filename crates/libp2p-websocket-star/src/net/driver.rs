//! One star, for as long as it is a home or visited.

mod tell;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_channel::mpsc;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture};
use libp2p_identity::PeerId;
use starpoint_sio::{Config as SioConfig, Connection, OpenError};
use starpoint_wire::{
    StarAddress,
    native::{self, ClientNonce},
};
use web_time::Instant;

use super::{
    alarm::Alarm,
    session::{DialReply, Happening, Session},
};
use crate::{
    config::Profile,
    error::{Error, Stage},
    gauges::{Counted, Gauge},
    homes::Occupied,
    machine::{home::Home, star::Purpose, wake::WakeWatch},
    shared::Shared,
};

/// Turns of the loop in one poll, after which others have theirs.
const POLL_BUDGET: usize = 16;

/// Notices that wait for the behaviour above which addresses of peers, which come
/// with each dial, are left out.
const MAX_UNSENT_NOTICES: usize = 64;

/// Connections of a home that another process has taken over, and that still
/// have streams. The oldest is dropped for one more.
const MAX_LEFTOVERS: usize = 4;

pub(crate) use tell::{Notice, Outlets, Report};

/// Names a driver within its transport.
pub(crate) type DriverId = u64;

/// A dial that is on its way to a star.
pub(crate) struct Dial {
    pub(crate) peer: PeerId,
    pub(crate) reply: DialReply,
}

/// Why a star is connected.
enum Role {
    Home(Home),
    Visitor,
    /// Was one of the two; takes nothing new and ends with its last stream.
    Leaving,
}

enum Link {
    Down,
    Opening(BoxFuture<'static, Result<Connection, OpenError>>),
    Joining(Box<Session>),
    Live(Box<Session>),
    Closing(Box<Session>),
    /// A visit that is over.
    Done,
}

/// Owns the connection to one star. It is a future that ends when the star is
/// needed no more; dropping it ends everything on it.
///
/// It leaves its star when the sender of its dials is dropped.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    id: DriverId,
    star: StarAddress,
    role: Role,
    link: Link,
    /// What the star has to sign, in the connection that is being opened.
    nonce: ClientNonce,
    _home: Option<Occupied>,
    leftovers: VecDeque<Box<Session>>,
    alarm: Alarm,
    watch: WakeWatch,
    /// A visitor has nothing to do since then.
    idle_since: Option<Instant>,
    last_error: Option<Error>,
    dials: mpsc::Receiver<Dial>,
    /// Dials that wait for a connection, the oldest first.
    waiting: VecDeque<Waiting>,
    outlets: Outlets,
    unsent_reports: VecDeque<Report>,
    unsent_notices: VecDeque<Notice>,
    _counted: Counted,
}

struct Waiting {
    dial: Dial,
    deadline: Instant,
}

impl Driver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        id: DriverId,
        star: StarAddress,
        purpose: Purpose,
        dials: mpsc::Receiver<Dial>,
        outlets: Outlets,
    ) -> Self {
        let alarm = Alarm::new(Arc::clone(&shared.config.timers));
        let now = alarm.now();
        let role = match purpose {
            Purpose::Home => Role::Home(Home::new(&shared.config, now)),
            Purpose::Visit => Role::Visitor,
        };
        let home = match purpose {
            Purpose::Home => Some(shared.homes.occupy(star.dialed_host())),
            Purpose::Visit => None,
        };
        let wall = (shared.config.wall_clock)();
        let mut driver = Self {
            watch: WakeWatch::new(shared.config.wake_check, now, wall),
            _counted: shared.gauges.count(Gauge::Star),
            shared,
            id,
            star,
            role,
            link: Link::Down,
            nonce: ClientNonce::from_random(rand::random()),
            _home: home,
            leftovers: VecDeque::new(),
            alarm,
            idle_since: None,
            last_error: None,
            dials,
            waiting: VecDeque::new(),
            outlets,
            unsent_reports: VecDeque::new(),
            unsent_notices: VecDeque::new(),
        };
        if matches!(driver.role, Role::Visitor) {
            driver.open();
        }
        driver
    }

    /// Begins a connection.
    fn open(&mut self) {
        self.nonce = ClientNonce::from_random(rand::random());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let query = match self.shared.config.profile {
            Profile::Auto => vec![
                pair(native::OFFER.0, native::OFFER.1),
                pair(native::NONCE_KEY, &self.nonce.to_text()),
            ],
            Profile::Legacy => Vec::new(),
        };
        let config = SioConfig {
            engine: self.shared.config.engine,
            handshake_deadline: self.shared.config.open_deadline,
            query,
            ..SioConfig::default()
        };
        let url = self.star.server_url();
        let connector = Arc::clone(&self.shared.config.connector);
        let timers = Arc::clone(&self.shared.config.timers);
        let opening =
            async move { Connection::open(&url, config, connector.as_ref(), timers).await };
        self.link = Link::Opening(opening.boxed());
    }

    fn purpose(&self) -> Purpose {
        match self.role {
            Role::Home(_) => Purpose::Home,
            Role::Visitor | Role::Leaving => Purpose::Visit,
        }
    }

    /// Takes what has to be dialed; returns whether there was something.
    fn poll_dials(&mut self, cx: &mut Context<'_>) -> bool {
        let mut has_moved = false;
        while !matches!(self.role, Role::Leaving) {
            match self.dials.poll_next_unpin(cx) {
                Poll::Ready(Some(dial)) => self.dial(dial),
                Poll::Ready(None) => self.leave(),
                Poll::Pending => break,
            }
            has_moved = true;
        }
        has_moved
    }

    fn dial(&mut self, dial: Dial) {
        let now = self.alarm.now();
        let deadline = now + self.shared.config.dial_deadline;
        let n_pending = self.waiting.len() + self.session().map_or(0, |s| s.n_dials());
        if n_pending >= self.shared.config.max_pending_dials {
            return refuse(dial, Error::TooManyDials);
        }
        if let Link::Live(session) = &mut self.link {
            return session.dial(dial.peer, deadline, dial.reply);
        }
        if let Role::Home(home) = &mut self.role {
            home.hasten();
            let soon = now + self.shared.config.backoff_base;
            if home.next_attempt().is_some_and(|at| at > soon) {
                let error = self.last_error.clone().unwrap_or(Error::Closed);
                return refuse(dial, error);
            }
        }
        self.waiting.push_back(Waiting { dial, deadline });
    }

    fn session(&self) -> Option<&Session> {
        match &self.link {
            Link::Joining(session) | Link::Live(session) | Link::Closing(session) => Some(session),
            Link::Down | Link::Opening(_) | Link::Done => None,
        }
    }

    /// The listener was removed, or the visitor is no longer wanted. What is
    /// under way on a live connection goes on.
    fn leave(&mut self) {
        self.dials.close();
        if matches!(self.role, Role::Home(_)) {
            let star = self.star.clone();
            self.unsent_notices
                .push_back(Notice::Lost(star, Error::Closed, None));
        }
        self.role = Role::Leaving;
        self.refuse_waiting(&Error::Closed);
        match &mut self.link {
            Link::Live(session) => session.leave(),
            Link::Down | Link::Opening(_) | Link::Joining(_) => self.link = Link::Done,
            Link::Closing(_) | Link::Done => {}
        }
    }

    fn refuse_waiting(&mut self, error: &Error) {
        for waiting in self.waiting.drain(..) {
            refuse(waiting.dial, error.clone());
        }
    }

    /// Does what is due by the clock.
    fn check_time(&mut self) {
        let now = self.alarm.now();
        if self.watch.look(now, (self.shared.config.wall_clock)()) {
            if let Role::Home(home) = &mut self.role {
                home.woke(now);
            }
            if let Link::Live(session) = &mut self.link {
                session.probe(now);
            }
        }
        while let Some(waiting) = self.waiting.pop_front_if(|first| first.deadline <= now) {
            refuse(waiting.dial, Error::Deadline(Stage::Dial));
        }
        if let Link::Joining(session) | Link::Live(session) = &mut self.link {
            session.handle_timeout(now);
        }
        for session in &mut self.leftovers {
            session.handle_timeout(now);
        }
        let has_told = self.unsent_reports.is_empty() && self.unsent_notices.is_empty();
        if let Role::Home(home) = &mut self.role
            && has_told
            && home.start(now)
        {
            let star = self.star.clone();
            tracing::debug!("Connecting to the star");
            self.unsent_notices.push_back(Notice::Connecting(star));
            self.open();
        }
        self.check_idle(now);
    }

    /// Ends a visit that nobody has needed for long enough, and a star that is
    /// being left as soon as nobody needs it.
    fn check_idle(&mut self, now: Instant) {
        let Link::Live(session) = &self.link else {
            self.idle_since = None;
            return;
        };
        if !session.is_idle() || matches!(self.role, Role::Home(_)) {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert(now);
        if matches!(self.role, Role::Visitor) && now < since + self.shared.config.visitor_idle {
            return;
        }
        if matches!(self.role, Role::Visitor) && self.take_last_dials() {
            return;
        }
        if let Link::Live(session) = &mut self.link
            && !session.is_settled(now)
        {
            return;
        }
        if let Link::Live(session) = std::mem::replace(&mut self.link, Link::Done) {
            self.link = Link::Closing(session);
        }
    }

    /// Takes no more dials from now on, those that are under way included;
    /// returns whether there were any.
    fn take_last_dials(&mut self) -> bool {
        self.dials.close();
        let mut has_dials = false;
        while let Ok(dial) = self.dials.try_recv() {
            has_dials = true;
            self.dial(dial);
        }
        self.role = Role::Leaving;
        has_dials
    }

    /// Moves the connection on; returns whether something has changed.
    fn poll_link(&mut self, cx: &mut Context<'_>) -> bool {
        self.leftovers
            .retain_mut(|session| session.poll(cx).is_pending() && !session.is_idle());
        match &mut self.link {
            Link::Down | Link::Done => false,
            Link::Opening(opening) => match opening.poll_unpin(cx) {
                Poll::Ready(Ok(connection)) => {
                    self.join(connection);
                    true
                }
                Poll::Ready(Err(error)) => {
                    self.lost(Error::StarUnreachable(error));
                    true
                }
                Poll::Pending => false,
            },
            Link::Joining(session) | Link::Live(session) => {
                if let Poll::Ready(error) = session.poll(cx) {
                    self.lost(error);
                    return true;
                }
                self.apply_happenings()
            }
            Link::Closing(session) => {
                let is_closed = session.poll_close(cx).is_ready();
                if is_closed {
                    self.link = Link::Done;
                }
                is_closed
            }
        }
    }

    fn join(&mut self, connection: Connection) {
        let session = Session::new(
            Arc::clone(&self.shared),
            connection,
            self.star.clone(),
            self.purpose(),
            self.nonce,
            self.alarm.now(),
        );
        self.link = Link::Joining(Box::new(session));
    }

    fn apply_happenings(&mut self) -> bool {
        let mut has_moved = false;
        while let Link::Joining(session) | Link::Live(session) = &mut self.link {
            let Some(happening) = session.next_happening() else {
                break;
            };
            has_moved = true;
            match happening {
                Happening::Joined => self.joined(),
                Happening::TakenOver => self.taken_over(),
                Happening::Addresses(peer, addresses) => {
                    if self.unsent_notices.len() < MAX_UNSENT_NOTICES {
                        self.unsent_notices
                            .push_back(Notice::Addresses(peer, addresses));
                    }
                }
                Happening::Incoming(peer, accept) => {
                    self.unsent_reports
                        .push_back(Report::Incoming(peer, accept));
                }
            }
        }
        has_moved
    }

    fn joined(&mut self) {
        let link = std::mem::replace(&mut self.link, Link::Down);
        let Link::Joining(mut session) = link else {
            self.link = link;
            return;
        };
        for waiting in self.waiting.drain(..) {
            session.dial(waiting.dial.peer, waiting.deadline, waiting.dial.reply);
        }
        self.link = Link::Live(session);
        if let Role::Home(home) = &mut self.role {
            home.joined(self.alarm.now());
            let address = self.star.with_peer(self.shared.own).to_multiaddr();
            tracing::debug!("Home joined");
            self.unsent_reports.push_back(Report::Live);
            self.unsent_notices
                .push_back(Notice::Live(self.star.clone(), address));
        }
    }

    /// Another process is this peer now. The streams that there are go on.
    fn taken_over(&mut self) {
        match self.role {
            Role::Home(_) => {
                if let Link::Live(session) = std::mem::replace(&mut self.link, Link::Down) {
                    if self.leftovers.len() == MAX_LEFTOVERS {
                        self.leftovers.pop_front();
                    }
                    self.leftovers.push_back(session);
                }
                self.lost(Error::TakenOver);
            }
            Role::Visitor => {
                self.take_last_dials();
            }
            Role::Leaving => {}
        }
    }

    /// The connection failed, or is lost.
    fn lost(&mut self, error: Error) {
        // Breaks its streams and dials, if it had a session.
        self.link = Link::Down;
        self.refuse_waiting(&error);
        let now = self.alarm.now();
        match &mut self.role {
            Role::Home(home) => {
                let wait = home.lost(&error, now, rand::random());
                self.last_error = Some(error.clone());
                tracing::debug!(%error, retry_in = ?wait, "Home lost");
                self.unsent_reports.push_back(Report::Lost(error.clone()));
                let star = self.star.clone();
                self.unsent_notices
                    .push_back(Notice::Lost(star, error, Some(wait)));
            }
            Role::Visitor | Role::Leaving => {
                self.dials.close();
                while let Ok(dial) = self.dials.try_recv() {
                    refuse(dial, error.clone());
                }
                self.role = Role::Leaving;
                self.link = Link::Done;
            }
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.link, Link::Done)
            && self.leftovers.is_empty()
            && self.unsent_notices.is_empty()
    }

    fn next_deadline(&self) -> Option<Instant> {
        let sessions = self.leftovers.iter().map(|s| s.next_deadline());
        let session = match &self.link {
            Link::Joining(session) | Link::Live(session) => session.next_deadline(),
            Link::Down | Link::Opening(_) | Link::Closing(_) | Link::Done => None,
        };
        let (attempt, look) = match &self.role {
            Role::Home(home) => {
                let has_told = self.unsent_reports.is_empty() && self.unsent_notices.is_empty();
                let attempt = home.next_attempt().filter(|_| has_told);
                (attempt, Some(self.watch.next_look()))
            }
            Role::Visitor | Role::Leaving => (None, None),
        };
        let waiting = self.waiting.front().map(|waiting| waiting.deadline);
        let idle = match self.role {
            Role::Visitor => self
                .idle_since
                .map(|since| since + self.shared.config.visitor_idle),
            Role::Home(_) | Role::Leaving => None,
        };
        let times = [session, attempt, look, waiting, idle];
        times.into_iter().chain(sessions).flatten().min()
    }
}

fn refuse(dial: Dial, error: Error) {
    // Who dialed may have given up.
    let _ = dial.reply.send(Err(error));
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..POLL_BUDGET {
            let was_closing = matches!(self.link, Link::Closing(_));
            let mut has_moved = self.poll_dials(cx);
            self.check_time();
            has_moved |= self.poll_link(cx);
            if !self.poll_tell(cx) || self.is_done() {
                return Poll::Ready(());
            }
            let now = self.alarm.now();
            self.check_idle(now);
            if has_moved || matches!(self.link, Link::Closing(_)) && !was_closing {
                continue;
            }
            let Some(deadline) = self.next_deadline() else {
                return Poll::Pending;
            };
            if self.alarm.poll_until(deadline, cx).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
