//! The libp2p transport: listeners, dials, and the stars behind them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
};

use futures_channel::{mpsc, oneshot};
use futures_util::{
    FutureExt as _, SinkExt as _, StreamExt as _,
    future::{AbortHandle, BoxFuture, abortable},
    stream::FuturesUnordered,
};
use libp2p_core::{
    Multiaddr,
    transport::{DialOpts, ListenerId, TransportError, TransportEvent},
};
use libp2p_identity::PeerId;
use starpoint_wire::StarAddress;
use tracing::Instrument as _;

use crate::{
    close::{CloseRequest, Closer, Closing, CutShort},
    error::{Error, Failure},
    gauges::Gauges,
    machine::star::Purpose,
    net::{Accept, Dial, DialReply, Driver, DriverId, Finishing, Notice, Outlets, Report, Stream},
    shared::Shared,
};

/// Reports and dials that wait for the transport to be polled, besides one for
/// each sender.
const QUEUE_LENGTH: usize = 32;

type Channel<T> = (mpsc::Sender<T>, mpsc::Receiver<T>);

/// What a swarm listens and dials with. Made by [`new`](crate::new).
///
/// Dropping it ends every connection to a star and every stream; a [`Closer`] ends
/// them in good order.
pub struct Transport {
    shared: Arc<Shared>,
    stars: BTreeMap<DriverId, Star>,
    homes: HashMap<StarAddress, DriverId>,
    visits: HashMap<StarAddress, DriverId>,
    next_id: DriverId,
    drivers: FuturesUnordered<BoxFuture<'static, DriverId>>,
    dials: Channel<DialRequest>,
    reports: Channel<(DriverId, Report)>,
    closes: Channel<CloseRequest>,
    /// Since somebody wanted the end.
    closing: Option<Closing>,
    finishing: Finishing,
    notices: mpsc::Sender<Notice>,
    events: VecDeque<TransportEvent<Accept, Failure>>,
    waker: Option<Waker>,
}

/// A dial whose future was polled.
struct DialRequest {
    star: StarAddress,
    peer: PeerId,
    reply: DialReply,
}

/// What the transport knows of a driver.
struct Star {
    address: StarAddress,
    /// Tells the driver what to dial; dropping it makes it leave.
    dials: mpsc::Sender<Dial>,
    listener: Option<Listener>,
}

struct Listener {
    id: ListenerId,
    is_announced: bool,
}

impl Transport {
    pub(crate) fn new(shared: Arc<Shared>, notices: mpsc::Sender<Notice>) -> Self {
        let timers = Arc::clone(&shared.config.timers);
        let finishing = Finishing::new(shared.pipes.clone(), timers);
        Self {
            shared,
            stars: BTreeMap::new(),
            homes: HashMap::new(),
            visits: HashMap::new(),
            next_id: 0,
            drivers: FuturesUnordered::new(),
            dials: mpsc::channel(QUEUE_LENGTH),
            reports: mpsc::channel(QUEUE_LENGTH),
            closes: mpsc::channel(0),
            closing: None,
            finishing,
            notices,
            events: VecDeque::new(),
            waker: None,
        }
    }

    /// Returns a handle that says how much this transport holds.
    pub fn gauges(&self) -> Gauges {
        self.shared.gauges.clone()
    }

    /// Returns a handle that closes this transport in good order.
    pub fn closer(&self) -> Closer {
        Closer(self.closes.0.clone())
    }

