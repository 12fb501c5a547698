use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A register with a clock that stands still until it is told.
struct Desk {
    register: Register,
    host: PeerId,
    now: Instant,
}

impl Desk {
    fn new(unlisted: Unlisted, max_clients: usize) -> Self {
        Self::with(unlisted, max_clients, [])
    }

    fn with<const N: usize>(unlisted: Unlisted, max_clients: usize, allow: [PeerId; N]) -> Self {
        let host = PeerId::random();
        let register = Register::new(Rules {
            own_id: host,
            allow: allow.into(),
            unlisted,
            max_clients,
            decision_deadline: 2 * MINUTE,
            resume_within: 60 * MINUTE,
        });
        let now = Instant::now();
        Self {
            register,
            host,
            now,
        }
    }

    fn invite(&mut self, n_uses: u32) -> Secret {
        let secret = Secret::new(rand::random());
        let n_uses = NonZero::new(n_uses).unwrap();
        self.register
            .invite(secret.clone(), n_uses, 10 * MINUTE, self.now);
        secret
    }

    fn join(&mut self, peer: PeerId, secret: &Secret) -> Result<Joined, Refusal> {
        let proof = secret.proof(&peer, &self.host);
        self.register.join(peer, secret.session(), &proof, self.now)
    }

    fn guess(&mut self, peer: PeerId, secret: &Secret) -> Result<Joined, Refusal> {
        let proof = CodeProof::from_bytes([0; CodeProof::BYTES]);
        self.register.join(peer, secret.session(), &proof, self.now)
    }
}

fn peers<const N: usize>() -> [PeerId; N] {
    [(); N].map(|()| PeerId::random())
}

#[test]
fn r_tunnel_6_nobody_is_in_before_the_decision() {
    let mut desk = Desk::new(Unlisted::Ask, 1);
    let secret = desk.invite(1);
    let [peer] = peers();
    assert_eq!(desk.join(peer, &secret), Ok(Joined::Ask));
    assert!(!desk.register.is_here(peer));
    let decided = desk.register.decide(peer, Decision::Accept);
    assert_eq!(decided, Some(Ok(Joined::Accepted)));
    assert!(desk.register.is_here(peer));
    assert_eq!(desk.register.decide(peer, Decision::Accept), None);
}

#[test]
fn r_tunnel_6_only_who_has_the_secret_learns_what_is_wrong_with_the_code() {
    let mut desk = Desk::new(Unlisted::AcceptAll, 9);
    let secret = desk.invite(1);
    let [first, second] = peers();
    assert_eq!(desk.join(first, &secret), Ok(Joined::Accepted));
    assert_eq!(desk.join(second, &secret), Err(Refusal::UsedCode));
    assert_eq!(desk.guess(second, &secret), Err(Refusal::UnknownCode));
    let nowhere = Secret::new([0; 16]);
    assert_eq!(desk.join(second, &nowhere), Err(Refusal::UnknownCode));

    let secret = desk.invite(1);
    desk.now += 10 * MINUTE;
    assert_eq!(desk.join(second, &secret), Err(Refusal::ExpiredCode));
    assert_eq!(desk.guess(second, &secret), Err(Refusal::UnknownCode));
}

#[test]
fn r_tunnel_7_a_use_is_taken_while_its_client_waits() {
    let mut desk = Desk::new(Unlisted::Ask, 9);
    let secret = desk.invite(1);
    let [first, second] = peers();
    assert_eq!(desk.join(first, &secret), Ok(Joined::Ask));
    assert_eq!(desk.join(first, &secret), Ok(Joined::StillAsked));
    assert_eq!(desk.join(second, &secret), Err(Refusal::UsedCode));
    // The first goes, and the code is there for the second.
    desk.register.lost(first, desk.now);
    assert_eq!(desk.join(second, &secret), Ok(Joined::Ask));
}

