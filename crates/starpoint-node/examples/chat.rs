//! A chat over a request-response protocol, across a star.
//!
//! ```sh
//! cargo run --example chat -- /ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star
//! cargo run --example chat -- <star> <address that the first one prints> "hello there"
//! ```
//!
//! The first form shows what it is told, and answers. The second says one thing,
//! shows the answer and ends.

use std::error::Error;

use futures_util::StreamExt as _;
use libp2p::{
    Multiaddr, StreamProtocol, Swarm, SwarmBuilder, Transport as _,
    core::upgrade::Version,
    multiaddr::Protocol,
    noise,
    request_response::{self, Message, ProtocolSupport, cbor},
    swarm::{NetworkBehaviour, SwarmEvent},
    yamux,
};
use libp2p_websocket_star as websocket_star;

#[derive(NetworkBehaviour)]
struct Behaviour {
    star: websocket_star::Behaviour,
    chat: cbor::Behaviour<String, String>,
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a program looks at what concerns it"
)]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let star: Multiaddr = arguments.next().ok_or("name a star")?.parse()?;
    let mut swarm = build()?;
    swarm.listen_on(star)?;
    if let Some(address) = arguments.next() {
        say(
            &mut swarm,
            address.parse()?,
            arguments.next().unwrap_or_default(),
        )?;
    }

    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => report(&address.to_string()),
            SwarmEvent::Behaviour(BehaviourEvent::Chat(event)) => {
                let answer = heard(&mut swarm, event)?;
                if answer.is_some() {
                    return Ok(());
                }
            }
            _ => {}
        }
    }
}

fn build() -> Result<Swarm<Behaviour>, Box<dyn Error>> {
    let key = libp2p::identity::Keypair::generate_ed25519();
    let (star, behaviour) = websocket_star::new(websocket_star::Config::default(), key.clone());
    let protocols = [(StreamProtocol::new("/chat/1"), ProtocolSupport::Full)];
    let chat = cbor::Behaviour::new(protocols, request_response::Config::default());
    Ok(SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_other_transport(|key| {
            let noise = noise::Config::new(key)?;
            Ok(star
                .upgrade(Version::V1)
                .authenticate(noise)
                .multiplex(yamux::Config::default()))
        })?
        .with_behaviour(|_| Behaviour {
            star: behaviour,
            chat,
        })?
        .build())
}

/// Sends a text to the peer at `address`; the swarm dials by itself.
fn say(
    swarm: &mut Swarm<Behaviour>,
    address: Multiaddr,
    text: String,
) -> Result<(), Box<dyn Error>> {
    let Some(Protocol::P2p(peer)) = address.iter().last() else {
        return Err("the address has no peer id".into());
    };
    swarm.add_peer_address(peer, address);
    swarm.behaviour_mut().chat.send_request(&peer, text);
    Ok(())
}

/// Answers what others say; returns the answer to what was said here.
fn heard(
    swarm: &mut Swarm<Behaviour>,
    event: request_response::Event<String, String>,
) -> Result<Option<String>, Box<dyn Error>> {
    match event {
        request_response::Event::Message { peer, message, .. } => match message {
            Message::Request {
                request, channel, ..
            } => {
                report(&format!("{peer}: {request}"));
                let answer = format!("{} characters, thank you", request.chars().count());
                // The other side may have gone.
                let _ = swarm.behaviour_mut().chat.send_response(channel, answer);
                Ok(None)
            }
            Message::Response { response, .. } => {
                report(&format!("{peer}: {response}"));
                Ok(Some(response))
            }
        },
        request_response::Event::OutboundFailure { error, .. } => Err(error.into()),
        request_response::Event::InboundFailure { .. }
        | request_response::Event::ResponseSent { .. } => Ok(None),
    }
}

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn report(line: &str) {
    println!("{line}");
}
