//! Snapshots of the star's numbers, made for many readers at once.
//!
//! A snapshot is asked of the star's task, which has better things to do. Whoever
//! wants one takes the last that is new enough; readers that come together share the
//! next one. So the star makes at most one in each [`MIN_INTERVAL`], however many ask.

use std::time::Duration;

use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use crate::star::{Request, Snapshot};

/// Time that the star has to say how it is.
const DEADLINE: Duration = Duration::from_secs(2);
/// Time between two snapshots, at least.
const MIN_INTERVAL: Duration = Duration::from_millis(50);
/// Age up to which a snapshot shows that the star is well.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The last snapshot, and the way to the next one.
#[derive(Debug)]
pub(crate) struct Snapshots {
    star: mpsc::Sender<Request>,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    /// When the star was asked last, whether or not it has answered.
    asked: Option<Instant>,
    /// The last answer, and when it was asked for.
    answer: Option<(Instant, Snapshot)>,
}

impl Snapshots {
    pub(crate) fn new(star: mpsc::Sender<Request>) -> Self {
        Self {
            star,
            last: Mutex::default(),
        }
    }

    /// Returns a snapshot that is at most a second old; `None` when the star does not
    /// answer. Cancel safe.
    pub(crate) async fn recent(&self) -> Option<Snapshot> {
        let now = Instant::now();
        self.since(now.checked_sub(MAX_AGE).unwrap_or(now)).await
    }

    /// Returns a snapshot made after this call; `None` when the star does not answer.
    /// Cancel safe.
    pub(crate) async fn fresh(&self) -> Option<Snapshot> {
        self.since(Instant::now()).await
    }

    /// Returns a snapshot that was asked for at this moment or later.
    async fn since(&self, begin: Instant) -> Option<Snapshot> {
        timeout(DEADLINE, async {
            let mut last = self.last.lock().await;
            if let Some((asked, snapshot)) = &last.answer
                && *asked >= begin
            {
                return Some(snapshot.clone());
            }
            if let Some(asked) = last.asked {
                sleep_until(asked + MIN_INTERVAL).await;
            }
            let now = Instant::now();
            last.asked = Some(now);
            let snapshot = self.ask().await?;
            last.answer = Some((now, snapshot.clone()));
            Some(snapshot)
        })
        .await
        .ok()?
    }

    async fn ask(&self) -> Option<Snapshot> {
        let (reply, answer) = oneshot::channel();
        self.star.send(Request::Snapshot(reply)).await.ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future::join_all;

    use super::*;

    /// A star that answers, and counts its answers in the number of peers.
    fn counting_star() -> (Arc<Snapshots>, mpsc::Sender<Request>) {
        let (star, mut requests) = mpsc::channel(4);
        tokio::spawn(async move {
            let mut snapshot = Snapshot::default();
            while let Some(request) = requests.recv().await {
                let Request::Snapshot(reply) = request else {
                    panic!("{request:?}");
                };
                snapshot.gauges.peers += 1;
                reply.send(snapshot.clone()).ok();
            }
        });
        (Arc::new(Snapshots::new(star.clone())), star)
    }

    fn count(snapshot: Option<Snapshot>) -> usize {
        snapshot.expect("the star answers").gauges.peers
    }

    #[tokio::test(start_paused = true)]
    async fn r_http_3_many_who_ask_for_health_cost_one_snapshot_a_second() {
        let (snapshots, _star) = counting_star();
        for second in 1..=3 {
            for _ in 0..1000 {
                assert_eq!(count(snapshots.recent().await), second);
            }
            tokio::time::sleep(Duration::from_millis(1001)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn r_http_3_metrics_are_made_after_their_request_and_shared() {
        let (snapshots, _star) = counting_star();
        let begin = Instant::now();
        assert_eq!(count(snapshots.fresh().await), 1);
        for number in [2, 3] {
            tokio::time::advance(Duration::from_millis(1)).await;
            let together = join_all((0..1000).map(|_| snapshots.fresh())).await;
            assert!(together.into_iter().all(|s| count(s) == number));
            assert_eq!(begin.elapsed(), MIN_INTERVAL * (number as u32 - 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_star_that_does_not_answer_is_given_up_and_asked_again() {
        let (star, mut requests) = mpsc::channel(4);
        let snapshots = Snapshots::new(star);
        let begin = Instant::now();
        assert!(snapshots.recent().await.is_none());
        assert_eq!(begin.elapsed(), DEADLINE);
        let _unanswered = requests.recv().await.expect("a request");
        let (answer, ()) = tokio::join!(snapshots.recent(), async {
            let Some(Request::Snapshot(reply)) = requests.recv().await else {
                panic!("no second request");
            };
            reply.send(Snapshot::default()).ok();
        });
        assert!(answer.is_some());
    }
}
