//! Stdin and stdout through a stream, to its end.

use starpoint_node::{Node, PeerId, Stream};

use super::{Framing, PipeError, with_stdio};
use crate::ui::{
    error::Failure,
    exit::Exit,
    report::{PipeReport, Reporter},
};

/// Copies until both directions have ended, and flushes the end before the node stops.
pub(in crate::commands) async fn converse(
    node: &Node,
    peer: PeerId,
    stream: Stream,
    reporter: Reporter,
) -> Result<Exit, Failure> {
    let done = with_stdio(stream, Framing::Chunks).await;
    node.shutdown().await;
    match done {
        Ok(moved) => {
            reporter.tell(&PipeReport::Ended {
                peer: peer.to_string(),
                sent_bytes: moved.sent_bytes,
                received_bytes: moved.received_bytes,
            })?;
            Ok(Exit::OK)
        }
        Err(error) => PipeError::into_result(error),
    }
}
