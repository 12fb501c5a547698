//! Room: how much of a line may be on its way (R-BRIDGE-7).
//!
//! The payload of a CONNECT. The reference has none and does not look at it, so
//! whoever sends one knows of room, and is given some.
//!
//! ```text
//!  0       1                5
//!  ┌───────┬────────────────┐
//!  │ 0x01  │ bytes, u32     │
//!  └───────┴────────────────┘
//! ```

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::reassembly::FRAME_OVERHEAD_BYTES;

/// First byte of the payload.
const MARK: u8 = 1;

/// Room that the side that opens a line has from the start, before the other one
/// has said a word, in bytes.
pub const INITIAL_ROOM_BYTES: usize = 64 * 1024;

/// Most room that a line has at any time, in bytes. What is given beyond it is
/// lost; so there are never more messages on their way than can be told apart.
pub const MAX_ROOM_BYTES: usize = 1024 * 1024;

/// Returns what a DATA message takes of the room, in bytes.
pub fn charge(payload_bytes: usize) -> usize {
    payload_bytes + FRAME_OVERHEAD_BYTES
}

/// Writes the payload of a CONNECT.
pub fn encode_room(bytes: u32) -> Bytes {
    let mut payload = BytesMut::with_capacity(5);
    payload.put_u8(MARK);
    payload.put_u32(bytes);
    payload.freeze()
}

/// Reads the payload of a CONNECT; none when its writer knows nothing of room.
pub fn decode_room(payload: &[u8]) -> Option<u32> {
    match *payload {
        [MARK, a, b, c, d] => Some(u32::from_be_bytes([a, b, c, d])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_bridge_7_room_is_the_payload_of_a_connect() {
        let payload = encode_room(0x0004_0000);
        assert_eq!(payload[..], [1, 0, 4, 0, 0]);
        assert_eq!(decode_room(&payload), Some(0x0004_0000));
        for other in [&b""[..], b"test", b"\x02\0\0\0\0", b"\x01\0\0\0\0\0"] {
            assert_eq!(decode_room(other), None);
        }
    }
}
