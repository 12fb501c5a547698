//! What those who are not in a namespace learn about it: nothing.

use super::*;

fn private() -> Namespace {
    Namespace::parse("a-name-that-nobody-guesses").expect("a name")
}

/// Returns whether anything that was sent to a connection has the id of a peer.
fn is_told_of(commands: &[Command], to: ConnId, peer: u8) -> bool {
    let sent = commands.iter().filter(|c| c.sends_to() == Some(to));
    sent.map(|command| match command {
        Command::Send {
            message: Message::NativeEvent(event),
            ..
        } => event.args.to_string(),
        Command::Send {
            message: Message::NativeReply(_, reply),
            ..
        } => format!("{reply:?}"),
        other @ (Command::Send { .. }
        | Command::Verify { .. }
        | Command::PlacePipe { .. }
        | Command::RefusePipe { .. }
        | Command::OpenPipe { .. }
        | Command::DropPipe { .. }
        | Command::CutPipe { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Close { .. }) => format!("{other:?}"),
    })
    .any(|said| said.contains(&text(peer)))
}

#[test]
fn r_pres_10_who_is_not_in_a_namespace_is_not_told_whether_it_exists() {
    let mut star = Star::guarded();
    let (member, _, _) = star.native_in(1, vec![private()]);
    let (left, _, _) = star.native_in(2, vec![private()]);
    star.star_reply(left, native::Call::Leave);
    let (evicted, _, _) = star.native_in(3, vec![private()]);
    star.native(3);
    let (visitor, hello) = star.greeted();
    let mut join = unsigned_join(4, vec![private()]);
    join.address = None;
    star.join_as(visitor, signed(join, 4, &hello));
    let (greeted, _) = star.greeted();
    let elsewhere = star.native(5);

    let nobodys = Namespace::parse("nobody-is-here").expect("a name");
    for conn in [left, evicted, visitor, greeted, elsewhere] {
        for namespace in [private(), nobodys.clone()] {
            let call = native::Call::Peers {
                namespace,
                after: None,
            };
            let refusal = native::Reply::Refused {
                refusal: Refusal::NotAuthorized,
                retry: None,
            };
            assert_eq!(star.star_reply(conn, call), refusal, "{conn:?}");
        }
    }
    let call = native::Call::Peers {
        namespace: private(),
        after: None,
    };
    let native::Reply::Page(page) = star.star_reply(member, call) else {
        panic!("a member may ask")
    };
    assert_eq!(page.ids().collect::<Vec<_>>(), [id(1)]);
}

#[test]
fn r_pres_10_no_event_and_no_list_names_the_members_to_others() {
    let mut star = Star::guarded();
    let (legacy, elsewhere) = (star.joined(1), star.native(2));
    let (member, _, _) = star.native_in(3, vec![private()]);
    let (left, _, _) = star.native_in(4, vec![private()]);
    star.star_reply(left, native::Call::Leave);
    star.advance(SECOND);

    let (conn, hello) = star.greeted();
    let join = native_join(9, &hello, vec![private()]);
    let (_, mut commands) = star.ask(conn, Call::Native(native::Call::Join(Box::new(join))));
    commands.extend(star.advance(60 * SECOND));
    let late = star.conn();
    let ask = join_call(&mut star, late);
    commands.extend(star.ask(late, ask).1);
    commands.extend(star.disconnect(conn));
    commands.extend(star.advance(60 * SECOND));
    assert!(is_told_of(&commands, member, 9), "members are told");
    for outsider in [legacy, elsewhere, left, late] {
        assert!(!is_told_of(&commands, outsider, 9), "{outsider:?}");
    }
}

/// Returns the second step of the join of a legacy peer.
fn join_call(star: &mut Star, conn: ConnId) -> Call {
    let reply = star.reply_to(conn, join(&address(8), &public_key(8)));
    let legacy::Reply::Challenge(nonce) = reply else {
        panic!("no challenge: {reply:?}")
    };
    join(&address(8), &signature(8, nonce.as_str()))
}
