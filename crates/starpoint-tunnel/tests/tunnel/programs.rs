//! What real programs speak.

mod redis;
mod tls;
mod websocket;
