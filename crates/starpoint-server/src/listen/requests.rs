//! The requests of one connection, and where each comes from.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use axum::{Router, body::Body, extract::Request};
use futures_util::{FutureExt as _, future::BoxFuture};
use hyper::{
    body::Incoming,
    header::{CONNECTION, HeaderValue},
};
use starpoint_broker::SourceId;
use tower::Service as _;

use crate::{
    connections::{Marker, Reason, Share},
    http::{self, Response, StatusCode},
    proxy::Proxies,
    source::{Source, Sources},
};

/// Where a connection or a request comes from.
#[derive(Clone)]
pub(super) struct Origin {
    sources: Arc<Sources>,
    proxies: Arc<Proxies>,
    addr: IpAddr,
    source: Arc<Source>,
}

impl Origin {
    pub(super) fn new(sources: &Arc<Sources>, proxies: &Arc<Proxies>, addr: IpAddr) -> Self {
        Self {
            sources: Arc::clone(sources),
            proxies: Arc::clone(proxies),
            addr,
            source: sources.of(addr),
        }
    }

    pub(super) fn id(&self) -> SourceId {
        self.source.id
    }

    /// Returns whether it is a client, or a proxy for many.
    pub(super) fn share(&self) -> Share {
        match self.proxies.trusts(self.addr) {
            true => Share::Proxy,
            false => Share::Bounded,
        }
    }

    /// Returns where a request of this connection comes from, if a proxy speaks for
    /// others.
    fn of(&self, request: &Request) -> Option<Self> {
        match self.share() {
            Share::Bounded => None,
            Share::Proxy => {
                let client = self.proxies.client(self.addr, request.headers());
                Some(Self::new(&self.sources, &self.proxies, client))
            }
        }
    }
}

/// Answers the requests of one connection.
pub(super) struct Requests {
    pub(super) router: Router,
    pub(super) origin: Origin,
    pub(super) marker: Marker,
    /// Why the connection may only ask for the star's health.
    pub(super) refused: Option<Reason>,
}

impl hyper::service::Service<hyper::Request<Incoming>> for Requests {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        let forwarded = self.origin.of(&request);
        let origin = forwarded.as_ref().unwrap_or(&self.origin);
        request.extensions_mut().insert(Arc::clone(&origin.source));
        let router = self.router.clone();
        if self.refused.is_some() {
            return answer_from_the_reserve(router, request).boxed();
        }
        if forwarded.is_some() && !self.marker.attribute(origin.id(), origin.share()) {
            // The connection is the proxy's, which has other clients.
            return answer_about_health(router, request).boxed();
        }
        let marker = self.marker.clone();
        marker.begin();
        answer(router, request, marker).boxed()
    }
}

impl Requests {
    /// Takes the word of a proxy that the connection comes from elsewhere.
    pub(super) fn came_from(&mut self, origin: Origin) {
        if self.refused.is_none() && !self.marker.attribute(origin.id(), origin.share()) {
            self.refused = Some(Reason::SourceFull);
        }
        self.origin = origin;
    }
}

async fn answer(
    mut router: Router,
    request: Request,
    marker: Marker,
) -> Result<Response, Infallible> {
    let response = router.call(request).await?;
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => marker.upgrade(),
        _ => marker.finish(),
    }
    Ok(response)
}

async fn answer_about_health(mut router: Router, request: Request) -> Result<Response, Infallible> {
    match http::is_about_health(request.uri().path()) {
        true => router.call(request).await,
        false => Ok(http::no_room()),
    }
}

async fn answer_from_the_reserve(router: Router, request: Request) -> Result<Response, Infallible> {
    let mut response = answer_about_health(router, request).await?;
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    Ok(response)
}