    /// Starts a driver, here or on the executor.
    fn connect(&mut self, address: &StarAddress, listener: Option<Listener>) -> DriverId {
        let id = self.next_id;
        self.next_id += 1;
        let (dials, requests) = mpsc::channel(self.shared.config.max_pending_dials);
        let purpose = match listener {
            Some(_) => Purpose::Home,
            None => Purpose::Visit,
        };
        let outlets = Outlets {
            reports: self.reports.0.clone(),
            notices: self.notices.clone(),
        };
        let shared = Arc::clone(&self.shared);
        let span = match purpose {
            Purpose::Home => tracing::debug_span!("home", star = %address),
            Purpose::Visit => tracing::debug_span!("visit", star = %address),
        };
        let driver = Driver::new(shared, id, address.clone(), purpose, requests, outlets);
        let driver = driver.instrument(span);
        let task = match &self.shared.config.executor {
            None => driver.map(move |()| id).boxed(),
            Some(executor) => {
                let (driver, abort) = abortable(driver);
                let (done, is_done) = oneshot::channel();
                executor.exec(Box::pin(async move {
                    // Aborted or not, it is over.
                    let _ = driver.await;
                    // The transport may be gone, and then nobody waits.
                    let _ = done.send(());
                }));
                let owner = AbortOnDrop(abort);
                async move {
                    // An executor that drops the task ends the driver, too.
                    let _ = is_done.await;
                    drop(owner);
                    id
                }
                .boxed()
            }
        };
        self.drivers.push(task);
        let star = Star {
            address: address.clone(),
            dials,
            listener,
        };
        self.stars.insert(id, star);
        self.wake();
        id
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Hands a dial to the star's driver; a star that is neither home nor
    /// visited is visited.
    fn route(&mut self, request: DialRequest) {
        let mut dial = Dial {
            peer: request.peer,
            reply: request.reply,
        };
        if self.closing.is_some() {
            return refuse(dial, Error::Closed);
        }
        let known = [&self.homes, &self.visits].map(|of| of.get(&request.star).copied());
        for id in known.into_iter().flatten() {
            let Some(star) = self.stars.get_mut(&id) else {
                continue;
            };
            match star.dials.try_send(dial) {
                Ok(()) => return,
                Err(error) if error.is_full() => {
                    return refuse(error.into_inner(), Error::TooManyDials);
                }
                // A visit that is ending. Another one begins.
                Err(error) => dial = error.into_inner(),
            }
        }
        let is_counted = self.visits.contains_key(&request.star);
        if !is_counted && self.visits.len() >= self.shared.config.max_visits {
            return refuse(dial, Error::TooManyVisits);
        }
        let id = self.connect(&request.star, None);
        self.visits.insert(request.star, id);
        if let Some(star) = self.stars.get_mut(&id)
            && let Err(error) = star.dials.try_send(dial)
        {
            refuse(error.into_inner(), Error::Closed);
        }
    }

    fn reported(&mut self, id: DriverId, report: Report) {
        let Some(star) = self.stars.get_mut(&id) else {
            return;
        };
        let own = star.address.with_peer(self.shared.own).to_multiaddr();
        let Some(listener) = &mut star.listener else {
            return;
        };
        let listener_id = listener.id;
        match report {
            Report::Live => {
                listener.is_announced = true;
                self.events.push_back(TransportEvent::NewAddress {
                    listener_id,
                    listen_addr: own,
                });
            }
            Report::Lost(error) => {
                if std::mem::replace(&mut listener.is_announced, false) {
                    self.events.push_back(TransportEvent::AddressExpired {
                        listener_id,
                        listen_addr: own,
                    });
                }
                self.events.push_back(TransportEvent::ListenerError {
                    listener_id,
                    error: error.into(),
                });
            }
            Report::Incoming(peer, accept) => self.events.push_back(TransportEvent::Incoming {
                listener_id,
                upgrade: accept,
                local_addr: own,
                send_back_addr: star.address.with_peer(peer).to_multiaddr(),
            }),
        }
    }

    /// Leaves every star.
    fn close(&mut self, request: CloseRequest) {
        let timers = &self.shared.config.timers;
        let closing = self.closing.get_or_insert_with(|| {
            Closing::new(timers.sleep_until(timers.now() + request.deadline))
        });
        closing.add(request.reply);
        self.homes.clear();
        self.visits.clear();
        // Drops the senders, and so the drivers leave.
        for (_, star) in std::mem::take(&mut self.stars) {
            if let Some(listener) = star.listener {
                self.events.push_back(TransportEvent::ListenerClosed {
                    listener_id: listener.id,
                    reason: Ok(()),
                });
            }
        }
    }

    fn ended(&mut self, id: DriverId) {
        let Some(star) = self.stars.remove(&id) else {
            return;
        };
        for of in [&mut self.homes, &mut self.visits] {
            if of.get(&star.address) == Some(&id) {
                of.remove(&star.address);
            }
        }
    }
}

impl libp2p_core::Transport for Transport {
    type Output = Stream;
    type Error = Failure;
    type ListenerUpgrade = Accept;
    type Dial = BoxFuture<'static, Result<Stream, Failure>>;

