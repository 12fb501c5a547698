//! Messages of a star to one connection.

use starpoint_wire::{
    legacy,
    native::{self, Hello},
};

use crate::id::{AckId, LinkId};

/// A message that the star sends to a client.
#[derive(Debug, PartialEq)]
pub enum Message {
    /// Acknowledges a call of the legacy profile.
    Reply(AckId, legacy::Reply),
    /// An event of the legacy profile.
    Event(legacy::Event),
    /// An event whose acknowledgement is reported with
    /// [`Input::Answered`](crate::Input::Answered).
    Ask(LinkId, legacy::Event),
    /// The first message of a native connection. The driver signs it with the star's
    /// key, for the nonce of the connection.
    Hello(Box<Hello>),
    /// Acknowledges a call of the native profile.
    NativeReply(AckId, native::Reply),
    /// An event of the native profile.
    NativeEvent(native::EncodedEvent),
}

impl Message {
    /// Returns about how many bytes the message takes on the wire.
    pub fn weight(&self) -> usize {
        match self {
            Self::Reply(_, reply) => reply.weight(),
            Self::Event(event) | Self::Ask(_, event) => event.weight(),
            Self::Hello(hello) => hello.weight(),
            Self::NativeReply(_, reply) => reply.weight(),
            Self::NativeEvent(event) => event.weight(),
        }
    }

    /// Returns how many Engine.IO packets the message becomes.
    pub fn packets(&self) -> usize {
        match self {
            Self::Event(event) | Self::Ask(_, event) => event.packets(),
            Self::Reply(..) | Self::Hello(_) | Self::NativeReply(..) | Self::NativeEvent(_) => 1,
        }
    }
}
