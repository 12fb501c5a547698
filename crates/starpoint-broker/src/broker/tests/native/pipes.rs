//! Dials by pipe.

use super::*;

#[test]
fn r_dial_10_a_pipe_opens_when_both_sides_are_there() {
    let mut star = Star::guarded();
    let (dialer, callee) = (star.native(1), star.native(2));
    star.advance(SECOND);
    let (ack, commands) = star.star_dial(dialer, 2, token(1));
    let (to, from, for_callee) = incoming(&commands).expect("the callee is told");
    assert_eq!((to, from), (callee, id(1)));
    assert_ne!(for_callee, token(1));
    let (dialers, commands) = star.arrive(&token(1));
    let (pipe, side) = dialers.expect("the token is good");
    assert_eq!((side, commands), (PipeSide::Dialer, vec![]));
    let (callees, commands) = star.arrive(&for_callee);
    assert_eq!(callees, Ok((pipe, PipeSide::Callee)));
    let open = Command::OpenPipe {
        pipe,
        dialer: id(1),
        callee: id(2),
    };
    assert_eq!(commands[0], open);
    let record = PeerRecord::new(&[2; 8]);
    assert_eq!(
        star_reply_in(&commands, dialer, ack),
        Some(native::Reply::Dialed { record })
    );
    assert_eq!(star.gauges().pipes, 1);
    star.broker.handle(Input::PipeEnded { pipe }, star.now);
    assert_eq!(star.gauges().pipes, 0);
}

#[test]
fn r_dial_15_a_token_opens_one_side_once() {
    let mut star = Star::guarded();
    let (dialer, _) = (star.native(1), star.native(2));
    star.star_dial(dialer, 2, token(1));
    assert!(star.arrive(&token(1)).0.is_ok());
    assert_eq!(star.arrive(&token(1)).0, Err(Refusal::PipeUnknown));
    assert_eq!(star.arrive(&token(99)).0, Err(Refusal::PipeUnknown));
    assert_eq!(star.broker.counters().refusals[&Refusal::PipeUnknown], 2);
    let (ack, commands) = star.star_dial(dialer, 2, token(2));
    assert!(star_reply_in(&commands, dialer, ack).is_none());
    let (ack, commands) = star.star_dial(dialer, 2, token(2));
    let reply = star_reply_in(&commands, dialer, ack).expect("an answer");
    assert_eq!(refused(reply), Refusal::DuplicateDialId);
}

#[test]
fn r_dial_11_a_dial_that_comes_to_nothing_frees_everything() {
    let mut star = Star::guarded();
    let (dialer, callee) = (star.native(1), star.native(2));
    star.advance(SECOND);
    // Too late.
    let (ack, _) = star.star_dial(dialer, 2, token(1));
    let (pipe, _) = star.arrive(&token(1)).0.expect("the token is good");
    let commands = star.advance(11 * SECOND);
    let refusal = Refusal::DialTimeout;
    assert!(commands.contains(&Command::DropPipe { pipe, refusal }));
    assert_eq!(
        refused(star_reply_in(&commands, dialer, ack).expect("an answer")),
        refusal
    );
    // Refused, by the callee alone.
    let (ack, commands) = star.star_dial(dialer, 2, token(2));
    let (_, _, for_callee) = incoming(&commands).expect("the callee is told");
    assert_eq!(star.tell(dialer, refuse(for_callee)), []);
    assert_eq!(star.tell(callee, refuse(token(2))), []);
    let commands = star.tell(callee, refuse(for_callee));
    let reply = star_reply_in(&commands, dialer, ack).expect("an answer");
    assert_eq!(refused(reply), Refusal::PeerRefused);
    assert_eq!(star.arrive(&for_callee).0, Err(Refusal::PipeUnknown));
    // Whoever waits goes, or the callee's connection does.
    let (ack, _) = star.star_dial(dialer, 2, token(3));
    let (pipe, _) = star.arrive(&token(3)).0.expect("the token is good");
    star.broker.handle(Input::PipeLeft { pipe }, star.now);
    assert!(star_reply_in(&star.drain(), dialer, ack).is_some());
    let (ack, _) = star.star_dial(dialer, 2, token(4));
    let commands = star.disconnect(callee);
    let reply = star_reply_in(&commands, dialer, ack).expect("an answer");
    assert_eq!(refused(reply), Refusal::PeerGone);
    assert!(star.broker.pipes.is_empty());
}

