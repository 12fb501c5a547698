//! What a command line means: targets, cases, bounds.

use std::{path::PathBuf, time::Duration};

use libp2p::Multiaddr;
use libp2p_websocket_star::StarAddress;

use crate::{
    cli::{Command, Common, Comparison, ThroughputArgs},
    compare::{ProxyArgs, Relay},
    failure::Failure,
    load::Flush,
    modes::{
        Work, dial::Dial, e2e::E2e, idle::Idle, join::Join, presence::Presence,
        slow_reader::SlowReader, throughput::Throughput, tunnel::Tunnel,
    },
    profile::Profile,
    target::{Source, Target},
};

/// Name of the star that the others are compared with.
const STAR: &str = "star";

/// Name of the same star with peers of the legacy profile.
const LEGACY: &str = "legacy";

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Plan {
    Measure(Measure),
    Relay(Relay, Option<ProxyArgs>),
}

/// What is to be measured, and how it is told.
#[derive(Debug)]
pub(crate) struct Measure {
    pub(crate) works: Vec<Work>,
    /// The first one is what the others are compared with.
    pub(crate) targets: Vec<Target>,
    pub(crate) rounds: u32,
    pub(crate) max_time: Duration,
    pub(crate) form: Form,
    pub(crate) svg: Option<PathBuf>,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Table,
    Json,
}

impl Plan {
    /// Checks what was typed.
    ///
    /// # Errors
    ///
    /// An address that is not that of a star, a star elsewhere without consent, or
    /// no program to start a star with.
    pub(crate) fn new(command: Command, common: Common) -> Result<Self, Failure> {
        let through = through(&command, &common);
        let works = match works(command) {
            Ok(works) => works,
            Err((relay, proxy)) => return Ok(Self::Relay(relay, proxy)),
        };
        Ok(Self::Measure(Measure {
            works,
            targets: targets(&common)?.into_iter().chain(through).collect(),
            rounds: common.rounds,
            max_time: Duration::from_secs(common.max_seconds),
            form: if common.json { Form::Json } else { Form::Table },
            svg: common.svg,
        }))
    }
}

/// Returns the cases of a mode, or the relay that is to be run.
fn works(command: Command) -> Result<Vec<Work>, (Relay, Option<ProxyArgs>)> {
    let seconds = Duration::from_secs;
    Ok(match command {
        Command::Idle(args) => each(&args.peers, |n_peers| {
            let hold = seconds(args.seconds);
            Work::Idle(Idle { n_peers, hold })
        }),
        Command::Join(args) => each(&args.population, |population| {
            let n_joins = args.joins as usize;
            Work::Join(Join {
                population,
                n_joins,
                apart: args.apart,
            })
        }),
        Command::Dial(args) => each(&args.pairs, |n_pairs| {
            let n_dials = args.dials as usize;
            Work::Dial(Dial { n_pairs, n_dials })
        }),
        Command::Throughput(args) => throughput(&args),
        Command::SlowReader(args) => vec![Work::SlowReader(SlowReader {
            offer_mib: args.offer_mib as usize,
            window: seconds(args.seconds),
        })],
        Command::Presence(args) => each(&args.peers, |n_peers| {
            Work::Presence(Presence {
                n_peers,
                joins_per_second: args.joins_per_second as usize,
                window: seconds(args.seconds),
            })
        }),
        Command::E2e(args) => each(&args.pairs, |n_pairs| {
            Work::E2e(E2e {
                n_pairs,
                n_dials: args.dials as usize,
                window: seconds(args.seconds),
            })
        }),
        Command::Tunnel(args) => each(&args.connections, |n_connections| {
            Work::Tunnel(Tunnel {
                n_connections,
                n_requests: args.requests as usize,
                body_bytes: args.body_bytes,
                window: seconds(args.seconds),
                service_port: args.service_port,
            })
        }),
        Command::RunRelay { relay, proxy } => return Err((relay, proxy)),
    })
}

/// Returns the way to a service that runs already, if one is named.
fn through(command: &Command, common: &Common) -> Option<Target> {
    let Command::Tunnel(args) = command else {
        return None;
    };
    let (name, address) = args.through.clone()?;
    let pids = args.through_pid.clone();
    Some(Target {
        name,
        source: Source::Through { address, pids },
        profile: common.profile,
        remember: 0,
    })
}

