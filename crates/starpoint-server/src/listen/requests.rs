//! The requests of one connection.

use std::{convert::Infallible, sync::Arc};

use axum::{Router, body::Body, extract::Request};
use futures_util::{FutureExt as _, future::BoxFuture};
use hyper::{
    body::Incoming,
    header::{CONNECTION, HeaderValue},
};
use tower::Service as _;

use crate::{
    connections::{Marker, Reason},
    http::{self, Response, StatusCode},
    source::Source,
};

/// Answers the requests of one connection.
pub(super) struct Requests {
    pub(super) router: Router,
    pub(super) source: Arc<Source>,
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
        if self.refused.is_some() {
            return self.answer_from_the_reserve(request).boxed();
        }
        let marker = self.marker.clone();
        marker.begin();
        request.extensions_mut().insert(self.source.clone());
        let mut router = self.router.clone();
        async move {
            let Ok(response) = router.call(request).await;
            match response.status() {
                StatusCode::SWITCHING_PROTOCOLS => marker.upgrade(),
                _ => marker.finish(),
            }
            Ok(response)
        }
        .boxed()
    }
}

impl Requests {
    fn answer_from_the_reserve(
        &self,
        mut request: Request,
    ) -> impl Future<Output = Result<Response, Infallible>> + use<> {
        request.extensions_mut().insert(self.source.clone());
        let mut router = self.router.clone();
        async move {
            let mut response = if http::is_about_health(request.uri().path()) {
                let Ok(response) = router.call(request).await;
                response
            } else {
                http::no_room()
            };
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
            Ok(response)
        }
    }
}
