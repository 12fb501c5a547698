//! Which client an answer at the prompt means. No IO, no clock.
//!
//! An answer may be on its way while clients come and go: `y`, typed for one that
//! has left meanwhile, must not let in the next one. So an answer names its client
//! by the end of its id. Without a name it is taken only as long as there was
//! never more than one client that it could mean.

use std::{collections::VecDeque, fmt};

use starpoint_node::PeerId;

/// Characters of an id that a prompt shows; more where they are not enough.
const SHOWN_CHARS: usize = 8;
/// Fewest characters that name a client: others can make keys with an id that ends
/// with as few as they like.
const MIN_CHARS: usize = 4;
/// Clients of earlier prompts that are remembered.
const MAX_PROMPTED: usize = 256;

/// The clients of all prompts so far.
#[derive(Debug, Default)]
pub(in crate::commands) struct Approvals {
    /// Each client once.
    prompted: VecDeque<PeerId>,
    has_forgotten: bool,
}

/// How a client can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Form {
    /// With `y` or `n` alone.
    Plain,
    /// With the end of its id behind.
    Named(String),
}

/// Why it is not clear which client is meant. Nothing is decided then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Unclear {
    /// Nobody waits for an answer.
    NobodyWaits,
    /// The answer has to name its client: the ends of those that wait.
    Unnamed(Vec<String>),
    /// The end has fewer than [`MIN_CHARS`] characters.
    TooShort,
    /// No client has such an id.
    Unknown,
    /// Several have, or had.
    Several,
    /// The client that is named does not wait, or not any more.
    NotWaiting,
}

impl Approvals {
    /// Takes note of a prompt for a client, and returns how it can be answered.
    pub(in crate::commands) fn prompt(&mut self, client: PeerId) -> Form {
        if !self.prompted.contains(&client) {
            if self.prompted.len() >= MAX_PROMPTED {
                self.prompted.pop_front();
                self.has_forgotten = true;
            }
            self.prompted.push_back(client);
        }
        match self.choose("", &[client]) {
            Ok(_) => Form::Plain,
            Err(_) => Form::Named(end_of(client, &self.known(&[client]))),
        }
    }

    /// Returns the client that an answer means: one of `waiting`, named by the
    /// `end` of its id, or by nothing.
    ///
    /// # Errors
    ///
    /// [`Unclear`]; the answer counts for nobody.
    pub(in crate::commands) fn choose(
        &self,
        end: &str,
        waiting: &[PeerId],
    ) -> Result<PeerId, Unclear> {
        if waiting.is_empty() {
            return Err(Unclear::NobodyWaits);
        }
        let known = self.known(waiting);
        let meant = if end.is_empty() {
            match known.as_slice() {
                [only] if !self.has_forgotten => *only,
                _ => {
                    let ends = waiting.iter().map(|client| end_of(*client, &known));
                    return Err(Unclear::Unnamed(ends.collect()));
                }
            }
        } else {
            named(end, &known)?
        };
        if waiting.contains(&meant) {
            Ok(meant)
        } else {
            Err(Unclear::NotWaiting)
        }
    }

    /// Returns all clients that an answer could mean.
    fn known(&self, waiting: &[PeerId]) -> Vec<PeerId> {
        let mut known: Vec<_> = self.prompted.iter().chain(waiting).copied().collect();
        known.sort_unstable();
        known.dedup();
        known
    }
}

/// Returns the one peer whose id ends like that.
///
/// # Errors
///
/// [`Unclear`]: it is too short, or names nobody or several.
pub(in crate::commands) fn named(end: &str, peers: &[PeerId]) -> Result<PeerId, Unclear> {
    if end.chars().count() < MIN_CHARS {
        return Err(Unclear::TooShort);
    }
    let mut meant = peers.iter().filter(|peer| peer.to_string().ends_with(end));
    match (meant.next(), meant.next()) {
        (None, _) => Err(Unclear::Unknown),
        (Some(peer), None) => Ok(*peer),
        (Some(_), Some(_)) => Err(Unclear::Several),
    }
}

/// Returns the end of an id that no other one of `known` has.
fn end_of(peer: PeerId, known: &[PeerId]) -> String {
    let id = peer.to_string();
    let mut n_chars = SHOWN_CHARS;
    loop {
        // Ids are base58.
        let end = &id[id.len().saturating_sub(n_chars)..];
        let is_like = |other: &&PeerId| other.to_string().ends_with(end);
        if end.len() == id.len() || known.iter().filter(is_like).count() <= 1 {
            return end.to_owned();
        }
        n_chars += SHOWN_CHARS;
    }
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyWaits => f.write_str("nobody waits"),
            Self::Unnamed(ends) => {
                f.write_str("not taken, name the client")?;
                for (index, end) in ends.iter().enumerate() {
                    let before = if index == 0 { ":" } else { ", or" };
                    write!(f, "{before} `y {end}` or `n {end}`")?;
                }
                Ok(())
            }
            Self::TooShort => write!(
                f,
                "not taken, type at least {MIN_CHARS} of the last characters of the id"
            ),
            Self::Unknown => f.write_str("not taken, no such client"),
            Self::Several => {
                f.write_str("not taken, several clients have such an id: type more of it")
            }
            Self::NotWaiting => f.write_str("not taken, this client does not wait"),
        }
    }
}

#[cfg(test)]
mod tests;
