//! The way of messages to one client, in the protocol that it speaks.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use socketioxide::{
    SendError, SocketError, extract::AckSender, handler::FromMessageParts, handler::Value,
    socket::Socket,
};
use starpoint_broker::{LinkId, Message};
use starpoint_wire::{legacy::CalleeAnswer, limits::DIAL_DEADLINE};

use crate::{native::Outgoing, socketio};

/// The answer to a message that asks for one; `None` when there is none in time.
pub(crate) type Answer = (LinkId, Option<CalleeAnswer>);

/// The way to one client.
#[derive(Clone, Debug)]
pub(crate) enum Outlet {
    /// Through the Socket.IO library.
    Legacy(Arc<Socket>),
    /// Through the star's own queue.
    Native(Arc<Outgoing>),
}

/// A message could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// The client is gone.
    Closed,
    /// The transport's queue is full: more was sent than the window allows.
    Full,
    /// The message cannot be encoded for this client.
    Encoding,
}

impl Outlet {
    /// Queues a message, and returns the answer to come if the outlet itself waits for
    /// it.
    ///
    /// # Errors
    ///
    /// [`Unsent`], after which the client gets nothing more.
    pub(crate) fn send(
        &self,
        message: Message,
    ) -> Result<Option<BoxFuture<'static, Answer>>, Unsent> {
        match self {
            Self::Legacy(socket) => send_legacy(socket, message),
            Self::Native(outgoing) => {
                outgoing.send(message);
                Ok(None)
            }
        }
    }
}

fn send_legacy(
    socket: &Arc<Socket>,
    message: Message,
) -> Result<Option<BoxFuture<'static, Answer>>, Unsent> {
    match message {
        Message::Reply(ack, reply) => {
            let mut nothing = Value::Str(Default::default(), None);
            let Ok(sender) = AckSender::from_message_parts(socket, &mut nothing, &Some(ack.0));
            sender.send(&reply)?;
            Ok(None)
        }
        Message::Event(event) => {
            socket.emit(event.name(), &event)?;
            Ok(None)
        }
        Message::Ask(link, event) => {
            let answer = socketio::ask(socket, &event, DIAL_DEADLINE * 2)?;
            Ok(Some(answer.map(move |answer| (link, answer)).boxed()))
        }
        Message::Hello(_) | Message::NativeReply(..) | Message::NativeEvent(_) => {
            debug_assert!(false, "a native message to a legacy client");
            Err(Unsent::Encoding)
        }
    }
}

impl From<SendError> for Unsent {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Serialize(_) => Self::Encoding,
            SendError::Socket(SocketError::Closed) => Self::Closed,
            SendError::Socket(SocketError::InternalChannelFull) => Self::Full,
        }
    }
}
