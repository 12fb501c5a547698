//! One stream that a client has opened.

use std::time::Duration;

use futures_util::AsyncReadExt as _;
use starpoint_node::{PeerId, Stream};
use tokio::{
    sync::{mpsc, oneshot},
    time,
};

use super::{
    slots::Slot,
    socket,
    task::{Control, ControlId, Gone, MAX_WAITING_FRAMES, Request},
};
use crate::{
    frames::{self, FrameReader},
    monitor::{Monitors, SocketInfo},
    refusal::Refusal,
    splice,
    target::TargetName,
    wire::Frame,
};

/// Time for the first frame.
const FIRST_FRAME_DEADLINE: Duration = Duration::from_secs(10);

/// What every stream needs.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) monitors: Monitors,
    pub(super) connect_deadline: Duration,
    pub(super) silence_deadline: Duration,
}

/// Serves a stream to its end. The slot is given back once it belongs to a
/// session, or at its end.
pub(super) async fn serve(
    context: Context,
    peer: PeerId,
    mut stream: Stream,
    slot: Slot,
    id: ControlId,
) {
    let first = tokio::select! {
        first = frames::read(&mut stream, FIRST_FRAME_DEADLINE) => first,
        () = slot.cut() => {
            tracing::debug!(%peer, "Silent stream reset, others need its place");
            return;
        }
    };
    slot.spoke();
    match first {
        Ok(Frame::Join { session, proof }) => {
            let (frames, given) = mpsc::channel(MAX_WAITING_FRAMES);
            let control = Control { id, frames };
            let join = Request::Join {
                peer,
                session,
                proof,
                control,
            };
            if context.requests.send(join).await.is_ok() {
                let how = control_stream(&context, stream, given, slot).await;
                let gone = Request::Gone {
                    peer,
                    control: id,
                    how,
                };
                // A host that has stopped wants to know no more.
                let _ = context.requests.send(gone).await;
            }
        }
        Ok(Frame::Connect { target }) => socket_stream(&context, peer, stream, target, slot).await,
        Ok(
            Frame::Leave
            | Frame::Waiting { .. }
            | Frame::Open { .. }
            | Frame::Refused(_)
            | Frame::Connected
            | Frame::Ping(_)
            | Frame::Pong(_),
        ) => refuse(stream, Refusal::Malformed).await,
        Err(error) => {
            tracing::debug!(%peer, %error, "Stream without a request");
            if error.kind() == std::io::ErrorKind::InvalidData {
                refuse(stream, Refusal::Malformed).await;
            }
        }
    }
}

async fn refuse(mut stream: Stream, refusal: Refusal) {
    use futures_util::AsyncWriteExt as _;
    // Who is gone does not hear it.
    if frames::write(&mut stream, &Frame::Refused(refusal))
        .await
        .is_ok()
    {
        let _ = time::timeout(Duration::from_secs(1), stream.close()).await;
    }
}

/// Tells a client what the task says, and answers its pings, until either ends.
/// The slot is given back when it is let in.
async fn control_stream(
    context: &Context,
    stream: Stream,
    mut given: mpsc::Receiver<Frame>,
    slot: Slot,
) -> Gone {
    use futures_util::AsyncWriteExt as _;
    let mut until_open = Some(slot);
    let (mut from, mut to) = stream.split();
    let mut reader = FrameReader::new();
    loop {
        let answer = tokio::select! {
            frame = given.recv() => match frame {
                Some(frame) => frame,
                // Another control stream has taken over.
                None => return Gone::Lost,
            },
            read = time::timeout(context.silence_deadline, reader.next(&mut from)) => match read {
                Ok(Ok(Frame::Ping(echo))) => Frame::Pong(echo),
                Ok(Ok(Frame::Leave)) => return Gone::Left,
                Ok(Ok(
                    Frame::Join { .. }
                    | Frame::Connect { .. }
                    | Frame::Waiting { .. }
                    | Frame::Open { .. }
                    | Frame::Refused(_)
                    | Frame::Connected
                    | Frame::Pong(_),
                )) => Frame::Refused(Refusal::Malformed),
                Ok(Err(_)) | Err(_) => return Gone::Lost,
            },
        };
        if matches!(answer, Frame::Open { .. }) {
            drop(until_open.take());
        }
        if frames::write(&mut to, &answer).await.is_err() {
            return Gone::Lost;
        }
        if matches!(answer, Frame::Refused(_)) {
            let _ = time::timeout(Duration::from_secs(1), to.close()).await;
            return Gone::Lost;
        }
    }
}

/// Connects a target, says so, and carries data until both directions have ended
/// or the client's session does.
async fn socket_stream(
    context: &Context,
    peer: PeerId,
    mut stream: Stream,
    target: Option<TargetName>,
    slot: Slot,
) {
    let (reply, answer) = oneshot::channel();
    let request = Request::Connect {
        peer,
        target: target.clone(),
        reply,
    };
    if context.requests.send(request).await.is_err() {
        return;
    }
    let grant = match answer.await {
        Ok(Ok(grant)) => grant,
        Ok(Err(refusal)) => return refuse(stream, refusal).await,
        Err(_) => return,
    };
    // From here on it counts as a socket of its client.
    drop(slot);
    let carried = async {
        let connected = socket::connect(&grant.target, context.connect_deadline).await;
        let local = match connected {
            Ok(local) => splice::ResetOnDrop::new(local),
            Err(refusal) => {
                let refused = Request::SocketRefused {
                    peer,
                    target: target.clone(),
                    refusal,
                };
                let _ = context.requests.send(refused).await;
                return refuse(stream, refusal).await;
            }
        };
        if frames::write(&mut stream, &Frame::Connected).await.is_err() {
            return;
        }
        let meters = context.monitors.attach(&SocketInfo { peer, target });
        let done = splice::tcp(local, stream, &meters).await;
        tracing::debug!(%peer, ?done, "Socket ended");
    };
    tokio::select! {
        () = grant.cut.cancelled() => {}
        () = carried => {}
    }
    drop(grant.permit);
}
