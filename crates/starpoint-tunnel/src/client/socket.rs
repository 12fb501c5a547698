//! One socket through the tunnel.

use std::{
    io,
    sync::{Arc, PoisonError},
    time::Duration,
};

use starpoint_node::{OpenStreamError, Stream};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use super::{ConnectError, Moved, Shared, State};
use crate::{
    PROTOCOL, frames,
    monitor::SocketInfo,
    refusal::Refusal,
    splice::{self, ResetOnDrop, Unwritten},
    target::TargetName,
    wire::Frame,
};

/// Before a stream is tried again that could not be opened.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// A target that is connected. Dropping it resets the connection.
pub struct Socket {
    shared: Arc<Shared>,
    stream: Stream,
    target: Option<TargetName>,
    cut: CancellationToken,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Socket {
    /// Sends what `reader` has, and gives to `writer` what comes, until both
    /// directions have ended. Dropping the future resets the connection.
    ///
    /// # Errors
    ///
    /// Either side was reset or lost, or the session has ended.
    pub async fn copy(
        self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<Moved> {
        let meters = self.shared.monitors.attach(&SocketInfo {
            peer: self.shared.code.host(),
            target: self.target,
        });
        tokio::select! {
            () = self.cut.cancelled() => Err(io::ErrorKind::ConnectionReset.into()),
            moved = splice::both(reader, writer, self.stream, &meters, Unwritten::Stop) => moved,
        }
    }

    /// The same for a TCP connection, which is reset when the other one was.
    pub(super) async fn splice(self, local: ResetOnDrop) -> io::Result<Moved> {
        let meters = self.shared.monitors.attach(&SocketInfo {
            peer: self.shared.code.host(),
            target: self.target,
        });
        tokio::select! {
            () = self.cut.cancelled() => Err(io::ErrorKind::ConnectionReset.into()),
            moved = splice::tcp(local, self.stream, &meters) => moved,
        }
    }
}

/// Serves one program that has connected to a listener.
pub(super) async fn serve(
    shared: Arc<Shared>,
    local: TcpStream,
    target: Option<TargetName>,
) -> Result<(), ConnectError> {
    // Small requests shall not wait for more.
    let _ = local.set_nodelay(true);
    let local = ResetOnDrop::new(local);
    let socket = connect(&shared, target).await?;
    let done = socket.splice(local).await;
    tracing::debug!(?done, "Socket ended");
    Ok(())
}

/// Opens a stream and has the host connect it.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    target: Option<TargetName>,
) -> Result<Socket, ConnectError> {
    let deadline = Instant::now() + shared.config.wait_deadline;
    loop {
        match attempt(shared, target.clone()).await {
            // The session was lost in this moment, and is about to be joined again.
            Err(ConnectError::Refused(Refusal::NotJoined)) if Instant::now() < deadline => {
                time::sleep(RETRY_AFTER).await;
            }
            done => return done,
        }
    }
}

async fn attempt(shared: &Arc<Shared>, target: Option<TargetName>) -> Result<Socket, ConnectError> {
    let (mut stream, cut) = open(shared).await?;
    let request = Frame::Connect {
        target: target.clone(),
    };
    let asked = async {
        let sent = frames::write(&mut stream, &request).await;
        sent.map_err(ConnectError::Lost)?;
        let answer = frames::read(&mut stream, shared.config.connect_deadline).await;
        match answer.map_err(ConnectError::Lost)? {
            Frame::Connected => Ok(()),
            Frame::Refused(refusal) => Err(ConnectError::Refused(refusal)),
            Frame::Join { .. }
            | Frame::Connect { .. }
            | Frame::Leave
            | Frame::Waiting { .. }
            | Frame::Open { .. }
            | Frame::Ping(_)
            | Frame::Pong(_) => {
                let error = io::Error::new(io::ErrorKind::InvalidData, "not an answer");
                Err(ConnectError::Lost(error))
            }
        }
    };
    tokio::select! {
        () = cut.cancelled() => {
            return Err(ConnectError::Lost(io::ErrorKind::ConnectionReset.into()));
        }
        done = asked => done?,
    }
    Ok(Socket {
        shared: Arc::clone(shared),
        stream,
        target,
        cut,
    })
}

/// Opens a stream while the session is open, or soon is.
async fn open(shared: &Shared) -> Result<(Stream, CancellationToken), ConnectError> {
    let mut state = shared.state.clone();
    let deadline = Instant::now() + shared.config.wait_deadline;
    loop {
        let settled = state.wait_for(|s| matches!(s, State::Open { .. } | State::Closed(_)));
        match time::timeout_at(deadline, settled).await {
            Ok(Ok(state)) if matches!(*state, State::Open { .. }) => {}
            Ok(Ok(_) | Err(_)) => return Err(ConnectError::Closed),
            Err(_) => return Err(ConnectError::NotOpen),
        }
        let cut = shared
            .cut
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let opened = shared.node.open_stream(shared.code.host(), PROTOCOL);
        match time::timeout_at(deadline, opened).await {
            Ok(Ok(stream)) => return Ok((stream, cut)),
            Ok(Err(OpenStreamError::Unsupported(_))) => return Err(ConnectError::Closed),
            // The session knows soon.
            Ok(Err(error)) => tracing::debug!(%error, "Stream not opened"),
            Err(_) => return Err(ConnectError::NotOpen),
        }
        time::sleep(RETRY_AFTER).await;
    }
}