    /// Makes a star a home. Fails only for an address that is not that of a star,
    /// never because the star is down.
    fn listen_on(
        &mut self,
        id: ListenerId,
        addr: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        let Ok(star) = StarAddress::try_from(&addr) else {
            return Err(TransportError::MultiaddrNotSupported(addr));
        };
        if star.peer().is_some_and(|peer| peer != self.shared.own) {
            return Err(TransportError::Other(Error::ForeignPeer.into()));
        }
        if self.closing.is_some() {
            return Err(TransportError::Other(Error::Closed.into()));
        }
        let star = star.without_peer();
        if self.homes.contains_key(&star) {
            return Err(TransportError::Other(Error::AlreadyHome.into()));
        }
        let listener = Listener {
            id,
            is_announced: false,
        };
        let driver = self.connect(&star, Some(listener));
        self.homes.insert(star, driver);
        Ok(())
    }

    /// Leaves a home. Its streams go on.
    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let is_it = |star: &Star| star.listener.as_ref().is_some_and(|l| l.id == id);
        let Some((driver, star)) = self.stars.iter().find(|(_, star)| is_it(star)) else {
            return false;
        };
        let (driver, address) = (*driver, star.address.clone());
        self.homes.remove(&address);
        // Drops the sender, and so the driver leaves.
        self.stars.remove(&driver);
        self.events.push_back(TransportEvent::ListenerClosed {
            listener_id: id,
            reason: Ok(()),
        });
        self.wake();
        true
    }

    /// Dials a peer at a star. Nothing happens before the future is polled.
    fn dial(
        &mut self,
        addr: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        let star = match StarAddress::try_from(&addr) {
            // A star relays; there is no hole to punch to it.
            Ok(star) if opts.role.is_dialer() => star,
            Ok(_) | Err(_) => return Err(TransportError::MultiaddrNotSupported(addr)),
        };
        let Some(peer) = star.peer() else {
            return Err(TransportError::Other(Error::PeerMissing.into()));
        };
        if peer == self.shared.own {
            return Err(TransportError::Other(Error::DialSelf.into()));
        }
        let mut dials = self.dials.0.clone();
        let dial = async move {
            let (reply, answer) = oneshot::channel();
            let request = DialRequest {
                star: star.without_peer(),
                peer,
                reply,
            };
            dials.send(request).await.map_err(|_| Error::Closed)?;
            let answer = answer.await.unwrap_or(Err(Error::Closed));
            answer.map_err(Failure::from)
        };
        Ok(dial.boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.events.pop_front() {
                return Poll::Ready(event);
            }
            if let Poll::Ready(Some((id, report))) = this.reports.1.poll_next_unpin(cx) {
                this.reported(id, report);
                continue;
            }
            if let Poll::Ready(Some(request)) = this.dials.1.poll_next_unpin(cx) {
                this.route(request);
                continue;
            }
            if let Poll::Ready(Some(id)) = this.drivers.poll_next_unpin(cx) {
                this.ended(id);
                continue;
            }
            // Polling the drivers may have made them report.
            if let Poll::Ready(Some((id, report))) = this.reports.1.poll_next_unpin(cx) {
                this.reported(id, report);
                continue;
            }
            if let Poll::Ready(Some(request)) = this.closes.1.poll_next_unpin(cx) {
                this.close(request);
                continue;
            }
            this.finishing.poll(cx);
            if let Some(closing) = &mut this.closing {
                let left = CutShort {
                    n_stars: this.drivers.len(),
                    n_pipes: this.finishing.n_pipes(),
                };
                if closing.poll(left, cx).is_ready() {
                    this.drivers.clear();
                    this.finishing.cut();
                }
            }
            this.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
    }
}

fn refuse(dial: Dial, error: Error) {
    // Who dialed may have given up.
    let _ = dial.reply.send(Err(error));
}

/// Ends a task when its owner is gone.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("own", &self.shared.own)
            .field("gauges", &self.shared.gauges)
            .finish_non_exhaustive()
    }
}
