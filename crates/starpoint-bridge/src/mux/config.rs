//! What can be set.

use crate::{
    codec::MAX_SENT_PAYLOAD_BYTES,
    ids::MAX_LINES,
    reassembly::ReassemblyLimits,
    room::{INITIAL_ROOM_BYTES, MAX_ROOM_BYTES},
};

/// Settings of a [`Mux`](super::Mux).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MuxConfig {
    /// Lines at a time, from 1 to [`MAX_LINES`]. Default: [`MAX_LINES`].
    pub max_lines: usize,
    /// Longest payload of a frame, in bytes, from 1 to
    /// [`MAX_SENT_PAYLOAD_BYTES`]. Default: 16 KiB, so that lines take turns and
    /// data channels need not cut.
    pub chunk_bytes: usize,
    /// What may be on its way to this side of one line, in bytes, from
    /// [`INITIAL_ROOM_BYTES`] to [`MAX_ROOM_BYTES`]. Default: 256 KiB.
    pub window_bytes: usize,
    /// What may have come of all lines and not been taken, in bytes, before the
    /// channel is no longer read. At least `window_bytes`. Default: 64 MiB.
    pub untaken_bytes: usize,
    /// Bounds of what is not in order.
    pub reassembly: ReassemblyLimits,
}

/// A setting out of its range: the operator's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is out of its range")]
pub struct ConfigError {
    /// Name of the field of [`MuxConfig`].
    pub setting: &'static str,
}

impl Default for MuxConfig {
    fn default() -> Self {
        Self {
            max_lines: MAX_LINES,
            chunk_bytes: 16 * 1024,
            window_bytes: 256 * 1024,
            untaken_bytes: 64 * 1024 * 1024,
            reassembly: ReassemblyLimits::default(),
        }
    }
}

impl MuxConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let window = self.window_bytes;
        let checks = [
            ("max_lines", (1..=MAX_LINES).contains(&self.max_lines)),
            (
                "chunk_bytes",
                (1..=MAX_SENT_PAYLOAD_BYTES).contains(&self.chunk_bytes),
            ),
            (
                "window_bytes",
                (INITIAL_ROOM_BYTES..=MAX_ROOM_BYTES).contains(&window),
            ),
            ("untaken_bytes", self.untaken_bytes >= window),
        ];
        match checks.iter().find(|(_, is_fine)| !is_fine) {
            Some((setting, _)) => Err(ConfigError { setting }),
            None => Ok(()),
        }
    }
}
