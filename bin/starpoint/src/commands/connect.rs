//! `starpoint connect`: stdin and stdout through a connection.

use std::time::Duration;

use clap::Args;
use starpoint_node::{Multiaddr, Node, PeerId, Stream};

use crate::{
    commands::pipe::{self, PIPE, converse::converse, raw},
    setup::{
        args::{self, OutputArgs, PassingKeyArgs, TrustArgs},
        node,
    },
    ui::{
        error::Failure,
        exit::Exit,
        report::{PipeReport, Reporter},
    },
};

/// Longest wait for the other side to serve the stream. R-NETCAT-2.
const GREETING_DEADLINE: Duration = Duration::from_secs(10);

const AFTER_HELP: &str = "\
Examples:
  starpoint connect /dns4/star.example/tcp/443/wss/p2p-websocket-star/p2p/12D3Koo... < letter
  starpoint connect --raw /ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star/ipfs/QmZ...";

const AFTER_LONG_HELP: &str = "\
Examples:
  Send a file to a peer that runs `starpoint listen`:
    starpoint connect /dns4/star.example/tcp/443/wss/p2p-websocket-star/p2p/12D3Koo... < letter

  Talk to an original JavaScript peer:
    starpoint connect --raw /ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star/ipfs/QmZ...

Output:
  What comes goes to stdout. What happens goes to stderr: `connected <peer>` and `ended <peer>`. With
  --json these are objects with `event`, `peer`, and `address` or `sent_bytes` and `received_bytes`.

Exit codes:
  0   both directions have ended
  7   the star cannot be used
  8   the peer is not there
  9   the peer refuses
  10  another peer or star answers
  11  nobody answers in time
  12  the connection broke
  13  the key cannot be used";

/// Send stdin to a peer, and write what comes to stdout
///
/// The stream is encrypted from end to end and its peer is proved by key. The end of stdin ends the
/// own direction; the other one goes on until the peer ends it.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, after_long_help = AFTER_LONG_HELP)]
pub(crate) struct RawArgs {
    /// Where the peer is: an address that ends with its id
    #[arg(value_name = "MULTIADDR", value_parser = args::multiaddr)]
    address: Multiaddr,

    /// Send the bytes as they are, without Noise and Yamux
    ///
    /// For original JavaScript peers, and for debugging. The star can read along, and nobody proves
    /// who the peer is.
    #[arg(long)]
    raw: bool,

    #[command(flatten)]
    key: PassingKeyArgs,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// Does what `args` ask for.
///
/// # Errors
///
/// The peer cannot be reached, or the connection breaks.
pub(crate) fn execute(args: &RawArgs) -> Result<Exit, Failure> {
    node::messages(&args.output)?;
    let keypair = node::passing_key(&args.key)?;
    let star = node::star_config(&args.trust)?;
    let reporter = Reporter::stderr(args.output.json);
    if args.raw {
        return node::run(raw::connect(star, keypair, &args.address, reporter));
    }
    let config = node::node_config(keypair, star, Vec::new());
    node::run(async {
        let (node, _events) = starpoint_node::start(config)?;
        let peer = node.dial(args.address.clone()).await?;
        let stream = open(&node, peer).await?;
        reporter.tell(&PipeReport::Connected {
            peer: peer.to_string(),
            address: Some(args.address.to_string()),
        })?;
        converse(&node, peer, stream, reporter).await
    })
}

/// Opens a stream that the peer serves.
async fn open(node: &Node, peer: PeerId) -> Result<Stream, Failure> {
    let mut stream = node.open_stream(peer, PIPE).await?;
    pipe::greeted(&mut stream, GREETING_DEADLINE).await?;
    Ok(stream)
}
