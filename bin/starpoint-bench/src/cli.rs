//! The command line, as it was typed.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    compare::{ProxyArgs, Relay},
    modes::throughput::Direction,
    profile::Profile,
};

/// Most peers of one measurement: all reach the server from one address, which has
/// about 28 000 ports.
const MAX_PEERS: i64 = 20_000;

/// Most dials of one pair: a star takes 512 of a connection at once, then 100 a
/// second.
const MAX_DIALS: i64 = 480;

const AFTER_HELP: &str = "\
Examples:
  starpoint-bench throughput --pairs 1,8 --compare relay-v2,tcp,ws
  starpoint-bench idle --peers 5000 --seconds 30
  starpoint-bench e2e --compare relay-v2 --json --svg plots
  starpoint-bench dial --star /ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star --pid 4711
  starpoint-bench tunnel --compare tcp,tls --service-port 5000 --through frp=127.0.0.1:5001

Targets:
  Without --star, `starpoint serve` is started on a free port, afresh for each measurement, and
  killed behind it; --compare does the same with other relays. A star that is given with --star or
  --compare-star runs on, and what it keeps of one round is in its memory in the next.

Layers:
  A star is measured on its own streams, without encryption; `e2e` adds Noise and Yamux in a swarm.
  relay-v2 has no streams without a swarm, so it always has them; tcp and ws never do. `tunnel` runs
  `starpoint expose` and `starpoint open`, and compares with a proxy in front of the service, tcp or tls.

Output:
  A table: for each case and target, the median over the rounds, their spread, and the ratio to the
  median of the star. --json writes an object a line instead: `mode`, `target`, `layers`, `profile`,
  `case`, `rounds`, and `metrics` with `unit`, `median`, `min`, `max` and `ratio` for each.
  CPU and memory are those of the server's process, children not counted.

Exit codes:
  0  everything was measured
  1  the program or the system failed
  2  the command line cannot be understood
  3  a target cannot be started or reached
  4  some measurements failed; the others are reported
  5  --max-seconds are over; what was measured before is reported
  6  a signal; what was measured before is reported";

/// Load and latency of a star, beside other relays
///
/// Everything runs on this machine: the server under load, in a process of its own, and its peers in
/// this one.
#[derive(Debug, Parser)]
#[command(
    name = "starpoint-bench",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = AFTER_HELP
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What a star is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Comparison {
    /// The same star, with peers of the legacy profile
    Legacy,
    /// A libp2p circuit relay v2 without limits, over TCP with Noise and Yamux
    RelayV2,
    /// Copies bytes between two TCP connections, with buffers of 64 KiB
    Tcp,
    /// A proxy that ends TLS and copies bytes; for `tunnel`
    Tls,
    /// Passes messages between two WebSockets, one by one
    Ws,
}

/// What holds for every mode.
#[derive(Debug, Args)]
#[command(next_help_heading = "Targets and output")]
pub(crate) struct Common {
    /// Star to measure [default: one that is started here]
    ///
    /// Start it with --max-peers-per-ip and --max-connections-per-ip above the number of peers: all
    /// of them come from one address, and join as fast as they can.
    #[arg(long, global = true, value_name = "MULTIADDR")]
    pub(crate) star: Option<String>,
    /// Process of --star, for its CPU and memory
    #[arg(long, global = true, value_name = "PID", requires = "star")]
    pub(crate) pid: Option<u32>,
    /// Program to start a star with [default: `starpoint` beside this program]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "star")]
    pub(crate) server: Option<PathBuf>,
    /// Others that each peer of a native star keeps track of; beyond 64 it asks for pages
    ///
    /// All peers come from one address, to which a star gives 32 MiB of pages at once and 1 MiB a
    /// second; those that are refused ask again.
    ///
    /// All of them are in one process here: 10 000 peers that know of each other take 20 GiB.
    #[arg(long, global = true, default_value_t = 64, value_name = "N",
          value_parser = clap::value_parser!(u32).range(0..=MAX_PEERS))]
    pub(crate) remember: u32,
    /// Words that peers use with their star
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub(crate) profile: Profile,
    /// What else to measure in the same rounds
    #[arg(
        long,
        global = true,
        value_enum,
        value_delimiter = ',',
        value_name = "OTHER,..."
    )]
    pub(crate) compare: Vec<Comparison>,
    /// Another star to measure in the same rounds
    #[arg(long, global = true, value_name = "MULTIADDR")]
    pub(crate) compare_star: Option<String>,
    /// Process of --compare-star, for its CPU and memory
    #[arg(long, global = true, value_name = "PID", requires = "compare_star")]
    pub(crate) compare_pid: Option<u32>,
    /// Name of --compare-star in the results
    #[arg(long, global = true, value_name = "NAME", default_value = "star-2")]
    pub(crate) compare_name: String,
    /// Rounds; in each, every target is measured once, one after the other
    #[arg(long, global = true, default_value_t = 3, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Time for everything; what is not measured then is left out
    #[arg(long, global = true, default_value_t = 900, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) max_seconds: u64,
    /// Load stars that are not on this machine; ask whom they belong to first
    #[arg(long, global = true)]
    pub(crate) allow_remote: bool,
    /// Write an object a line instead of a table
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Write a plot of each mode into this folder
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) svg: Option<PathBuf>,
}

