//! One account for the bytes of clients that wait anywhere in the server.
//!
//! A byte is charged to the network that it came from, from its arrival until it is
//! handled or written to its reader: in a message that is not complete, in a call
//! that waits for the star, in a stream that waits for its reader, in a transport
//! that has not written it.
//!
//! A message above [`SMALL_BYTES`] is read only while its source has less than a
//! quarter of what is free. So one source takes a fifth of the account at most, each
//! further one a fifth of the rest, and something is always left for a source that
//! has little: no source can fill the account and keep the others out.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use crate::source::Source;

/// Messages up to this are read whatever waits.
pub(crate) const SMALL_BYTES: usize = 16 * 1024;

/// Part of the free bytes that a source may have.
const FREE_PER_SHARE: usize = 4;
/// Largest messages that the account has room for, at least: one source can then
/// send one, whatever the largest message is set to.
const MIN_LARGEST_MESSAGES: usize = 8;

/// What all sources have together.
#[derive(Debug)]
pub(crate) struct Account {
    limit: usize,
    /// Most bytes of large frames that one source may have announced.
    max_promised: usize,
    held: AtomicUsize,
    has_waiters: AtomicBool,
    waiters: Mutex<Vec<Waker>>,
}

/// What one source has of an account.
#[derive(Debug)]
pub(crate) struct Share {
    account: Arc<Account>,
    held: AtomicUsize,
    /// Part of `held`: what the star has of it.
    relayed: AtomicUsize,
    /// What has not come yet of the large messages that were admitted. The library
    /// reserves memory for a frame as soon as it knows its length.
    promised: AtomicUsize,
}

impl Account {
    /// Creates an account for messages of at most `max_message_bytes`. Its limit is
    /// raised to [`MIN_LARGEST_MESSAGES`] of them.
    pub(crate) fn new(limit: usize, max_message_bytes: usize) -> Arc<Self> {
        let largest = max_message_bytes.saturating_mul(MIN_LARGEST_MESSAGES);
        Arc::new(Self {
            limit: limit.max(largest),
            max_promised: largest,
            held: AtomicUsize::new(0),
            has_waiters: AtomicBool::new(false),
            waiters: Mutex::new(Vec::new()),
        })
    }

    /// Returns the bytes that wait.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// Returns whether so much waits that patience with slow clients is short.
    pub(crate) fn is_crowded(&self) -> bool {
        self.held_bytes() > self.limit / 2
    }

    fn released(&self) {
        if self.has_waiters.load(Ordering::Acquire) {
            let mut waiters = self.waiters();
            self.has_waiters.store(false, Ordering::Release);
            let waiters = std::mem::take(&mut *waiters);
            for waiter in waiters {
                waiter.wake();
            }
        }
    }

