//! Bodies of the fuzz targets `wire_*`.

use bytes::Bytes;

use crate::{
    AddressRule, Call, PeerAddress, PeerSpelling, RemoteRefusal, StarAddress,
    challenge::{decode_public_key, encode_public_key},
    legacy::{self, MAX_LISTED_PEERS},
    limits::{MAX_ADDRESS_BYTES, MAX_DIAL_ID_BYTES, MAX_ERROR_TEXT_BYTES, MAX_PROOF_BYTES},
    native::{
        self, ClientNonce, HostPattern, MAX_ENTRIES, MAX_NAMESPACE_BYTES, Namespace, Page,
        PipeToken, StarHost,
    },
    pipe::{END, Opcode, PipeDecoder, PipeItem, PipeSender, PipeViolation, frame_head, head_bytes},
};

/// Parses the input as the address of a peer and of a star.
pub fn address(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let lax = PeerAddress::parse(text, AddressRule::AnyMultiaddr);
    let strict = PeerAddress::parse(text, AddressRule::StarOnly);
    assert!(strict.is_err() || lax.is_ok(), "the strict rule takes more");
    if let Ok(address) = lax {
        check_peer_address(&address, text);
    }
    if let Ok(star) = text.parse::<StarAddress>() {
        check_star_address(&star);
    }
}

fn check_peer_address(address: &PeerAddress, text: &str) {
    assert!(text.len() <= MAX_ADDRESS_BYTES);
    assert_eq!(address.as_str(), text);
    let _ = format!("{address} {address:?} {:?}", address.key());
    let told = address.spelled(PeerSpelling::P2p);
    let told =
        PeerAddress::parse(&told, AddressRule::AnyMultiaddr).expect("spelled anew it parses");
    assert_eq!((told.key(), told.peer()), (address.key(), address.peer()));
    if let Some(peer) = address.peer() {
        let old = address.spelled(PeerSpelling::Ipfs);
        assert!(old.ends_with(&format!("/ipfs/{peer}")), "{old}");
    }
}

fn check_star_address(star: &StarAddress) {
    let url = star.server_url();
    assert!(url.starts_with(if star.is_secure() { "wss://" } else { "ws://" }));
    assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{url}");
    let inside = StarAddress::try_from(&star.to_multiaddr());
    assert_eq!(inside.as_ref(), Ok(star));
    let legacy = star.to_legacy_string();
    assert_eq!(legacy.parse().as_ref(), Ok(star));
    assert!(
        PeerAddress::parse(&legacy, AddressRule::StarOnly).is_ok(),
        "{legacy}"
    );
}

/// Most bytes of a number that is written out, `-1e308` for one.
const MAX_NUMBER_BYTES: usize = 330;

/// Decodes the input as a call: the JSON part up to the first zero byte, and
/// behind it the attachments, with a zero byte between two of them.
pub fn packet(input: &[u8]) {
    let mut parts = input.split(|byte| *byte == 0);
    let Some(Ok(json)) = parts.next().map(std::str::from_utf8) else {
        return;
    };
    let attachments: Vec<Bytes> = parts.map(Bytes::copy_from_slice).collect();
    let Ok(call) = Call::decode(json, &attachments) else {
        return;
    };
    assert!(
        call.weight() <= input.len() + MAX_NUMBER_BYTES,
        "a call outweighs its packet"
    );
    // Fields of a native call are bounded by their decoders.
    let Call::Legacy(call) = call else {
        return;
    };
    match call {
        legacy::Call::Join {
            address: text,
            proof,
        } => {
            assert!(proof.len() <= MAX_PROOF_BYTES);
            address(text.as_bytes());
            if let Ok(key) = decode_public_key(&proof) {
                assert_eq!(decode_public_key(&encode_public_key(&key)), Ok(key));
            }
        }
        legacy::Call::Leave { address: text } => address(text.as_bytes()),
        legacy::Call::Dial { from, to, .. } => {
            address(from.as_bytes());
            address(to.as_bytes());
        }
        legacy::Call::StreamAccept { stream } | legacy::Call::StreamQueue { stream, .. } => {
            assert!((1..=MAX_DIAL_ID_BYTES).contains(&stream.dial.as_str().len()));
        }
        legacy::Call::StreamError { end, .. } => {
            assert!(format!("{end:?}").len() <= 12 * MAX_ERROR_TEXT_BYTES + 16);
        }
    }
}