#[test]
fn r_tunnel_7_declined_is_used_up_and_undecided_is_not() {
    let mut desk = Desk::new(Unlisted::Ask, 9);
    let secret = desk.invite(1);
    let [peer] = peers();
    assert_eq!(desk.join(peer, &secret), Ok(Joined::Ask));
    assert_eq!(desk.register.deadline(), Some(desk.now + 2 * MINUTE));
    desk.now += 2 * MINUTE;
    let ended = desk.register.time_out(desk.now);
    assert_eq!(ended, [TimedOut::Decision(peer)]);
    assert_eq!(desk.register.deadline(), None);

    assert_eq!(desk.join(peer, &secret), Ok(Joined::Ask));
    let decided = desk.register.decide(peer, Decision::Decline);
    assert_eq!(decided, Some(Err(Refusal::Declined)));
    assert_eq!(desk.join(peer, &secret), Err(Refusal::UsedCode));
}

#[test]
fn r_tunnel_7_a_code_is_good_for_as_many_as_the_host_says() {
    let mut desk = Desk::new(Unlisted::AcceptAll, 9);
    let secret = desk.invite(2);
    let [first, second, third] = peers();
    assert_eq!(desk.join(first, &secret), Ok(Joined::Accepted));
    assert_eq!(desk.join(second, &secret), Ok(Joined::Accepted));
    assert_eq!(desk.join(third, &secret), Err(Refusal::UsedCode));
}

#[test]
fn r_tunnel_8_five_wrong_proofs_end_a_code() {
    let mut desk = Desk::new(Unlisted::AcceptAll, 9);
    let secret = desk.invite(1);
    for _ in 0..MAX_WRONG_PROOFS {
        let [guesser] = peers();
        assert_eq!(desk.guess(guesser, &secret), Err(Refusal::UnknownCode));
    }
    let [peer] = peers();
    assert_eq!(desk.join(peer, &secret), Err(Refusal::Locked));
    // Another code is still good.
    let other = desk.invite(1);
    assert_eq!(desk.join(peer, &other), Ok(Joined::Accepted));
}

#[test]
fn r_tunnel_8_who_guesses_is_not_listened_to_for_a_minute() {
    let mut desk = Desk::new(Unlisted::AcceptAll, 9);
    let secret = desk.invite(1);
    let [peer, other] = peers();
    for n in 0..5 {
        let wrong = Secret::new([n; 16]);
        assert_eq!(desk.join(peer, &wrong), Err(Refusal::UnknownCode));
    }
    assert_eq!(desk.join(peer, &secret), Err(Refusal::Locked));
    desk.now += MINUTE - Duration::from_millis(1);
    assert_eq!(desk.join(peer, &secret), Err(Refusal::Locked));
    desk.now += Duration::from_millis(1);
    assert_eq!(desk.join(peer, &secret), Ok(Joined::Accepted));
    assert_eq!(desk.join(other, &secret), Err(Refusal::UsedCode));
}

#[test]
fn r_tunnel_8_the_table_of_guessers_is_bounded() {
    let mut desk = Desk::new(Unlisted::AcceptAll, 9);
    for _ in 0..2 * MAX_FAILED_PEERS {
        let [peer] = peers();
        let _ = desk.join(peer, &Secret::new([0; 16]));
    }
    assert_eq!(desk.register.failures.len(), MAX_FAILED_PEERS);
}

#[test]
fn r_tunnel_9_a_client_that_is_lost_comes_back_without_asking() {
    let mut desk = Desk::new(Unlisted::Ask, 1);
    let secret = desk.invite(1);
    let [peer, other] = peers();
    assert_eq!(desk.join(peer, &secret), Ok(Joined::Ask));
    desk.register.decide(peer, Decision::Accept);
    desk.register.lost(peer, desk.now);
    assert!(!desk.register.is_here(peer));
    desk.now += 59 * MINUTE;
    assert_eq!(desk.join(other, &secret), Err(Refusal::UsedCode));
    assert_eq!(desk.guess(peer, &secret), Err(Refusal::UnknownCode));
    assert_eq!(desk.join(peer, &secret), Ok(Joined::Resumed));
    assert!(desk.register.is_here(peer));
    assert_eq!(desk.register.deadline(), None);

    desk.register.lost(peer, desk.now);
    desk.now += 60 * MINUTE;
    assert_eq!(desk.register.deadline(), Some(desk.now));
    assert_eq!(desk.register.time_out(desk.now), [TimedOut::Away(peer)]);
    assert_eq!(desk.join(peer, &secret), Err(Refusal::UsedCode));
}