fn refuse(token: PipeToken) -> Call {
    Call::Native(native::Call::Refuse { token })
}

#[test]
fn r_dial_12_a_legacy_callee_is_dialed_by_its_own_profile() {
    let mut star = Star::guarded();
    let (native, legacy) = (star.native(1), star.joined(2));
    let (ack, commands) = star.star_dial(native, 2, token(1));
    let reply = star_reply_in(&commands, native, ack).expect("an answer");
    assert_eq!(refused(reply), Refusal::LegacyPeer);
    star.open_link((native, 1), (legacy, 2), "a");
    star.open_link((legacy, 2), (native, 1), "b");
    let commands = star.tell(native, queue("a", DIALER, "hi"));
    assert!(commands.contains(&chunk_event(legacy, "a", DIALER, "hi")));
}

#[test]
fn r_dial_4_a_visitor_dials_a_legacy_peer_from_its_own_address_only() {
    let mut star = Star::guarded();
    let legacy = star.joined(1);
    let (visitor, hello) = star.greeted();
    let mut join = unsigned_join(2, default_space());
    join.address = None;
    star.join_as(visitor, signed(join, 2, &hello));
    star.open_link((visitor, 2), (legacy, 1), "a");
    let as_another = dial(&address(3), &address(1), "b");
    assert_eq!(star.refusal_of(visitor, as_another), Refusal::NotAuthorized);
}

#[test]
fn r_dial_14_oneself_and_strangers_cannot_be_dialed() {
    let mut star = Star::guarded();
    let conn = star.native(1);
    for (to, refusal) in [(1, Refusal::DialSelf), (2, Refusal::PeerNotFound)] {
        let (ack, commands) = star.star_dial(conn, to, token(to));
        let reply = star_reply_in(&commands, conn, ack).expect("an answer");
        assert_eq!(refused(reply), refusal);
    }
    let (greeted, _) = star.greeted();
    let (ack, commands) = star.star_dial(greeted, 1, token(3));
    let reply = star_reply_in(&commands, greeted, ack).expect("an answer");
    assert_eq!(refused(reply), Refusal::NotAuthorized);
}

#[test]
fn r_dial_16_a_lost_control_connection_leaves_open_pipes_alone() {
    let mut star = Star::guarded();
    let (dialer, callee) = (star.native(1), star.native(2));
    let pipe = star.open_pipe(dialer, 2, 1);
    let mut commands = star.disconnect(dialer);
    commands.extend(star.disconnect(callee));
    commands.extend(star.advance(60 * SECOND));
    assert!(
        !commands
            .iter()
            .any(|c| matches!(c, Command::CutPipe { .. }))
    );
    assert_eq!(star.gauges().pipes, 1);
    assert!(!star.broker.is_empty());
    star.broker.handle(Input::PipeEnded { pipe }, star.now);
    assert!(star.broker.is_empty());
}

#[test]
fn r_stop_4_a_star_that_drains_waits_for_pipes_and_cuts_them_in_the_end() {
    let mut star = Star::guarded();
    let (dialer, callee) = (star.native(1), star.native(2));
    let pipe = star.open_pipe(dialer, 2, 1);
    star.broker.handle(Input::Drain, star.now);
    let commands = star.drain();
    assert!(commands.contains(&close(dialer)) && commands.contains(&close(callee)));
    star.disconnect(dialer);
    star.disconnect(callee);
    assert!(!star.broker.is_empty(), "the pipe is there");
    assert_eq!(star.gauges().open_streams(), 2);
    star.broker.handle(Input::Cut, star.now);
    assert!(star.drain().contains(&Command::CutPipe { pipe }));
}