    fn register(&self, cx: &Context<'_>) {
        let mut waiters = self.waiters();
        if !waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
            waiters.push(cx.waker().clone());
        }
        self.has_waiters.store(true, Ordering::Release);
    }

    fn waiters(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        Self {
            account,
            held: AtomicUsize::new(0),
            relayed: AtomicUsize::new(0),
            promised: AtomicUsize::new(0),
        }
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// Returns how many bytes of this source the star has.
    pub(crate) fn relayed(&self) -> usize {
        self.relayed.load(Ordering::Acquire)
    }

    /// Notes how many bytes of this source the star has now, as one task tells it.
    pub(crate) fn set_relayed(&self, bytes: usize) {
        let before = self.relayed.swap(bytes, Ordering::AcqRel);
        if bytes >= before {
            self.add(bytes - before);
        } else {
            self.subtract(before - bytes);
        }
    }

    fn add(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::AcqRel);
        self.account.held.fetch_add(bytes, Ordering::AcqRel);
    }

    fn subtract(&self, bytes: usize) {
        if bytes > 0 {
            self.held.fetch_sub(bytes, Ordering::AcqRel);
            self.account.held.fetch_sub(bytes, Ordering::AcqRel);
            self.account.released();
        }
    }

    /// Returns whether `bytes` more of a large message may be read now.
    pub(crate) fn admits(&self, bytes: usize) -> bool {
        let free = self.account.limit.saturating_sub(self.account.held_bytes());
        self.held.load(Ordering::Acquire).saturating_add(bytes) <= free / FREE_PER_SHARE
    }

    /// Returns whether the head of a large frame of `bytes` may be passed on now: all
    /// that its source has promised can come then.
    pub(crate) fn admits_frame(&self, bytes: usize) -> bool {
        let promised = self.promised.load(Ordering::Acquire).saturating_add(bytes);
        let held = self.held.load(Ordering::Acquire).saturating_add(promised);
        let waiting = self.account.held_bytes().saturating_add(promised);
        let free = self.account.limit.saturating_sub(waiting);
        promised <= self.account.max_promised && held <= free / FREE_PER_SHARE
    }

    /// Waits until `bytes` more of a large message may be read.
    pub(crate) fn poll_room(&self, bytes: usize, cx: &Context<'_>) -> Poll<()> {
        self.poll_until(|share| share.admits(bytes), cx)
    }

    /// Waits until the head of a large frame of `bytes` may be passed on.
    pub(crate) fn poll_frame_room(&self, bytes: usize, cx: &Context<'_>) -> Poll<()> {
        self.poll_until(|share| share.admits_frame(bytes), cx)
    }

    fn poll_until(&self, may_go_on: impl Fn(&Self) -> bool, cx: &Context<'_>) -> Poll<()> {
        if may_go_on(self) {
            return Poll::Ready(());
        }
        self.account.register(cx);
        // Room may have come before the waker was there.
        if may_go_on(self) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Bytes that one holder has charged to a source. Dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Charge {
    source: Arc<Source>,
    bytes: usize,
}

impl Charge {
    /// Charges nothing yet.
    pub(crate) fn none(source: Arc<Source>) -> Self {
        Self { source, bytes: 0 }
    }

    /// Charges `bytes`.
    pub(crate) fn of(source: Arc<Source>, bytes: usize) -> Self {
        let mut charge = Self::none(source);
        charge.add(bytes);
        charge
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.source.share.add(bytes);
    }

    /// Gives back `bytes`, or all if it has less.
    pub(crate) fn release(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.source.share.subtract(bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.release(self.bytes);
    }
}

/// What has not come yet of a large message that a source has announced. Dropping it
/// takes the announcement back.
#[derive(Debug)]
pub(crate) struct Promise {
    source: Arc<Source>,
    bytes: usize,
}

impl Promise {
    pub(crate) fn of(source: Arc<Source>, bytes: usize) -> Self {
        source.share.promised.fetch_add(bytes, Ordering::AcqRel);
        Self { source, bytes }
    }

    /// Notes that so much of it has come and was charged.
    pub(crate) fn fulfil(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.source
            .share
            .promised
            .fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let share = &self.source.share;
        share.promised.fetch_sub(self.bytes, Ordering::AcqRel);
        share.account.released();
    }
}

#[cfg(test)]
mod tests {
    use starpoint_broker::SourceId;

    use super::*;

    fn source(account: &Arc<Account>, id: u64) -> Arc<Source> {
        Arc::new(Source::new(SourceId(id), Arc::clone(account), 1))
    }

    #[test]
    fn who_fills_the_account_leaves_room_for_others() {
        let account = Account::new(1 << 20, 1);
        let mut kept = Vec::new();
        for id in 1..=15 {
            let greedy = source(&account, id);
            let mut charge = Charge::none(Arc::clone(&greedy));
            while greedy.share.admits(1024) {
                charge.add(1024);
            }
            kept.push(charge);
        }
        assert!(account.held_bytes() < 1 << 20);
        assert!(kept[0].bytes > 200_000 && kept[0].bytes < 210_000);
        let modest = source(&account, 99);
        assert!(modest.share.admits(8 * 1024));
        kept.clear();
        assert_eq!(account.held_bytes(), 0);
        assert!(modest.share.admits(1 << 18));
        assert!(!modest.share.admits((1 << 18) + 1));
    }

    #[test]
    fn announced_frames_of_a_source_are_bounded_and_cost_others_nothing() {
        let account = Account::new(1 << 20, 1 << 14);
        let greedy = source(&account, 1);
        let mut promises = Vec::new();
        while greedy.share.admits_frame(1 << 14) {
            promises.push(Promise::of(Arc::clone(&greedy), 1 << 14));
        }
        assert_eq!(promises.len(), MIN_LARGEST_MESSAGES);
        assert!(source(&account, 2).share.admits_frame(1 << 14));
        promises.pop();
        assert!(greedy.share.admits_frame(1 << 14));
    }

    /// Else all of them would wait for each other, and none could be completed.
    #[test]
    fn messages_are_admitted_only_if_all_of_them_can_come() {
        let account = Account::new(1 << 20, 1 << 16);
        let source = source(&account, 1);
        let mut admitted = Vec::new();
        while source.share.admits_frame(1 << 16) {
            admitted.push(Promise::of(Arc::clone(&source), 1 << 16));
        }
        assert_eq!(admitted.len(), 3);
        let mut charge = Charge::none(Arc::clone(&source));
        for n_bytes in [1 << 15, 1 << 15] {
            for promise in &mut admitted {
                assert!(source.share.admits(0), "the rest is read");
                charge.add(n_bytes);
                promise.fulfil(n_bytes);
            }
        }
        drop(admitted);
        assert_eq!(source.share.promised.load(Ordering::Relaxed), 0);
        assert!(!source.share.admits_frame(1 << 16));
        drop(charge);
        assert!(source.share.admits_frame(1 << 16));
    }

    #[test]
    fn what_the_star_has_counts_for_its_source() {
        let account = Account::new(1000, 1);
        let source = source(&account, 1);
        source.share.set_relayed(100);
        let charge = Charge::of(Arc::clone(&source), 50);
        assert_eq!(account.held_bytes(), 150);
        assert!(source.share.admits(62));
        assert!(!source.share.admits(63));
        source.share.set_relayed(0);
        drop(charge);
        assert_eq!(account.held_bytes(), 0);
    }

    #[test]
    fn a_reader_that_waits_for_room_is_woken_by_a_release() {
        let account = Account::new(1000, 1);
        let source = source(&account, 1);
        let mut charge = Charge::of(Arc::clone(&source), 800);
        let (waker, count) = futures_test_waker();
        let cx = Context::from_waker(&waker);
        assert!(source.share.poll_room(200, &cx).is_pending());
        charge.release(800);
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert!(source.share.poll_room(200, &cx).is_ready());
    }

    fn futures_test_waker() -> (Waker, Arc<AtomicUsize>) {
        struct Count(Arc<AtomicUsize>);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::new(AtomicUsize::new(0));
        (Waker::from(Arc::new(Count(Arc::clone(&count)))), count)
    }
}
