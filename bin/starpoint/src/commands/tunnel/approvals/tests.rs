use super::*;

fn peers<const N: usize>() -> [PeerId; N] {
    [(); N].map(|()| PeerId::random())
}

fn id_end(peer: PeerId, n_chars: usize) -> String {
    let id = peer.to_string();
    id[id.len() - n_chars..].to_owned()
}

/// Returns two peers whose ids end alike, as far as a name has to go.
fn alike() -> [PeerId; 2] {
    let mut seen = std::collections::BTreeMap::new();
    loop {
        let peer = PeerId::random();
        if let Some(other) = seen.insert(id_end(peer, MIN_CHARS), peer) {
            return [other, peer];
        }
    }
}

#[test]
fn the_only_client_ever_is_answered_without_a_name() {
    let [a] = peers();
    let mut approvals = Approvals::default();
    assert_eq!(approvals.choose("", &[]), Err(Unclear::NobodyWaits));
    assert_eq!(approvals.prompt(a), Form::Plain);
    assert_eq!(approvals.choose("", &[a]), Ok(a));
    // It has left and is back: still nobody else can be meant.
    assert_eq!(approvals.choose("", &[]), Err(Unclear::NobodyWaits));
    assert_eq!(approvals.prompt(a), Form::Plain);
    assert_eq!(approvals.choose("", &[a]), Ok(a));
}

#[test]
fn a_plain_answer_never_means_a_client_that_came_instead() {
    let [a, b] = peers();
    let mut approvals = Approvals::default();
    approvals.prompt(a);
    // The first has left, and the second is alone at the head.
    let b_end = id_end(b, SHOWN_CHARS);
    assert_eq!(approvals.prompt(b), Form::Named(b_end.clone()));
    let unclear = approvals.choose("", &[b]);
    assert_eq!(unclear, Err(Unclear::Unnamed(vec![b_end.clone()])));
    assert_eq!(approvals.choose(&b_end, &[b]), Ok(b));
    // However often it is typed, and whatever was answered before.
    assert_eq!(approvals.choose("", &[b]), unclear);
    let told = unclear.unwrap_err().to_string();
    assert_eq!(
        told,
        format!("not taken, name the client: `y {b_end}` or `n {b_end}`")
    );
}

#[test]
fn a_client_whose_prompt_is_not_yet_shown_makes_an_answer_unclear() {
    let [a, b] = peers();
    let mut approvals = Approvals::default();
    approvals.prompt(a);
    // The host knows of the second already.
    for waiting in [&[a, b][..], &[b, a], &[b]] {
        let unclear = approvals.choose("", waiting).unwrap_err();
        assert!(matches!(unclear, Unclear::Unnamed(ends) if ends.len() == waiting.len()));
        assert_eq!(approvals.choose(&b.to_string(), waiting), Ok(b));
    }
    // One that waits alone and was never shown can only be meant by its prompt.
    let fresh = Approvals::default();
    assert_eq!(fresh.choose("", &[a]), Ok(a));
}

#[test]
fn a_name_is_the_end_of_an_id_and_names_one_client() {
    let [a, b] = peers();
    let mut approvals = Approvals::default();
    approvals.prompt(a);
    approvals.prompt(b);
    for n_chars in [MIN_CHARS, SHOWN_CHARS, a.to_string().len()] {
        assert_eq!(approvals.choose(&id_end(a, n_chars), &[a, b]), Ok(a));
        assert_eq!(approvals.choose(&id_end(b, n_chars), &[a, b]), Ok(b));
    }
    let short = id_end(a, MIN_CHARS - 1);
    assert_eq!(approvals.choose(&short, &[a, b]), Err(Unclear::TooShort));
    for unknown in ["0000", "12D3", "ü§ü§", &format!("{a}{b}")] {
        assert_eq!(approvals.choose(unknown, &[a, b]), Err(Unclear::Unknown));
    }
    // The one that is named has left.
    let end = id_end(a, SHOWN_CHARS);
    assert_eq!(approvals.choose(&end, &[b]), Err(Unclear::NotWaiting));
}

#[test]
fn an_end_that_two_clients_have_is_refused_even_when_one_has_left() {
    let [a, b] = alike();
    let mut approvals = Approvals::default();
    approvals.prompt(a);
    let end = id_end(a, MIN_CHARS);
    assert_eq!(approvals.choose(&end, &[a]), Ok(a));
    let Form::Named(shown) = approvals.prompt(b) else {
        panic!("it is the second");
    };
    for waiting in [&[a, b][..], &[b]] {
        assert_eq!(approvals.choose(&end, waiting), Err(Unclear::Several));
        assert_eq!(approvals.choose(&shown, waiting), Ok(b));
    }
}

#[test]
fn many_prompts_are_forgotten_and_then_each_answer_needs_a_name() {
    let mut approvals = Approvals::default();
    for _ in 0..=MAX_PROMPTED {
        approvals.prompt(PeerId::random());
    }
    assert_eq!(approvals.prompted.len(), MAX_PROMPTED);
    approvals.prompted.clear();
    let [a] = peers();
    assert!(matches!(approvals.prompt(a), Form::Named(_)));
}

#[test]
fn ends_are_longer_where_they_have_to_be() {
    let [a, b] = peers();
    assert_eq!(end_of(a, &[a, b]), id_end(a, SHOWN_CHARS));
    // Nothing tells a peer from itself.
    assert_eq!(end_of(a, &[a, a]), a.to_string());
}

#[test]
fn every_reason_has_a_text() {
    let ends = vec!["abcdefgh".to_owned(), "ABCDEFGH".to_owned()];
    for (unclear, text) in [
        (Unclear::NobodyWaits, "nobody waits"),
        (
            Unclear::Unnamed(ends),
            "not taken, name the client: `y abcdefgh` or `n abcdefgh`, or `y ABCDEFGH` or `n ABCDEFGH`",
        ),
        (
            Unclear::TooShort,
            "not taken, type at least 4 of the last characters of the id",
        ),
        (Unclear::Unknown, "not taken, no such client"),
        (
            Unclear::Several,
            "not taken, several clients have such an id: type more of it",
        ),
        (Unclear::NotWaiting, "not taken, this client does not wait"),
    ] {
        assert_eq!(unclear.to_string(), text);
    }
}
