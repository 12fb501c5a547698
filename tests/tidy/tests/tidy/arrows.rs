//! Which package may depend on which.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, PackageId};
use starpoint_tidy::{metadata, packages};

/// Where a package stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Used by stars and peers alike.
    Shared,
    /// Relays, and cannot read what it carries.
    Relay,
    /// Runs with a peer.
    Peer,
    /// Puts programs together out of either side.
    Program,
    /// Tests: nobody ships them.
    Tests,
}

/// Every package, its side, and the packages of ours that it may name in any of
/// its dependency tables. A new arrow is a line here, and so a reviewed decision.
const TABLE: [(&str, Side, &[&str]); 17] = [
    ("starpoint-file", Side::Shared, &[]),
    ("starpoint-crypto", Side::Shared, &[]),
    ("starpoint-wire", Side::Shared, &["starpoint-crypto"]),
    ("starpoint-bridge", Side::Peer, &[]),
    ("starpoint-broker", Side::Relay, &["starpoint-wire"]),
    (
        "starpoint-server",
        Side::Relay,
        &[
            "starpoint-broker",
            "starpoint-file",
            "starpoint-test-support",
            "starpoint-wire",
        ],
    ),
    (
        "starpoint-sio",
        Side::Peer,
        &["starpoint-test-support", "starpoint-wire"],
    ),
    (
        "libp2p-websocket-star",
        Side::Peer,
        &["starpoint-sio", "starpoint-test-support", "starpoint-wire"],
    ),
    (
        "starpoint-node",
        Side::Peer,
        &[
            "libp2p-websocket-star",
            "starpoint-file",
            "starpoint-test-support",
        ],
    ),
    (
        "starpoint-tunnel",
        Side::Peer,
        &[
            "starpoint-crypto",
            "starpoint-node",
            "starpoint-test-support",
        ],
    ),
    (
        "starpoint",
        Side::Program,
        &[
            "libp2p-websocket-star",
            "starpoint-file",
            "starpoint-node",
            "starpoint-server",
            "starpoint-test-support",
            "starpoint-tunnel",
            "starpoint-wire",
        ],
    ),
    (
        "starpoint-bench",
        Side::Program,
        &[
            "libp2p-websocket-star",
            "starpoint-node",
            "starpoint-test-support",
            "starpoint-tunnel",
        ],
    ),
    ("starpoint-test-support", Side::Tests, &[]),
    (
        "starpoint-hostile-tests",
        Side::Tests,
        &["starpoint-test-support"],
    ),
    (
        "starpoint-interop-tests",
        Side::Tests,
        &["libp2p-websocket-star", "starpoint-test-support"],
    ),
    (
        "starpoint-sim-tests",
        Side::Tests,
        &["starpoint-broker", "starpoint-wire"],
    ),
    ("starpoint-tidy", Side::Tests, &[]),
];

/// What the relaying side never has, directly or not: with these it could take
/// part in what its peers say to each other.
const PEER_PROTOCOLS: [&str; 7] = [
    "libp2p",
    "libp2p-core",
    "libp2p-noise",
    "libp2p-swarm",
    "libp2p-tls",
    "libp2p-yamux",
    "yamux",
];

/// What the peer side never has, directly or not.
const SERVER_PARTS: [&str; 4] = ["axum", "engineioxide", "socketioxide", "starpoint-broker"];

#[test]
fn every_package_is_in_the_table_and_every_line_is_a_package() {
    let metadata = metadata();
    let packages = packages(&metadata);
    let existing: BTreeSet<_> = packages.values().map(|p| p.name.as_str()).collect();
    let listed: BTreeSet<_> = TABLE.iter().map(|(name, ..)| *name).collect();
    assert_eq!(
        existing,
        listed,
        "left: the tree, right: the table in {}",
        file!()
    );
}

#[test]
fn packages_depend_only_on_what_the_table_allows() {
    let metadata = metadata();
    let packages = packages(&metadata);
    let ours: BTreeSet<_> = packages.values().map(|p| p.name.as_str()).collect();
    for package in packages.values() {
        let Some((_, _, allowed)) = TABLE
            .iter()
            .find(|(name, ..)| *name == package.name.as_str())
        else {
            panic!("{} is not in the table", package.name);
        };
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            assert!(
                !ours.contains(name) || allowed.contains(&name),
                "{} may not depend on {name}",
                package.name
            );
        }
    }
}

/// Primitives of cryptography; keys and signatures are those of libp2p-identity.
const PRIMITIVES: [&str; 4] = ["hmac", "sha2", "subtle", "zeroize"];

#[test]
fn only_starpoint_crypto_names_primitives() {
    for package in packages(&metadata()).values() {
        let is_crypto = package.name.as_str() == "starpoint-crypto";
        let is_program_of_tests = TABLE
            .iter()
            .any(|(name, side, _)| *name == package.name.as_str() && *side == Side::Tests);
        for dependency in &package.dependencies {
            let is_shipped = dependency.kind == DependencyKind::Normal;
            let is_primitive = PRIMITIVES.contains(&dependency.name.as_str());
            assert!(
                is_crypto || is_program_of_tests || !is_shipped || !is_primitive,
                "{} names {}: add what it needs to starpoint-crypto",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn nothing_that_is_shipped_has_test_support_in_it() {
    let metadata = metadata();
    let is_test = |name: &str| {
        TABLE
            .iter()
            .any(|(listed, side, _)| *listed == name && *side == Side::Tests)
    };
    for (package, ..) in TABLE.iter().filter(|(_, side, _)| *side != Side::Tests) {
        for (name, path) in shipped_with(&metadata, package) {
            assert!(!is_test(&name), "{package} has {name}, by way of {path}");
        }
    }
}

#[test]
fn the_relaying_side_cannot_read_what_it_carries() {
    let metadata = metadata();
    for (name, side, _) in TABLE {
        match side {
            Side::Relay | Side::Shared => assert_absent(&metadata, name, &PEER_PROTOCOLS),
            Side::Peer | Side::Program | Side::Tests => {}
        }
    }
}

#[test]
fn the_peer_side_has_no_part_of_a_server() {
    let metadata = metadata();
    for (name, side, _) in TABLE {
        match side {
            Side::Peer | Side::Shared => assert_absent(&metadata, name, &SERVER_PARTS),
            Side::Relay | Side::Program | Side::Tests => {}
        }
    }
}

fn assert_absent(metadata: &Metadata, package: &str, banned: &[&str]) {
    for (name, path) in shipped_with(metadata, package) {
        assert!(
            !banned.contains(&name.as_str()),
            "{package} has {name}, by way of {path}"
        );
    }
}

/// Returns everything that is compiled into a package, with the way it comes in.
pub(crate) fn shipped_with(metadata: &Metadata, package: &str) -> BTreeMap<String, String> {
    let resolve = metadata.resolve.as_ref().expect("cargo has resolved");
    let edges: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|n| (&n.id, &n.deps)).collect();
    let found = metadata
        .packages
        .iter()
        .find(|p| p.name.as_str() == package);
    let start = found.unwrap_or_else(|| panic!("{package} is in the table and not in the tree"));
    let mut reached = BTreeMap::new();
    let mut open = vec![(&start.id, package.to_owned())];
    while let Some((id, path)) = open.pop() {
        for dependency in edges[id] {
            let kinds = &dependency.dep_kinds;
            let is_shipped = kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
            let name = metadata[&dependency.pkg].name.to_string();
            if is_shipped && !reached.contains_key(&name) {
                let path = format!("{path} > {name}");
                reached.insert(name, path.clone());
                open.push((&dependency.pkg, path));
            }
        }
    }
    reached
}
