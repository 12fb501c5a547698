//! Replies to calls of the native profile.
//!
//! A star encodes a [`Reply`]; a client knows the call that it answers and decodes the
//! narrower [`JoinReply`], [`PageReply`] or [`DialReply`].

use std::time::Duration;

use data_encoding::BASE64;

use super::{
    Page, PeerRecord,
    wire::{self, DialedWire, JoinedWire, PageWire, RefusalWire},
};
use crate::{
    refusal::{Refusal, RemoteRefusal, cut_text},
    reply::ReplyError,
};

/// A star's answer to a [`Call`](super::Call).
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `[null, {…}]`: joined.
    Joined {
        /// The peer was still counted as being here: nobody was told that it had
        /// gone.
        is_resumed: bool,
        /// The first page of each namespace that was named.
        pages: Vec<Page>,
    },
    /// `[null, {…}]`: a page.
    Page(Page),
    /// `[null, {…}]`: the callee has opened its side.
    Dialed {
        /// Where else the callee may be found, by its own word.
        record: Option<PeerRecord>,
    },
    /// `[]`
    Done,
    /// `[{"code":…}]`
    Refused {
        /// Why.
        refusal: Refusal,
        /// When the same call may succeed.
        retry: Option<Duration>,
    },
}

impl Reply {
    /// Returns the arguments, the text of a JSON array.
    pub fn encode(&self) -> String {
        match self {
            Self::Joined { is_resumed, pages } => {
                let joined = JoinedWire {
                    resumed: *is_resumed,
                    pages: pages.iter().map(Page::to_wire).collect(),
                };
                wire::to_text(&((), joined))
            }
            Self::Page(page) => page.encode(),
            Self::Dialed { record } => {
                let record = record
                    .as_ref()
                    .map(|record| BASE64.encode(record.as_bytes()).into());
                wire::to_text(&((), DialedWire { record }))
            }
            Self::Done => "[]".to_owned(),
            Self::Refused { refusal, retry } => wire::to_text(&[RefusalWire {
                code: refusal.code().into(),
                retry_ms: retry.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            }]),
        }
    }

    /// Returns about how many bytes the answer takes on the wire.
    pub fn weight(&self) -> usize {
        match self {
            Self::Joined { pages, .. } => 64 + pages.iter().map(Page::weight).sum::<usize>(),
            Self::Page(page) => 32 + page.weight(),
            Self::Dialed { record } => {
                48 + record.as_ref().map_or(0, |r| r.as_bytes().len() * 4 / 3)
            }
            Self::Done => 16,
            Self::Refused { .. } => 64,
        }
    }
}

/// The answer to `star-join`, as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinReply {
    /// Joined.
    Joined {
        /// The star still had the peer.
        is_resumed: bool,
        /// The first page of each namespace.
        pages: Vec<Page>,
    },
    /// The star refuses; again after the time, if there is one.
    Refused(RemoteRefusal, Option<Duration>),
}

/// The answer to `star-peers`, as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageReply {
    /// A page.
    Page(Page),
    /// The star refuses; again after the time, if there is one.
    Refused(RemoteRefusal, Option<Duration>),
}

/// The answer to `star-dial`, as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialReply {
    /// Both sides are there.
    Connected {
        /// Where else the callee may be found, unchecked.
        record: Option<PeerRecord>,
    },
    /// The star or the callee refuses; again after the time, if there is one.
    Refused(RemoteRefusal, Option<Duration>),
}

/// Longest retry hint that is believed.
const MAX_RETRY: Duration = Duration::from_secs(3600);

fn refusal(args: &str) -> Option<(RemoteRefusal, Option<Duration>)> {
    let refused: RefusalWire<'static> = wire::first(args)?;
    let retry = refused.retry_ms.map(Duration::from_millis);
    let why = Refusal::ALL
        .into_iter()
        .find(|refusal| refusal.code() == refused.code)
        .map_or_else(
            || RemoteRefusal::Other(cut_text(refused.code.into_owned())),
            RemoteRefusal::Known,
        );
    Some((why, retry.map(|wait| wait.min(MAX_RETRY))))
}

impl JoinReply {
    /// Decodes the arguments of the answer.
    ///
    /// # Errors
    ///
    /// [`ReplyError::Malformed`].
    pub fn decode(args: &str) -> Result<Self, ReplyError> {
        if let Some((why, retry)) = refusal(args) {
            return Ok(Self::Refused(why, retry));
        }
        let joined: JoinedWire<'static> = wire::second(args).ok_or(ReplyError::Malformed)?;
        let pages = joined.pages.into_iter().map(Page::from_wire);
        let pages: Option<Vec<_>> = pages.collect();
        Ok(Self::Joined {
            is_resumed: joined.resumed,
            pages: pages.ok_or(ReplyError::Malformed)?,
        })
    }
}

impl PageReply {
    /// Decodes the arguments of the answer.
    ///
    /// # Errors
    ///
    /// [`ReplyError::Malformed`].
    pub fn decode(args: &str) -> Result<Self, ReplyError> {
        if let Some((why, retry)) = refusal(args) {
            return Ok(Self::Refused(why, retry));
        }
        let page: PageWire<'static> = wire::second(args).ok_or(ReplyError::Malformed)?;
        let page = Page::from_wire(page).ok_or(ReplyError::Malformed)?;
        Ok(Self::Page(page))
    }
}

impl DialReply {
    /// Decodes the arguments of the answer.
    ///
    /// # Errors
    ///
    /// [`ReplyError::Malformed`].
    pub fn decode(args: &str) -> Result<Self, ReplyError> {
        if let Some((why, retry)) = refusal(args) {
            return Ok(Self::Refused(why, retry));
        }
        let dialed: DialedWire<'static> = wire::second(args).ok_or(ReplyError::Malformed)?;
        let record = dialed
            .record
            .and_then(|text| wire::bytes(&text, super::MAX_RECORD_BYTES))
            .and_then(|bytes| PeerRecord::new(&bytes));
        Ok(Self::Connected { record })
    }
}