#[test]
fn r_tunnel_9_who_has_left_or_was_dropped_does_not_come_back() {
    let mut desk = Desk::new(Unlisted::AcceptAll, 1);
    let secret = desk.invite(1);
    let [peer] = peers();
    assert_eq!(desk.join(peer, &secret), Ok(Joined::Accepted));
    assert!(desk.register.remove(peer));
    assert!(!desk.register.remove(peer));
    assert_eq!(desk.join(peer, &secret), Err(Refusal::UsedCode));
}

#[test]
fn r_tunnel_19_who_is_banned_gets_nowhere_with_any_code() {
    let [listed, other] = peers();
    let mut desk = Desk::with(Unlisted::AcceptAll, 9, [listed]);
    let secret = desk.invite(9);
    for peer in [listed, other] {
        assert_eq!(desk.join(peer, &secret), Ok(Joined::Accepted));
        assert!(desk.register.ban(peer));
        assert!(!desk.register.ban(peer));
        assert!(!desk.register.is_here(peer));
        let another = desk.invite(9);
        let nowhere = Secret::new([0; 16]);
        for secret in [&secret, &another, &nowhere] {
            assert_eq!(desk.join(peer, secret), Err(Refusal::Banned));
        }
        // It does not end a code for others by guessing either.
        for _ in 0..=MAX_WRONG_PROOFS {
            assert_eq!(desk.guess(peer, &secret), Err(Refusal::Banned));
        }
    }
    assert_eq!(desk.register.members().count(), 0);
    assert_eq!(desk.register.banned().count(), 2);

    assert!(desk.register.unban(other));
    assert!(!desk.register.unban(other));
    assert_eq!(desk.join(other, &secret), Ok(Joined::Accepted));
    assert_eq!(desk.join(listed, &secret), Err(Refusal::Banned));
}

#[test]
fn r_tunnel_19_a_ban_ends_a_wait_and_an_absence_and_gives_the_use_back() {
    let mut desk = Desk::new(Unlisted::Ask, 9);
    let secret = desk.invite(1);
    let [waiting, other, stranger] = peers();
    assert_eq!(desk.join(waiting, &secret), Ok(Joined::Ask));
    assert!(desk.register.ban(waiting));
    assert_eq!(desk.register.decide(waiting, Decision::Accept), None);
    assert_eq!(desk.join(other, &secret), Ok(Joined::Ask));
    desk.register.decide(other, Decision::Accept);
    desk.register.lost(other, desk.now);
    assert!(desk.register.ban(other));
    assert_eq!(desk.register.deadline(), None);
    assert_eq!(desk.join(other, &secret), Err(Refusal::Banned));
    // Somebody who was never seen can be banned, too.
    assert!(!desk.register.ban(stranger));
    assert_eq!(desk.join(stranger, &secret), Err(Refusal::Banned));
}

#[test]
fn r_tunnel_19_the_list_of_banned_peers_is_bounded() {
    let mut desk = Desk::new(Unlisted::AcceptAll, 9);
    let secret = desk.invite(9);
    let [first, second] = peers();
    desk.register.ban(first);
    desk.register.ban(second);
    for _ in 0..MAX_BANNED - 1 {
        desk.register.ban(PeerId::random());
    }
    assert_eq!(desk.register.banned().count(), MAX_BANNED);
    assert_eq!(desk.join(second, &secret), Err(Refusal::Banned));
    assert_eq!(desk.join(first, &secret), Ok(Joined::Accepted));
}