/// A mode.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Memory and CPU for peers that have joined and do nothing
    Idle(IdleArgs),
    /// CPU and time of a join, at several numbers of peers that are there
    Join(JoinArgs),
    /// Time of a dial with its first byte there and back; CPU for it, memory left by it
    Dial(DialArgs),
    /// Bytes a second through streams, and CPU for them
    Throughput(ThroughputArgs),
    /// Memory for a reader that stops, and what others notice of it
    SlowReader(SlowReaderArgs),
    /// What peers hear of others that come and go, and CPU for it
    Presence(PresenceArgs),
    /// Throughput and dials of swarms, encryption included
    E2e(E2eArgs),
    /// A TCP service through `expose` and `open`: bytes and requests a second, CPU of all three
    Tunnel(TunnelArgs),
    /// Run a relay until stdin ends
    #[command(hide = true)]
    RunRelay {
        /// Which
        #[arg(value_enum)]
        relay: Relay,
        #[command(flatten)]
        proxy: Option<ProxyArgs>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct IdleArgs {
    /// Peers, at most 20 000; several numbers are several cases
    #[arg(long, value_delimiter = ',', default_value = "1000", value_name = "N,...",
          value_parser = clap::value_parser!(u32).range(1..=MAX_PEERS))]
    pub(crate) peers: Vec<u32>,
    /// How long they are looked at
    #[arg(long, default_value_t = 20, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// Peers that are there before, at most 20 000; several numbers are several cases
    #[arg(long, value_delimiter = ',', default_value = "0,1000", value_name = "N,...",
          value_parser = clap::value_parser!(u32).range(0..=MAX_PEERS))]
    pub(crate) population: Vec<u32>,
    /// Let each join a namespace of its own, so that nobody is told: the join by itself
    #[arg(long)]
    pub(crate) apart: bool,
    /// Joins, four at a time
    #[arg(long, default_value_t = 200, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub(crate) joins: u32,
}

#[derive(Debug, Args)]
pub(crate) struct DialArgs {
    /// Pairs that dial at the same time, at most 256; several numbers are several cases
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "N,...",
          value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) pairs: Vec<u32>,
    /// Dials of each pair, one after the other; a star slows down those who dial more
    #[arg(long, default_value_t = 400, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=MAX_DIALS))]
    pub(crate) dials: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ThroughputArgs {
    /// Pairs at the same time, at most 256; several numbers are several cases
    #[arg(long, value_delimiter = ',', default_value = "1,8", value_name = "N,...",
          value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) pairs: Vec<u32>,
    /// Bytes of each write, at most 1 MiB; several numbers are several cases
    #[arg(long, value_delimiter = ',', default_value = "4096,65536", value_name = "N,...",
          value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(crate) chunk_bytes: Vec<u32>,
    /// Only the caller writes (default)
    #[arg(long, conflicts_with = "both_ways")]
    pub(crate) one_way: bool,
    /// Both ends write; what both receive is counted
    #[arg(long)]
    pub(crate) both_ways: bool,
    /// Flush behind each write, so that each goes out by itself
    #[arg(long)]
    pub(crate) flush: bool,
    /// How long is measured
    #[arg(long, default_value_t = 3, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
}

impl ThroughputArgs {
    pub(crate) fn direction(&self) -> Direction {
        if self.both_ways {
            Direction::BothWays
        } else {
            Direction::OneWay
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct SlowReaderArgs {
    /// What is offered to the reader, at most 4096
    #[arg(long, default_value_t = 256, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) offer_mib: u32,
    /// How long is looked, once without the load and once with it
    #[arg(long, default_value_t = 5, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct PresenceArgs {
    /// Peers that stay, at most 20 000; several numbers are several cases
    #[arg(long, value_delimiter = ',', default_value = "100,1000", value_name = "N,...",
          value_parser = clap::value_parser!(u32).range(1..=MAX_PEERS))]
    pub(crate) peers: Vec<u32>,
    /// Peers that come each second, and go half a second later
    #[arg(long, default_value_t = 10, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) joins_per_second: u32,
    /// How long they come
    #[arg(long, default_value_t = 15, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct E2eArgs {
    /// Pairs at the same time, at most 64; several numbers are several cases
    #[arg(long, value_delimiter = ',', default_value = "1,4", value_name = "N,...",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) pairs: Vec<u32>,
    /// Dials of each pair, one after the other
    #[arg(long, default_value_t = 50, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=MAX_DIALS))]
    pub(crate) dials: u32,
    /// How long throughput is measured
    #[arg(long, default_value_t = 3, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct TunnelArgs {
    /// Connections at the same time, at most 256; several numbers are several cases
    #[arg(long, value_delimiter = ',', default_value = "1,16", value_name = "N,...",
          value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) connections: Vec<u32>,
    /// Requests, each on a connection of its own
    #[arg(long, default_value_t = 2000, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) requests: u32,
    /// Bytes of each answer, at most 16 MiB
    #[arg(long, default_value_t = 1024, value_name = "N",
          value_parser = clap::value_parser!(u32).range(0..=16_777_216))]
    pub(crate) body_bytes: u32,
    /// How long throughput is measured
    #[arg(long, default_value_t = 3, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Port of the service on this machine, 0 for a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(crate) service_port: u16,
    /// Another way to the service, which runs already: a name, and where programs connect
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = through, requires = "service_port")]
    pub(crate) through: Option<(String, SocketAddr)>,
    /// Processes that carry --through, for their CPU
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "PID,...",
        requires = "through"
    )]
    pub(crate) through_pid: Vec<u32>,
}

fn through(text: &str) -> Result<(String, SocketAddr), String> {
    let (name, address) = text.split_once('=').ok_or("no name")?;
    let address = address.parse().map_err(|_| "no address")?;
    Ok((name.to_owned(), address))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
