//! The table of domains (R-DOMAIN-1).

/// What the bytes behind a domain are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// They are signed with the key of a peer or a star.
    Signature,
    /// They are hashed with SHA-256.
    Hash,
    /// They are authenticated with HMAC-SHA-256.
    Mac,
}

/// The first bytes of whatever is signed, hashed or authenticated. A value made
/// under one domain is never valid under another one.
///
/// To change what follows a domain, add a domain: `…/2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// The star's hello to one connection, signed by the star (R-NATIVE-12).
    Hello,
    /// A join of the native profile, signed by the peer (R-NATIVE-4).
    Join,
    /// The checksum of a session code (R-TUNNEL-1).
    CodeChecksum,
    /// The public name of a session, made of its secret (R-TUNNEL-2).
    CodeSession,
    /// The proof that a client has the secret of a code (R-TUNNEL-2).
    CodeProof,
}

impl Domain {
    /// All domains, in the order of the specification.
    pub const ALL: [Self; 5] = [
        Self::Hello,
        Self::Join,
        Self::CodeChecksum,
        Self::CodeSession,
        Self::CodeProof,
    ];

    /// Returns the domain's bytes. They are frozen.
    pub const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Hello => b"/starpoint/hello/1",
            Self::Join => b"/starpoint/join/1",
            Self::CodeChecksum => b"starpoint-tunnel-code-1\0",
            Self::CodeSession => b"starpoint-tunnel-session-1\0",
            Self::CodeProof => b"starpoint-tunnel-join-1\0",
        }
    }

    /// Returns what the domain is used for. It is never used for anything else.
    pub const fn purpose(self) -> Purpose {
        match self {
            Self::Hello | Self::Join => Purpose::Signature,
            Self::CodeChecksum | Self::CodeSession => Purpose::Hash,
            Self::CodeProof => Purpose::Mac,
        }
    }
}

#[cfg(test)]
mod tests;
