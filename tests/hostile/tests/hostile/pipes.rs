//! Dials by pipe: tokens that open nothing, sides that never come.

use std::time::{Duration, Instant};

use starpoint_hostile_tests::native::{
    NativePeer, assert_carries, assert_ends, assert_serves_natively, expect_metric, metric,
    new_token, open_pipe,
};
use starpoint_test_support::{PipeItem, PipeRefusal, PipeRequest, Star, code_of, pipe_token};

const UNKNOWN: &str = "starpoint_refusals_total{code=\"pipe-unknown\"}";
const OPEN: &str = "starpoint_pipes_open";

fn refusal(status: u16, code: &str) -> PipeRefusal {
    let code = code.to_owned();
    PipeRefusal { status, code }
}

/// Asks for a side; returns why there is none.
async fn refused(star: &Star, token: &str) -> PipeRefusal {
    let answer = PipeRequest::send(star.port(), token).await.answer().await;
    answer.expect_err(token)
}

async fn assert_unknown(star: &Star, token: &str) {
    assert_eq!(
        refused(star, token).await,
        refusal(404, "pipe-unknown"),
        "{token}"
    );
}

#[tokio::test]
async fn r_dial_15_a_token_that_is_guessed_opens_nothing_and_is_counted() {
    let mut star = Star::with_args([]);
    let good = new_token();
    let guesses = [
        "x".to_owned(),
        "%00".to_owned(),
        "%ff%fe".to_owned(),
        "..%2f..%2fmetrics".to_owned(),
        "a".repeat(8_000),
        pipe_token([0; 32]),
        pipe_token([255; 32]),
        good.clone(),
        format!("{good}="),
        format!("{good}A"),
        good[1..].to_owned(),
        format!("+{}", &good[1..]),
        format!("%2F{}", &good[1..]),
        format!("{}B", &good[..42]),
    ];
    let n_guesses = guesses.len() as u64;
    for guess in &guesses {
        assert_unknown(&star, guess).await;
    }
    assert_eq!(metric(&star, UNKNOWN).await, n_guesses);
    assert_serves_natively(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn r_dial_15_a_token_opens_its_own_side_once() {
    let mut star = Star::with_args([]);
    let mut dialer = NativePeer::join(&star).await;
    let mut callee = NativePeer::join(&star).await;
    for is_dialers in [true, false] {
        // Both sides with the same token: the second one is refused.
        let (token, dial) = dialer.start_dial(&callee).await;
        let incoming = callee.client.expect_incoming().await;
        let (first, second) = match is_dialers {
            true => (token, incoming.token),
            false => (incoming.token, token),
        };
        let one = PipeRequest::send(star.port(), &first).await;
        // Both are on their way; one of them waits and the other is refused.
        let two = PipeRequest::send(star.port(), &first).await;
        let three = PipeRequest::send(star.port(), &first).await;
        let mut n_refused = 0;
        let (one, two, three, other) =
            tokio::join!(one.answer(), two.answer(), three.answer(), async {
                expect_metric(&star, UNKNOWN, if is_dialers { 2 } else { 6 }).await;
                PipeRequest::send(star.port(), &second).await.answer().await
            });
        let mut side = None;
        for answer in [one, two, three] {
            match answer {
                Ok(pipe) => assert!(side.replace(pipe).is_none(), "opened twice"),
                Err(error) => {
                    assert_eq!(error, refusal(404, "pipe-unknown"));
                    n_refused += 1;
                }
            }
        }
        assert_eq!(n_refused, 2);
        let mut pipe = [side.expect("one is taken"), other.expect("the other side")];
        assert!(dialer.client.expect_ack(dial).await[0].is_null());
        assert_carries(&mut pipe, "by both tokens").await;
        for used in [&first, &second] {
            assert_unknown(&star, used).await;
        }
        assert_ends(pipe).await;
        expect_metric(&star, OPEN, 0).await;
        assert_eq!(metric(&star, UNKNOWN).await, if is_dialers { 4 } else { 8 });
    }
    assert_serves_natively(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn r_dial_15_the_tokens_of_a_dial_that_is_over_open_nothing() {
    let mut star = Star::with_args([]);
    let mut dialer = NativePeer::join(&star).await;
    let mut callee = NativePeer::join(&star).await;
    // The callee refuses; whoever waits is told so.
    let (token, dial) = dialer.start_dial(&callee).await;
    let waiting = PipeRequest::send(star.port(), &token).await;
    let incoming = callee.client.expect_incoming().await;
    // Only the callee can refuse, and only with its own token.
    dialer.client.star_refuse(&incoming.token).await;
    callee.client.star_refuse(&token).await;
    callee.client.star_refuse(&incoming.token).await;
    let reply = dialer.client.expect_ack(dial).await;
    assert_eq!(code_of(&reply), "peer-refused");
    match waiting.answer().await.expect_err("the dial is refused") {
        // The request may have come behind the refusal.
        late if late.code == "pipe-unknown" => assert_eq!(late.status, 404),
        refused => assert_eq!(refused.code, "peer-refused"),
    }
    assert_unknown(&star, &token).await;
    assert_unknown(&star, &incoming.token).await;
    // The callee goes.
    let (token, dial) = dialer.start_dial(&callee).await;
    let incoming = callee.client.expect_incoming().await;
    callee.client.abort();
    assert_eq!(code_of(&dialer.client.expect_ack(dial).await), "peer-gone");
    assert_unknown(&star, &token).await;
    assert_unknown(&star, &incoming.token).await;
    // The dialer goes.
    let mut callee = NativePeer::join(&star).await;
    let (token, _) = dialer.start_dial(&callee).await;
    let incoming = callee.client.expect_incoming().await;
    let waiting = PipeRequest::send(star.port(), &incoming.token).await;
    dialer.client.abort();
    let gone = waiting.answer().await.expect_err("the dialer is gone");
    assert!(
        ["peer-gone", "pipe-unknown"].contains(&gone.code.as_str()),
        "{gone:?}"
    );
    assert_unknown(&star, &token).await;
    assert_unknown(&star, &incoming.token).await;
    assert_serves_natively(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn r_dial_15_a_flood_of_guesses_disturbs_no_pipe() {
    const FLOOD: u64 = 1_000;
    let mut star = Star::with_args([]);
    let mut dialer = NativePeer::join(&star).await;
    let mut callee = NativePeer::join(&star).await;
    let mut pipe = open_pipe(&star, &mut dialer, &mut callee).await;
    let port = star.port();
    let mut guesses = tokio::task::JoinSet::new();
    for _ in 0..20 {
        guesses.spawn(async move {
            for _ in 0..FLOOD / 20 {
                let request = PipeRequest::send(port, &new_token()).await;
                let refused = request.answer().await.expect_err("a guess");
                assert_eq!(refused, refusal(404, "pipe-unknown"));
            }
        });
    }
    let mut n_rounds = 0;
    while let Some(done) = guesses.join_next().await {
        done.expect("every guess is answered");
        assert_carries(&mut pipe, "in the middle of it").await;
        n_rounds += 1;
    }
    assert_eq!(n_rounds, 20);
    assert_eq!(metric(&star, UNKNOWN).await, FLOOD);
    assert_ends(pipe).await;
    assert_serves_natively(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn r_dial_11_a_side_that_never_comes_costs_the_deadline_and_no_more() {
    let mut star = Star::with_args([]);
    let mut dialer = NativePeer::join(&star).await;
    let mut callee = NativePeer::join(&star).await;
    let begun = Instant::now();
    let (token, dial) = dialer.start_dial(&callee).await;
    let incoming = callee.client.expect_incoming().await;
    let waiting = PipeRequest::send(star.port(), &token).await;
    let answer = callee.client.idle_during(waiting.answer()).await;
    assert_eq!(
        answer.expect_err("nobody comes"),
        refusal(504, "dial-timeout")
    );
    assert!(
        begun.elapsed() >= Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    let reply = dialer.client.expect_ack(dial).await;
    assert_eq!(code_of(&reply), "dial-timeout");
    assert_unknown(&star, &incoming.token).await;
    assert_eq!(metric(&star, OPEN).await, 0);
    let mut pipe = open_pipe(&star, &mut dialer, &mut callee).await;
    assert_carries(&mut pipe, "another time").await;
    assert_ends(pipe).await;
    assert_serves_natively(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn r_dial_11_a_side_that_vanishes_while_it_waits_ends_the_dial() {
    let mut star = Star::with_args([]);
    let mut dialer = NativePeer::join(&star).await;
    let mut callee = NativePeer::join(&star).await;
    for is_dialers in [true, false] {
        let (token, dial) = dialer.start_dial(&callee).await;
        let incoming = callee.client.expect_incoming().await;
        let (first, second) = match is_dialers {
            true => (token, incoming.token),
            false => (incoming.token, token),
        };
        // One of the two waits when the other is refused, and is dropped then.
        let one = PipeRequest::send(star.port(), &first).await;
        let two = PipeRequest::send(star.port(), &first).await;
        let answer = tokio::select! {
            answer = one.answer() => answer,
            answer = two.answer() => answer,
        };
        assert_eq!(answer.expect_err("used"), refusal(404, "pipe-unknown"));
        let reply = dialer.client.expect_ack(dial).await;
        assert_eq!(code_of(&reply), "peer-gone");
        assert_unknown(&star, &second).await;
        assert_eq!(metric(&star, OPEN).await, 0);
    }
    let pipe = open_pipe(&star, &mut dialer, &mut callee).await;
    assert_ends(pipe).await;
    expect_metric(&star, OPEN, 0).await;
    assert_serves_natively(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn r_dial_16_a_pipe_goes_on_when_both_control_connections_break() {
    let mut star = Star::with_args([]);
    let mut dialer = NativePeer::join(&star).await;
    let mut callee = NativePeer::join(&star).await;
    let [mut ours, mut theirs] = open_pipe(&star, &mut dialer, &mut callee).await;
    let block = vec![7_u8; 1 << 20];
    let mut pipe = tokio::join!(
        async {
            ours.write(block.clone()).await;
            dialer.client.abort();
            ours.write(block.clone()).await;
            ours
        },
        async {
            assert_eq!(theirs.read_exactly(block.len()).await, block);
            callee.client.abort();
            expect_metric(&star, "starpoint_connections", 0).await;
            assert_eq!(theirs.read_exactly(block.len()).await, block);
            theirs
        }
    )
    .into();
    assert_eq!(metric(&star, OPEN).await, 1);
    assert_carries(&mut pipe, "both ways").await;
    assert_ends(pipe).await;
    expect_metric(&star, OPEN, 0).await;
    assert_serves_natively(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn r_dial_11_a_pipe_whose_sides_are_cut_is_freed() {
    let mut star = Star::with_args([]);
    let mut dialer = NativePeer::join(&star).await;
    let mut callee = NativePeer::join(&star).await;
    let [ours, mut theirs] = open_pipe(&star, &mut dialer, &mut callee).await;
    ours.abort();
    assert_eq!(theirs.read().await, PipeItem::Closed(4001));
    let [ours, theirs] = open_pipe(&star, &mut dialer, &mut callee).await;
    ours.abort();
    theirs.abort();
    expect_metric(&star, OPEN, 0).await;
    assert_serves_natively(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn r_dial_13_dials_whose_own_side_never_comes_close_nobody_off() {
    let mut star = Star::with_args([]);
    let mut victim = NativePeer::join(&star).await;
    let mut evil = NativePeer::join(&star).await;
    let mut honest = NativePeer::join(&star).await;
    for _ in 0..512 {
        evil.start_dial(&victim).await;
    }
    // The star has read them all, and the victim was asked for few.
    evil.client.call("star-leave", serde_json::json!([])).await;
    let (token, dial) = honest.start_dial(&victim).await;
    let ours = PipeRequest::send(star.port(), &token).await;
    let mut n_asked = 0;
    let incoming = loop {
        let incoming = victim.client.expect_incoming().await;
        if incoming.from == honest.id() {
            break incoming;
        }
        n_asked += 1;
    };
    assert!(n_asked <= 8, "asked {n_asked} times");
    let theirs = PipeRequest::send(star.port(), &incoming.token).await;
    let reply = honest.client.expect_ack(dial).await;
    assert!(reply[0].is_null(), "{reply}");
    let answers = [ours.answer().await, theirs.answer().await];
    let mut pipe = answers.map(|answer| answer.expect("both sides are there"));
    assert_carries(&mut pipe, "past 512 dials").await;
    assert_ends(pipe).await;
    let pipe = open_pipe(&star, &mut victim, &mut honest).await;
    assert_ends(pipe).await;
    assert_serves_natively(&mut star).await;
    star.stop().await;
}
