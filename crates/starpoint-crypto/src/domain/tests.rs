use data_encoding::HEXLOWER;

use super::*;
use crate::{
    Statement,
    hash::{hash, mac},
};

/// A line for each domain: name, purpose, domain, and what it makes of [`INPUT`].
const VECTORS: &str = include_str!("../../../../spec/vectors/domains.txt");

/// Input of all vectors, and the key of those that have one.
const INPUT: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

fn value(domain: Domain) -> Vec<u8> {
    match domain.purpose() {
        Purpose::Signature => {
            let mut statement = Statement::begin(domain);
            let texts = ["a", "bc"].map(str::to_owned);
            statement.fixed(&INPUT).counted(&INPUT);
            statement.list(texts.into_iter());
            statement.into_bytes()
        }
        Purpose::Hash => hash(domain, &INPUT).to_vec(),
        Purpose::Mac => mac(domain, &INPUT, &[&INPUT]).to_vec(),
    }
}

#[test]
fn r_domain_1_every_domain_is_in_the_vectors_with_its_value() {
    let lines = VECTORS.lines().filter(|line| !line.starts_with('#'));
    let vectors: Vec<_> = lines.map(|line| line.split(' ').collect()).collect();
    let ours = Domain::ALL.map(|domain| {
        vec![
            format!("{domain:?}"),
            format!("{:?}", domain.purpose()).to_lowercase(),
            HEXLOWER.encode(domain.bytes()),
            HEXLOWER.encode(&value(domain)),
        ]
    });
    let vectors: Vec<Vec<&str>> = vectors;
    assert_eq!(vectors, ours);
}

#[test]
fn r_domain_1_no_domain_is_the_beginning_of_another_one() {
    for (i, one) in Domain::ALL.into_iter().enumerate() {
        for (j, other) in Domain::ALL.into_iter().enumerate() {
            let begins = other.bytes().starts_with(one.bytes());
            assert!(i == j || !begins, "{one:?}, {other:?}");
        }
    }
}

#[test]
fn r_domain_1_the_specification_lists_every_domain() {
    let document = include_str!("../../../../spec/18-domains.md");
    for domain in Domain::ALL {
        let text = String::from_utf8_lossy(domain.bytes()).replace('\0', "\\0");
        assert!(document.contains(&format!("`{text}`")), "{text}");
    }
}

#[test]
#[should_panic(expected = "is for signatures")]
fn a_statement_begins_with_a_domain_of_signatures() {
    let _ = Statement::begin(Domain::CodeProof);
}