/// Reads the input, cut as its second byte says, as one side of a pipe; its first one
/// says which.
pub fn pipe(input: &[u8]) {
    let Some((head, bytes)) = input.split_first_chunk::<2>() else {
        return;
    };
    let [side, step] = *head;
    let sender = [PipeSender::Peer, PipeSender::Star][usize::from(side % 2)];
    let whole = read_pipe(sender, bytes, bytes.len().max(1));
    for step in [1, usize::from(step).max(1)] {
        assert_eq!(read_pipe(sender, bytes, step), whole);
    }
    if let PipeSender::Peer = sender
        && whole.violation.is_none()
    {
        relayed(&whole);
    }
}

/// What was read of one side of a pipe.
#[derive(Debug, Default, PartialEq)]
struct ReadPipe {
    data: Vec<u8>,
    /// With the number of data bytes before each.
    items: Vec<(usize, PipeItem)>,
    violation: Option<PipeViolation>,
}

fn read_pipe(sender: PipeSender, bytes: &[u8], step: usize) -> ReadPipe {
    let mut decoder = PipeDecoder::new(sender);
    let mut read = ReadPipe::default();
    for piece in bytes.chunks(step) {
        let mut piece = piece.to_vec();
        let mut at = 0;
        while at < piece.len() {
            let step = match decoder.next(&mut piece[at..]) {
                Ok(step) => step,
                Err(violation) => {
                    read.violation = Some(violation);
                    return read;
                }
            };
            assert!(step.taken > 0, "a step stands still");
            at += step.taken;
            match step.item {
                PipeItem::Data(n) => {
                    assert!((1..=step.taken).contains(&n));
                    read.data.extend_from_slice(&piece[at - n..at]);
                }
                PipeItem::Starved => assert_eq!(at, piece.len(), "all is taken"),
                item
                @ (PipeItem::End | PipeItem::Close(_) | PipeItem::Ping(_) | PipeItem::Pong) => {
                    read.items.push((read.data.len(), item));
                }
            }
        }
    }
    let ends = read.items.iter().filter(|(_, item)| *item == PipeItem::End);
    assert!(ends.count() <= 1);
    read
}

/// Writes what a peer has sent as a star would, and reads it as its other peer.
fn relayed(read: &ReadPipe) {
    let mut bytes = Vec::new();
    let mut push = |opcode, payload: &[u8]| {
        let (head, n) = frame_head(opcode, payload.len(), None);
        assert_eq!(n, head_bytes(payload.len(), None));
        bytes.extend_from_slice(&head[..n]);
        bytes.extend_from_slice(payload);
    };
    let mut at = 0;
    for (before, item) in &read.items {
        if at < *before {
            push(Opcode::Binary, &read.data[at..*before]);
            at = *before;
        }
        match item {
            PipeItem::End => push(Opcode::Text, END),
            PipeItem::Close(status) => {
                let status = status.map(u16::to_be_bytes);
                push(Opcode::Close, status.as_ref().map_or(&[], |s| &s[..]));
            }
            PipeItem::Ping(payload) => push(Opcode::Ping, payload.as_bytes()),
            PipeItem::Pong => push(Opcode::Pong, b""),
            PipeItem::Starved | PipeItem::Data(_) => {}
        }
    }
    if at < read.data.len() {
        push(Opcode::Binary, &read.data[at..]);
    }
    let again = read_pipe(PipeSender::Star, &bytes, bytes.len().max(1));
    assert_eq!(&again, read);
}

/// Reads the input as what a star says: the name of an event up to the first line
/// break, its arguments up to the first zero byte, and attachments behind that.
pub fn client(input: &[u8]) {
    let mut parts = input.split(|byte| *byte == 0);
    let Some(Ok(text)) = parts.next().map(std::str::from_utf8) else {
        return;
    };
    let attachments: Vec<Bytes> = parts.map(Bytes::copy_from_slice).collect();
    let (name, args) = text.split_once('\n').unwrap_or(("", text));
    if let Ok(notice) = legacy::Event::decode(name, args, &attachments) {
        check_notice(&notice);
    }
    if let Some(event) = native::Event::decode(name, args) {
        match &event {
            native::Event::Presence(batch) => {
                assert!(batch.joined.len() <= MAX_ENTRIES && batch.left.len() <= MAX_ENTRIES);
            }
            native::Event::Incoming { .. } => {}
            native::Event::Hello(hello) => {
                let nonce = ClientNonce::from_random([7; 16]);
                assert!(hello.verify(&nonce).is_err(), "a signature out of nothing");
            }
        }
        let again = event.encode();
        let decoded = native::Event::decode(again.name, &again.args);
        assert_eq!(decoded, Some(event));
    }
    replies(args);
    hosts(name);
}

