//! A connection with the methods of a test.

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use serde_json::Value;
use starpoint_sio::{
    AckId, Closed, Config, Connection, Event, OpenError, TokioConnector, TokioTimers,
    tokio::{PublicRoots, TrustedRoots},
};
use starpoint_test_support::within;

/// A connection to a star or to a server of the test.
#[derive(Debug)]
pub(crate) struct Peer(pub(crate) Connection);

/// Opens a connection that trusts no certificate.
pub(crate) async fn open(url: &str, config: Config) -> Result<Peer, OpenError> {
    let roots = TrustedRoots {
        public: PublicRoots::None,
        ..TrustedRoots::default()
    };
    open_with(url, config, &roots).await
}

/// Opens a connection that trusts these authorities.
pub(crate) async fn open_with(
    url: &str,
    config: Config,
    roots: &TrustedRoots,
) -> Result<Peer, OpenError> {
    let connector = TokioConnector::with_roots(roots).expect("the roots are usable");
    let opening = Connection::open(url, config, &connector, Arc::new(TokioTimers));
    within("the attempt ends", opening).await.map(Peer)
}

impl Peer {
    pub(crate) async fn next(&mut self) -> Result<Event, Closed> {
        within("an event or the end", poll_fn(|cx| self.0.poll_event(cx))).await
    }

    /// Returns the arguments and attachments of the next event of this name.
    pub(crate) async fn event(&mut self, wanted: &str) -> (Value, Vec<Bytes>, Option<AckId>) {
        loop {
            let event = self.next().await.expect("the connection stays");
            if let Event::Event {
                name,
                args,
                attachments,
                ack,
            } = event
                && name == wanted
            {
                return (parse(&args), attachments, ack);
            }
        }
    }

    pub(crate) async fn emit(&mut self, name: &str, args: &str, attachments: Vec<Bytes>) {
        let room = poll_fn(|cx| self.0.poll_ready(cx));
        within("room", room).await.expect("the connection stays");
        self.0.emit(name, args, attachments);
    }

    pub(crate) async fn call(&mut self, name: &str, args: &str) -> AckId {
        let room = poll_fn(|cx| self.0.poll_ready(cx));
        within("room", room).await.expect("the connection stays");
        let id = self.0.call(name, args, vec![]);
        let written = poll_fn(|cx| self.0.poll_drive_writes(cx));
        let written = within("the call is written", written).await;
        written.expect("the connection stays");
        id
    }

    pub(crate) async fn answer(&mut self, wanted: AckId) -> Value {
        loop {
            let event = self.next().await.expect("the connection stays");
            if let Event::Ack { id, args, .. } = event
                && id == wanted
            {
                return parse(&args);
            }
        }
    }

    /// Returns why the connection ends; events before that are ignored.
    pub(crate) async fn end(&mut self) -> Closed {
        loop {
            if let Err(reason) = self.next().await {
                return reason;
            }
        }
    }

    pub(crate) async fn close(mut self) {
        within("the orderly end", poll_fn(|cx| self.0.poll_close(cx))).await;
        assert!(matches!(self.end().await, Closed::Local));
    }
}

fn parse(args: &str) -> Value {
    serde_json::from_str(args).expect("arguments are JSON")
}
