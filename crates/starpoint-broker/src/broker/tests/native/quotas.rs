//! Bounds on dials by pipe.

use super::*;

fn numbered(n: usize) -> PipeToken {
    let mut random = [1; 32];
    random[..8].copy_from_slice(&n.to_le_bytes());
    PipeToken::from_random(random)
}

/// Dials a peer; returns the callee's token if it was asked, or the refusal.
fn try_dial(
    star: &mut Star,
    from: ConnId,
    to: u8,
    token: PipeToken,
) -> Result<Option<PipeToken>, Refusal> {
    let (ack, commands) = star.star_dial(from, to, token);
    match star_reply_in(&commands, from, ack) {
        Some(reply) => Err(refused(reply)),
        None => Ok(incoming(&commands).map(|(_, _, token)| token)),
    }
}

/// Dials and opens both sides at once.
fn open(star: &mut Star, from: ConnId, to: u8, n: usize) -> PipeId {
    let asked = try_dial(star, from, to, numbered(n)).expect("room for a dial");
    star.arrive(&numbered(n)).0.expect("the dialer's side");
    let for_callee = asked.expect("few are without a side");
    let opened = star.arrive(&for_callee).0.expect("the callee's side").0;
    star.advance(SECOND / 100);
    opened
}

#[test]
fn r_dial_13_dials_whose_own_side_never_comes_close_nobody_off() {
    let mut star = Star::guarded();
    let (victim, honest) = (star.native(1), star.native(2));
    let mut n_asked = 0;
    for peer in 10..14 {
        let evil = star.native_from(66, peer);
        for n in 0..quota::MAX_LINKS_OF_PAIR {
            let token = numbered(usize::from(peer) << 16 | n);
            if let Ok(Some(_)) = try_dial(&mut star, evil, 1, token) {
                n_asked += 1;
            }
        }
    }
    assert_eq!(n_asked, quota::MAX_UNMET_OF_SOURCE);
    assert!(matches!(
        try_dial(&mut star, honest, 1, numbered(1)),
        Ok(Some(_))
    ));
    assert!(matches!(
        try_dial(&mut star, victim, 2, numbered(2)),
        Ok(Some(_))
    ));
}

#[test]
fn r_dial_17_a_callee_is_asked_at_once_for_few_dials_without_their_own_side() {
    let mut star = Star::guarded();
    let (dialer, _callee) = (star.native(1), star.native(2));
    for n in 0..quota::MAX_UNMET {
        let asked = try_dial(&mut star, dialer, 2, numbered(n));
        assert!(matches!(asked, Ok(Some(_))), "{n}: {asked:?}");
    }
    assert_eq!(try_dial(&mut star, dialer, 2, numbered(100)), Ok(None));
    let (arrived, commands) = star.arrive(&numbered(100));
    let (_, from, for_callee) = incoming(&commands).expect("asked now");
    assert_eq!(from, id(1));
    let (pipe, _) = arrived.expect("the token is good");
    assert_eq!(star.arrive(&for_callee).0, Ok((pipe, PipeSide::Callee)));
    // A side that has come makes room for the next.
    star.arrive(&numbered(0)).0.expect("the token is good");
    assert!(matches!(
        try_dial(&mut star, dialer, 2, numbered(101)),
        Ok(Some(_))
    ));
}

#[test]
fn r_dial_17_a_dialer_has_five_seconds_for_its_own_side() {
    let mut star = Star::guarded();
    let (dialer, _callee) = (star.native(1), star.native(2));
    let (late, commands) = star.star_dial(dialer, 2, numbered(1));
    let (_, _, for_callee) = incoming(&commands).expect("the callee is told");
    let (prompt, _) = star.star_dial(dialer, 2, numbered(2));
    star.arrive(&numbered(2)).0.expect("the token is good");
    let commands = star.advance(quota::OWN_SIDE_DEADLINE);
    let reply = star_reply_in(&commands, dialer, late).expect("an answer");
    assert_eq!(refused(reply), Refusal::DialTimeout);
    assert_eq!(star_reply_in(&commands, dialer, prompt), None);
    assert_eq!(star.arrive(&for_callee).0, Err(Refusal::PipeUnknown));
    let commands = star.advance(quota::OWN_SIDE_DEADLINE);
    let reply = star_reply_in(&commands, dialer, prompt).expect("an answer");
    assert_eq!(refused(reply), Refusal::DialTimeout, "its callee is late");
}

#[test]
fn r_limit_11_pipes_in_and_out_are_counted_apart() {
    let mut star = Star::guarded();
    let callee = star.native(1);
    let mut pipes = Vec::new();
    for n in 0..quota::MAX_LINKS {
        if n % 128 == 0 {
            star.native(10 + u8::try_from(n / 128).expect("few dialers"));
        }
        let dialer = ConnId(star.last_conn);
        pipes.push(open(&mut star, dialer, 1, n));
    }
    let other = star.native(2);
    let refused = try_dial(&mut star, other, 1, numbered(1_000));
    assert_eq!(refused, Err(Refusal::TooManyDials));
    let out = try_dial(&mut star, callee, 2, numbered(1_001));
    assert!(matches!(out, Ok(Some(_))), "it still dials: {out:?}");
    star.broker
        .handle(Input::PipeEnded { pipe: pipes[0] }, star.now);
    let again = try_dial(&mut star, other, 1, numbered(1_002));
    assert!(matches!(again, Ok(Some(_))), "there is room: {again:?}");
}

#[test]
fn r_limit_11_two_peers_have_so_many_pipes_with_each_other() {
    let mut star = Star::guarded();
    let (a, b, c) = (star.native(1), star.native(2), star.native(3));
    for n in 0..quota::MAX_LINKS_OF_PAIR {
        open(&mut star, a, 2, n);
    }
    for (from, to) in [(a, 2), (b, 1)] {
        let refused = try_dial(&mut star, from, to, numbered(1_000));
        assert_eq!(refused, Err(Refusal::TooManyDials));
    }
    assert!(matches!(
        try_dial(&mut star, c, 2, numbered(1_001)),
        Ok(Some(_))
    ));
}

#[test]
fn r_limit_14_a_source_has_three_quarters_of_the_pipes_of_a_callee() {
    let mut star = Star::guarded();
    star.native(1);
    let evil = [star.native_from(66, 10), star.native_from(66, 11)];
    for n in 0..quota::MAX_LINKS_OF_SOURCE {
        open(&mut star, evil[n % 2], 1, n);
    }
    let more = try_dial(&mut star, evil[0], 1, numbered(1_000));
    assert_eq!(more, Err(Refusal::TooManyDials));
    let honest = star.native(2);
    assert!(matches!(
        try_dial(&mut star, honest, 1, numbered(1_001)),
        Ok(Some(_))
    ));
}