fn check_notice(notice: &legacy::Event) {
    match notice {
        legacy::Event::Incoming {
            dial_id,
            from: address,
        } => {
            assert!(dial_id.as_str().len() <= MAX_DIAL_ID_BYTES);
            assert!(address.len() <= MAX_ADDRESS_BYTES);
        }
        legacy::Event::Peer { address } | legacy::Event::Evicted { address } => {
            assert!(address.len() <= MAX_ADDRESS_BYTES);
        }
        legacy::Event::StreamAccept { stream }
        | legacy::Event::StreamQueue { stream, .. }
        | legacy::Event::StreamError { stream, .. } => {
            assert!(stream.dial.as_str().len() <= MAX_DIAL_ID_BYTES);
        }
    }
}

fn replies(args: &str) {
    match legacy::JoinReply::decode(args) {
        Ok(legacy::JoinReply::Joined { others }) => {
            assert!(others.len() <= MAX_LISTED_PEERS);
            assert!(others.iter().all(|other| other.len() <= MAX_ADDRESS_BYTES));
        }
        Ok(legacy::JoinReply::Refused(refusal)) => check_refusal(&refusal),
        Ok(legacy::JoinReply::Challenge(_)) | Err(_) => {}
    }
    if let Ok(legacy::DialReply::Refused(refusal)) = legacy::DialReply::decode(args) {
        check_refusal(&refusal);
    }
    match native::JoinReply::decode(args) {
        Ok(native::JoinReply::Joined { is_resumed, pages }) => {
            pages.iter().for_each(check_page);
            let again = native::Reply::Joined {
                is_resumed,
                pages: pages.clone(),
            };
            let expected = native::JoinReply::Joined { is_resumed, pages };
            assert_eq!(native::JoinReply::decode(&again.encode()), Ok(expected));
        }
        Ok(native::JoinReply::Refused(refusal, _)) => check_refusal(&refusal),
        Err(_) => {}
    }
    match native::PageReply::decode(args) {
        Ok(native::PageReply::Page(page)) => {
            check_page(&page);
            let again = native::Reply::Page(page.clone()).encode();
            assert_eq!(
                native::PageReply::decode(&again),
                Ok(native::PageReply::Page(page))
            );
        }
        Ok(native::PageReply::Refused(refusal, _)) => check_refusal(&refusal),
        Err(_) => {}
    }
    match native::DialReply::decode(args) {
        Ok(native::DialReply::Connected { record }) => {
            let again = native::Reply::Dialed {
                record: record.clone(),
            };
            let expected = native::DialReply::Connected { record };
            assert_eq!(native::DialReply::decode(&again.encode()), Ok(expected));
        }
        Ok(native::DialReply::Refused(refusal, _)) => check_refusal(&refusal),
        Err(_) => {}
    }
}

fn check_page(page: &Page) {
    assert!(page.peers.len() <= MAX_ENTRIES);
    assert!(page.ids().count() <= page.peers.len());
}

fn check_refusal(refusal: &RemoteRefusal) {
    if let RemoteRefusal::Other(text) = refusal {
        assert!(text.len() <= MAX_ERROR_TEXT_BYTES.max(MAX_NUMBER_BYTES));
    }
    // Control characters are not shown.
    assert!(!refusal.to_string().chars().any(char::is_control));
}

/// Reads a host, a pattern of hosts, a token and a namespace.
fn hosts(text: &str) {
    if let Some(host) = StarHost::parse(text) {
        assert_eq!(StarHost::parse(&host.to_string()), Some(host.clone()));
        let pattern = HostPattern::parse(text).expect("a host is a pattern");
        assert!(pattern.matches(&host));
    }
    if let Some(pattern) = HostPattern::parse(text) {
        assert_eq!(HostPattern::parse(&pattern.to_string()), Some(pattern));
    }
    if let Some(token) = PipeToken::parse(text) {
        assert_eq!(token.to_text(), text, "two spellings of a token");
    }
    if let Some(nonce) = ClientNonce::parse(text) {
        assert_eq!(nonce.to_text(), text, "two spellings of a nonce");
    }
    if let Some(namespace) = Namespace::parse(text) {
        assert_eq!(namespace.as_str(), text);
        assert!(text.len() <= MAX_NAMESPACE_BYTES);
    }
}

#[cfg(test)]
#[path = "../replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn addresses_of_the_corpus_hold() {
        replay("wire_address", address);
    }

    #[test]
    fn packets_of_the_corpus_hold() {
        replay("wire_packet", packet);
    }

    #[test]
    fn pipes_of_the_corpus_hold() {
        replay("wire_pipe", pipe);
    }

    #[test]
    fn words_of_stars_in_the_corpus_hold() {
        replay("wire_client", client);
    }
}
