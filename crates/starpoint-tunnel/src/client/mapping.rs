//! A local listener.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinSet,
    time,
};

use super::{ClientEvent, Shared, socket};
use crate::target::TargetName;

/// Before a listener is tried again that had trouble: most often there are no
/// more file descriptors.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Programs that wait to be accepted. Where it overflows, the system forgets some
/// that believe to be connected; the usual 128 are too few for a browser or two.
const BACKLOG: u32 = 4_096;

/// Listens on a local address, with room for a burst of programs.
///
/// # Errors
///
/// The address cannot be listened on, most often because it is in use.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Otherwise the port is in use for a minute after the last socket.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts programs and connects each of them; all end with this future.
///
/// A permit is taken before a program is accepted: as long as there is none, it
/// waits in the listener's own queue, whose length the system limits.
pub(super) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    address: SocketAddr,
    target: Option<TargetName>,
) {
    let mut sockets = JoinSet::new();
    loop {
        let accepted = async {
            let permit = Arc::clone(&shared.sockets).acquire_owned().await;
            let permit = permit.expect("nobody closes it");
            (listener.accept().await, permit)
        };
        tokio::select! {
            Some(ended) = sockets.join_next() => {
                if let Ok(Err(error)) = ended {
                    let failed = ClientEvent::SocketFailed { listener: address, error };
                    let _ = shared.events.try_send(failed);
                }
            }
            (accepted, permit) = accepted => match accepted {
                Ok((local, _)) => {
                    let serving = socket::serve(Arc::clone(&shared), local, target.clone());
                    sockets.spawn(async move {
                        let done = serving.await;
                        drop(permit);
                        done
                    });
                }
                Err(error) => {
                    tracing::warn!(%address, %error, "Cannot accept");
                    time::sleep(RETRY_AFTER).await;
                }
            },
        }
    }
}
