//! TCP connections as messages: for channels that carry messages and no streams.
