//! The bodies of the fuzz targets.

#[path = "../bodies.rs"]
mod bodies;

/// Any text as an address.
pub fn address(input: &[u8]) {
    bodies::address(input);
}

/// Any packet as a call.
pub fn packet(input: &[u8]) {
    bodies::packet(input);
}
