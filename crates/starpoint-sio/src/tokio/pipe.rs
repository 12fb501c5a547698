//! Pipes: a WebSocket without messages, fast enough to be what Noise and Yamux
//! run on.

mod buffers;
mod handshake;
mod reader;
mod stream;
mod waker;
mod writer;

use std::sync::Arc;

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::http::Uri;

use super::dial::{Target, secure};
use crate::{error::PipeError, io::Pipe};

pub(super) use buffers::Buffers;

pub(super) async fn connect(
    url: Uri,
    tls: Arc<ClientConfig>,
    buffers: Arc<Buffers>,
) -> Result<Box<dyn Pipe>, PipeError> {
    let target = Target::new(&url)?;
    let tcp = target.connect().await?;
    match target.tls_name() {
        Some(name) => open(&url, secure(tls, name, tcp).await?, buffers).await,
        None => open(&url, tcp, buffers).await,
    }
}

async fn open<S>(
    url: &Uri,
    mut stream: S,
    buffers: Arc<Buffers>,
) -> Result<Box<dyn Pipe>, PipeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let follows = handshake::shake_hands(url, &mut stream).await?;
    Ok(Box::new(stream::NativePipe::new(stream, follows, buffers)))
}
