//! Pure crates take time, randomness and input as parameters.

use cargo_metadata::DependencyKind;
use starpoint_tidy::{comment_free, files, metadata, packages, without_tests};

use crate::arrows::shipped_with;

const PURE: [&str; 3] = ["starpoint-crypto", "starpoint-wire", "starpoint-broker"];

/// Packages with a pure core, and the module of their driver. The driver and its
/// dependencies are behind a feature of the module's name.
const PURE_CORES: [(&str, &str); 1] = [("starpoint-bridge", "driver")];

/// What a pure crate may not name in its manifest, tests included.
const IMPURE: [&str; 14] = [
    "async-std",
    "axum",
    "getrandom",
    "hyper",
    "mio",
    "rand",
    "rustix",
    "smol",
    "socket2",
    "socketioxide",
    "tokio",
    "tokio-util",
    "tracing",
    "tungstenite",
];

/// Parts of [`IMPURE`] that may come in by another package, and why.
const TOLERATED: [(&str, &str); 3] = [
    (
        "getrandom",
        "the signature libraries behind libp2p-identity bring it to make keys, which nobody does here",
    ),
    ("rand", "as getrandom"),
    (
        "tracing",
        "libp2p-identity tells of keys that it cannot read; without a subscriber it does nothing",
    ),
];

/// What the code of a pure crate may not say outside its tests.
const BANNED: [&str; 18] = [
    "Instant::now",
    "SystemTime",
    ".elapsed()",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "ToSocketAddrs",
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
    "thread_local!",
    "OsRng",
    "rand::",
    "getrandom",
    "RandomState",
    "print!",
    "println!",
];

#[test]
fn pure_crates_name_no_impure_dependency() {
    let metadata = metadata();
    for package in packages(&metadata)
        .values()
        .filter(|p| PURE.contains(&p.name.as_str()))
    {
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            assert!(
                !IMPURE.contains(&name),
                "{} is pure and names {name}",
                package.name
            );
        }
    }
}

#[test]
fn pure_crates_bring_no_impure_dependency_in() {
    let metadata = metadata();
    for package in PURE {
        for (name, path) in shipped_with(&metadata, package) {
            let is_tolerated = TOLERATED.iter().any(|(tolerated, _)| *tolerated == name);
            assert!(
                is_tolerated || !IMPURE.contains(&name.as_str()),
                "{package} is pure and has {name}, by way of {path}"
            );
        }
    }
}

/// A dependency that only the driver needs is optional, and only the feature of
/// the driver brings it in.
#[test]
fn pure_cores_leave_impure_dependencies_to_their_driver() {
    let metadata = metadata();
    for (name, driver) in PURE_CORES {
        let packages = packages(&metadata);
        let package = packages.values().find(|p| p.name.as_str() == name);
        let package = package.unwrap_or_else(|| panic!("{name} is not in the tree"));
        for dependency in &package.dependencies {
            let impure = dependency.name.as_str();
            if dependency.kind != DependencyKind::Normal || !IMPURE.contains(&impure) {
                continue;
            }
            assert!(dependency.optional, "{name} always has {impure}");
            let wanted = format!("dep:{impure}");
            for (feature, brings) in &package.features {
                let is_drivers = feature == driver || !brings.contains(&wanted);
                assert!(
                    is_drivers,
                    "{name}: the feature {feature} brings {impure} in"
                );
            }
        }
    }
}

#[test]
fn pure_code_reads_no_clock_and_touches_nothing() {
    let mut n_files = 0;
    for file in files() {
        let is_pure = PURE
            .iter()
            .any(|name| file.path.starts_with(&format!("crates/{name}/src/")));
        let is_core = PURE_CORES.iter().any(|(name, driver)| {
            let source = file.path.strip_prefix(&format!("crates/{name}/src/"));
            source.is_some_and(|path| !path.starts_with(driver))
        });
        let is_test = file.path.ends_with("/tests.rs") || file.path.contains("/tests/");
        if !(is_pure || is_core) || is_test {
            continue;
        }
        n_files += 1;
        for (number, line) in comment_free(without_tests(&file.text)) {
            assert!(
                !is_core || !line.contains("tokio"),
                "{}:{number} names tokio outside the driver",
                file.path
            );
            for banned in BANNED {
                assert!(
                    !line.contains(banned),
                    "{}:{number} says {banned}",
                    file.path
                );
            }
        }
    }
    assert!(
        n_files >= 2 * PURE.len(),
        "only {n_files} files were looked at"
    );
}