#[test]
fn r_tunnel_10_who_is_away_gives_way_when_there_is_no_other_place() {
    let mut desk = Desk::new(Unlisted::AcceptAll, 2);
    let secret = desk.invite(9);
    let [first, second, third] = peers();
    assert_eq!(desk.join(first, &secret), Ok(Joined::Accepted));
    assert_eq!(desk.join(second, &secret), Ok(Joined::Accepted));
    assert_eq!(desk.join(third, &secret), Err(Refusal::Full));
    desk.register.lost(first, desk.now);
    desk.now += MINUTE;
    desk.register.lost(second, desk.now);
    assert_eq!(desk.join(third, &secret), Ok(Joined::Accepted));
    assert_eq!(desk.register.replaced(), [first]);
    assert_eq!(desk.register.replaced(), []);
    assert_eq!(desk.join(second, &secret), Ok(Joined::Resumed));
    // Nothing is left of the first one but its use of a code.
    assert_eq!(desk.join(first, &secret), Err(Refusal::Full));
}

#[test]
fn r_tunnel_10_a_place_that_was_taken_meanwhile_is_no_decline() {
    let mut desk = Desk::new(Unlisted::Ask, 1);
    let secret = desk.invite(2);
    let [first, second] = peers();
    assert_eq!(desk.join(first, &secret), Ok(Joined::Ask));
    assert_eq!(desk.join(second, &secret), Ok(Joined::Ask));
    desk.register.decide(first, Decision::Accept);
    let decided = desk.register.decide(second, Decision::Accept);
    assert_eq!(decided, Some(Err(Refusal::Full)));
    desk.register.remove(first);
    assert_eq!(desk.join(second, &secret), Ok(Joined::Ask));
}

#[test]
fn r_tunnel_10_sixteen_wait_for_a_decision() {
    let mut desk = Desk::new(Unlisted::Ask, 99);
    let secret = desk.invite(99);
    for peer in peers::<MAX_WAITING>() {
        assert_eq!(desk.join(peer, &secret), Ok(Joined::Ask));
    }
    let [peer] = peers();
    assert_eq!(desk.join(peer, &secret), Err(Refusal::Busy));
    assert_eq!(desk.register.waiting().count(), MAX_WAITING);
}

#[test]
fn the_first_is_let_in_and_others_are_asked_about() {
    let mut desk = Desk::new(Unlisted::AcceptFirst, 9);
    let secret = desk.invite(9);
    let [first, second] = peers();
    assert_eq!(desk.join(first, &secret), Ok(Joined::Accepted));
    desk.register.remove(first);
    assert_eq!(desk.join(second, &secret), Ok(Joined::Ask));
}

#[test]
fn who_is_on_the_list_needs_a_code_and_nothing_else() {
    let [listed, other] = peers();
    let mut desk = Desk::with(Unlisted::Ask, 9, [listed]);
    let secret = desk.invite(9);
    let wrong = Secret::new([0; 16]);
    assert_eq!(desk.join(listed, &wrong), Err(Refusal::UnknownCode));
    assert_eq!(desk.join(listed, &secret), Ok(Joined::Accepted));
    assert_eq!(desk.join(other, &secret), Ok(Joined::Ask));
}

#[test]
fn the_oldest_code_is_forgotten() {
    let mut desk = Desk::new(Unlisted::AcceptAll, 999);
    let oldest = desk.invite(1);
    desk.now += Duration::from_millis(1);
    let next = desk.invite(1);
    for _ in 0..MAX_INVITES - 1 {
        desk.now += Duration::from_millis(1);
        desk.invite(1);
    }
    let [peer] = peers();
    assert_eq!(desk.join(peer, &oldest), Err(Refusal::UnknownCode));
    assert_eq!(desk.join(peer, &next), Ok(Joined::Accepted));
}