fn each(numbers: &[u32], work: impl Fn(usize) -> Work) -> Vec<Work> {
    numbers.iter().map(|n| work(*n as usize)).collect()
}

fn throughput(args: &ThroughputArgs) -> Vec<Work> {
    let mut works = Vec::new();
    for n_pairs in &args.pairs {
        works.extend(each(&args.chunk_bytes, |chunk_bytes| {
            Work::Throughput(Throughput {
                n_pairs: *n_pairs as usize,
                chunk_bytes,
                direction: args.direction(),
                flush: if args.flush {
                    Flush::Each
                } else {
                    Flush::Never
                },
                window: Duration::from_secs(args.seconds),
            })
        }));
    }
    works
}

fn targets(common: &Common) -> Result<Vec<Target>, Failure> {
    let remember = common.remember as usize;
    let source = match &common.star {
        Some(text) => Source::GivenStar {
            address: star_address(text, common.allow_remote)?,
            pid: common.pid,
            program: server(common).ok(),
        },
        None => Source::OwnStar {
            server: server(common)?,
        },
    };
    let mut targets = vec![Target {
        name: STAR.to_owned(),
        source,
        profile: common.profile,
        remember,
    }];
    if let Some(text) = &common.compare_star {
        let source = Source::GivenStar {
            address: star_address(text, common.allow_remote)?,
            pid: common.compare_pid,
            program: server(common).ok(),
        };
        targets.push(Target {
            name: common.compare_name.clone(),
            source,
            profile: common.profile,
            remember,
        });
    }
    for comparison in &common.compare {
        let relay = match comparison {
            Comparison::Legacy => {
                targets.push(Target {
                    name: LEGACY.to_owned(),
                    source: targets[0].source.clone(),
                    profile: Profile::Legacy,
                    remember,
                });
                continue;
            }
            Comparison::RelayV2 => Relay::RelayV2,
            Comparison::Tcp => Relay::Tcp,
            Comparison::Tls => Relay::Tls,
            Comparison::Ws => Relay::Ws,
        };
        targets.push(Target {
            name: relay.name().to_owned(),
            source: Source::Relay(relay),
            profile: common.profile,
            remember,
        });
    }
    Ok(targets)
}

fn star_address(text: &str, allow_remote: bool) -> Result<StarAddress, Failure> {
    let multiaddr = text.parse::<Multiaddr>();
    let address = multiaddr.ok().and_then(|a| StarAddress::try_from(&a).ok());
    let Some(address) = address else {
        return Err(Failure::usage(
            format!("{text:?} is not the address of a star"),
            "an address looks like /ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star",
        ));
    };
    if !is_loopback(&address.host()) && !allow_remote {
        return Err(Failure::usage(
            format!("{} is not on this machine", address.host()),
            "a load is an attack on a star whose operator does not expect it; \
             --allow-remote says that this one does",
        ));
    }
    Ok(address.without_peer())
}

fn is_loopback(host: &str) -> bool {
    let ip = host.parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

fn server(common: &Common) -> Result<PathBuf, Failure> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("starpoint"));
    match common.server.clone().or_else(beside) {
        Some(server) if server.is_file() => Ok(server),
        Some(_) | None => Err(Failure::usage(
            "there is no program to start a star with",
            "build it with `cargo build --release -p starpoint`, \
             or name it with --server, or a running star with --star",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stars_on_this_machine_are_loaded_without_consent() {
        let at = |host: &str| format!("{host}/tcp/9090/ws/p2p-websocket-star");
        for host in [
            "/ip4/127.0.0.1",
            "/ip4/127.9.9.9",
            "/ip6/::1",
            "/dns4/localhost",
        ] {
            assert!(star_address(&at(host), false).is_ok(), "{host}");
        }
        for host in [
            "/ip4/10.0.0.1",
            "/dns4/star.example",
            "/dns4/127.0.0.1.example",
        ] {
            assert!(star_address(&at(host), false).is_err(), "{host}");
            assert!(star_address(&at(host), true).is_ok(), "{host}");
        }
        assert!(star_address("/ip4/127.0.0.1/tcp/9090", true).is_err());
    }
}
