use super::*;
use crate::secret::CodeProof;

const HOST: &str = "12D3KooWNfR8NXkUJ7QEFDDb37YCRijEy9J8VzUFgFfMKLuVmXJH";
const STAR: &str = "/dns4/star.example/tcp/443/wss/p2p-websocket-star";

fn code() -> Code {
    let star = STAR.parse().unwrap();
    Code::new(HOST.parse().unwrap(), [star], Secret::new([7; 16]))
}

/// Frozen: older clients have to read what newer hosts print.
const TEXT: &str = include_str!("../../../../spec/vectors/tunnel-code.txt");

#[test]
fn r_tunnel_1_a_code_is_this_text_and_back() {
    assert_eq!(code().to_string(), TEXT.trim());
    assert_eq!(TEXT.parse(), Ok(code()));
}

#[test]
fn r_tunnel_1_blanks_line_breaks_and_capitals_do_not_matter() {
    let text = code().to_string();
    let (first, second) = text.split_at(40);
    let wrapped = format!("  {}\r\n {}\n", first.to_ascii_uppercase(), second);
    assert_eq!(wrapped.parse(), Ok(code()));
}

#[test]
fn r_tunnel_1_every_wrong_letter_is_noticed() {
    let text = code().to_string();
    for position in PREFIX.len()..text.len() {
        for letter in ['a', 'q', '7'] {
            let mut wrong = text.clone();
            wrong.replace_range(position..=position, &letter.to_string());
            if wrong != text {
                assert_eq!(
                    wrong.parse::<Code>(),
                    Err(CodeError::Checksum),
                    "{position}"
                );
            }
        }
        assert!(text[..position].parse::<Code>().is_err(), "{position}");
    }
    let read = |text: &str| text.parse::<Code>().unwrap_err();
    assert_eq!(read(""), CodeError::NotACode);
    assert_eq!(read("7-crossover-clockwork"), CodeError::NotACode);
    assert_eq!(read(&"spt1a".repeat(1_000)), CodeError::NotACode);
    assert_eq!(read("spt1abc!"), CodeError::Letters);
    assert_eq!(read("spt1"), CodeError::Checksum);
}

#[test]
fn r_tunnel_1_a_whole_code_that_makes_no_sense_is_refused() {
    let text = |body: &[u8]| {
        let bytes = [body, &checksum(body)].concat();
        format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes))
    };
    let mut many = code().to_bytes();
    let body_bytes = many.len() - CHECKSUM_BYTES;
    many.truncate(body_bytes);
    for _ in 0..4 {
        let star: Multiaddr = STAR.parse().unwrap();
        many.push(star.len().try_into().unwrap());
        many.extend(star.to_vec());
    }
    for body in [&[][..], &[0; 16], &[0; 17], &[0; 300], &many] {
        assert_eq!(text(body).parse::<Code>(), Err(CodeError::Contents));
    }
}

#[test]
fn a_code_keeps_four_stars() {
    let star = |n: u16| format!("/ip4/127.0.0.1/tcp/{n}/ws/p2p-websocket-star").parse();
    let stars = (1..=6).map(|n| star(n).unwrap());
    let code = Code::new(HOST.parse().unwrap(), stars, Secret::new([1; 16]));
    assert_eq!(code.stars().len(), 4);
    assert_eq!(code.to_string().parse(), Ok(code));
}

#[test]
fn debug_hides_the_secret() {
    let secret = [0xa5; 16];
    let code = Code::new(HOST.parse().unwrap(), [], Secret::new(secret));
    for text in [
        format!("{code:?}"),
        format!("{:?}", Secret::new(secret)),
        format!("{:?}", CodeProof::from_bytes([0xa5; 32])),
    ] {
        assert!(!text.contains("165") && !text.contains("a5"), "{text}");
    }
}
