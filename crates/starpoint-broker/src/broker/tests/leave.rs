use super::*;

#[test]
fn r_leave_1_leaving_frees_the_address_and_streams_go_on() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    star.open_link((a, 1), (b, 2), "d");
    assert_eq!(star.reply_to(a, leave(&address(1))), legacy::Reply::Done);
    assert_eq!(star.gauges().peers, 1);
    assert_eq!(
        star.refusal_of(b, dial(&address(2), &address(1), "e")),
        Refusal::PeerNotFound
    );
    assert_eq!(
        star.refusal_of(a, dial(&address(1), &address(2), "f")),
        Refusal::NotAuthorized
    );
    let commands = star.tell(b, queue("d", LISTENER, "on"));
    assert_eq!(commands, [chunk_event(a, "d", LISTENER, "on")]);
}

#[test]
fn r_leave_1_without_an_ack_nothing_is_answered() {
    let mut star = Star::open();
    let a = star.joined(1);
    assert_eq!(star.tell(a, leave(&address(1))), []);
    assert_eq!(star.gauges().peers, 0);
    assert_eq!(star.tell(a, leave(&address(1))), []);
    assert_eq!(
        star.refusal_of(a, leave(&address(1))),
        Refusal::NotAuthorized
    );
    assert_eq!(
        star.refusal_of(a, leave("nowhere")),
        Refusal::InvalidAddress
    );
    let elsewhere = star.joined(2);
    assert_eq!(
        star.refusal_of(elsewhere, leave(&address(1))),
        Refusal::NotAuthorized
    );
}

#[test]
fn r_leave_1_every_spelling_of_an_address_leaves_it() {
    let mut star = Star::open();
    let a = star.joined(1);
    let respelled = address(1)
        .replace("/ipfs/", "/p2p/")
        .replace("/443/", "/0443/");
    assert_eq!(star.reply_to(a, leave(&respelled)), legacy::Reply::Done);
    assert_eq!(star.gauges().peers, 0);
}

#[test]
fn r_leave_1_a_leave_ends_an_open_challenge() {
    let mut star = Star::guarded();
    let a = star.conn();
    let legacy::Reply::Challenge(nonce) = star.reply_to(a, join(&address(1), &public_key(1)))
    else {
        panic!("no challenge")
    };
    star.tell(a, leave(&address(1)));
    let answer = join(&address(1), &signature(1, nonce.as_str()));
    assert_eq!(star.refusal_of(a, answer), Refusal::InvalidKey);
}

#[test]
fn r_leave_2_a_disconnect_leaves_every_address() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    star.ask(a, join(&address_at(444, 1), ""));
    star.ask(a, join(&anonymous(7), ""));
    assert_eq!(star.gauges().peers, 4);
    star.disconnect(a);
    assert_eq!(star.gauges().peers, 1);
    for gone in [address(1), address_at(444, 1), anonymous(7)] {
        let call = dial(&address(2), &gone, "d");
        assert_eq!(star.refusal_of(b, call), Refusal::PeerNotFound);
    }
    let told = star.advance(30 * SECOND);
    assert_eq!(announced_to(&told, b), [""; 0]);
}
