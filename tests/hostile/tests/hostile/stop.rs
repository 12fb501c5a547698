//! Pipes in a star that is told to stop.

use std::time::{Duration, Instant};

use starpoint_hostile_tests::native::{NativePeer, assert_carries, assert_ends, open_pipe};
use starpoint_test_support::{PipeItem, Signal, Star};

#[tokio::test]
async fn r_stop_4_a_star_that_drains_waits_for_a_pipe_to_end() {
    let mut star = Star::with_args([]);
    let mut dialer = NativePeer::join(&star).await;
    let mut callee = NativePeer::join(&star).await;
    let [mut ours, mut theirs] = open_pipe(&star, &mut dialer, &mut callee).await;
    let block = vec![9_u8; 1 << 20];
    ours.write(block[..1000].to_vec()).await;
    star.signal(Signal::Terminate);
    dialer.client.expect_closed().await;
    callee.client.expect_closed().await;
    let (ours, theirs) = tokio::join!(
        async {
            ours.write(block[1000..].to_vec()).await;
            ours
        },
        async {
            assert_eq!(theirs.read_exactly(block.len()).await, block);
            theirs
        }
    );
    let mut pipe = [ours, theirs];
    assert_carries(&mut pipe, "while it drains").await;
    assert_ends(pipe).await;
    let status = star.wait().await;
    assert_eq!(status.code(), Some(0));
    assert!(!star.log().contains("ERROR"), "{}", star.log());
}

#[tokio::test]
async fn r_stop_4_a_pipe_that_does_not_end_is_cut_at_the_deadline() {
    let mut star = Star::with_args([]);
    let mut dialer = NativePeer::join(&star).await;
    let mut callee = NativePeer::join(&star).await;
    let mut pipe = open_pipe(&star, &mut dialer, &mut callee).await;
    let begun = Instant::now();
    star.signal(Signal::Terminate);
    dialer.client.expect_closed().await;
    assert_carries(&mut pipe, "while it drains").await;
    for side in &mut pipe {
        assert_eq!(side.read().await, PipeItem::Closed(4002));
    }
    assert!(
        begun.elapsed() >= Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    drop(pipe);
    let status = star.wait().await;
    assert_eq!(status.code(), Some(0));
    assert!(!star.log().contains("ERROR"), "{}", star.log());
}
