//! Requests and responses.

use std::collections::BTreeSet;

use libp2p::{
    StreamProtocol, Swarm, SwarmBuilder, Transport as _,
    core::{muxing::StreamMuxerBox, upgrade},
    futures::StreamExt as _,
    identity::Keypair,
    noise,
    request_response::{self as requests, ProtocolSupport},
    swarm::{NetworkBehaviour, SwarmEvent},
    yamux,
};
use libp2p_websocket_star as websocket_star;
use serde::{Deserialize, Serialize};
use starpoint_test_support::{DEADLINE, within};

use crate::peer::{config, peer_address, star, star_address};

const MIB: usize = 1024 * 1024;
const N_REQUESTS: usize = 100;
/// The last of them.
const LARGE: usize = N_REQUESTS - 1;

#[derive(Debug, Deserialize, Serialize)]
struct Request {
    number: usize,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Response {
    number: usize,
    text: String,
}

impl Response {
    fn to(number: usize) -> Self {
        let n_bytes = if number == LARGE { MIB } else { number };
        let letters = (0..n_bytes).map(|i| char::from(b'a' + (i % 23) as u8));
        Self {
            number,
            text: letters.collect(),
        }
    }
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    star: websocket_star::Behaviour,
    requests: requests::cbor::Behaviour<Request, Response>,
}

fn swarm() -> Swarm<Behaviour> {
    let keypair = Keypair::generate_ed25519();
    let (transport, star) = websocket_star::new(config(), keypair.clone());
    let transport = transport
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise::Config::new(&keypair).unwrap())
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed();
    let protocol = StreamProtocol::new("/test/requests/1");
    let settings = requests::Config::default().with_request_timeout(DEADLINE);
    SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_other_transport(|_| transport)
        .unwrap()
        .with_behaviour(|_| Behaviour {
            star,
            requests: requests::cbor::Behaviour::new([(protocol, ProtocolSupport::Full)], settings),
        })
        .unwrap()
        .with_swarm_config(|c| c.with_idle_connection_timeout(2 * DEADLINE))
        .build()
}

/// Answers for ever.
async fn serve(mut swarm: Swarm<Behaviour>) {
    loop {
        let event = swarm.select_next_some().await;
        if let SwarmEvent::Behaviour(BehaviourEvent::Requests(requests::Event::Message {
            message: requests::Message::Request {
                request, channel, ..
            },
            ..
        })) = event
        {
            let response = Response::to(request.number);
            let requests = &mut swarm.behaviour_mut().requests;
            requests.send_response(channel, response).unwrap();
        }
    }
}

async fn live(port: u16) -> Swarm<Behaviour> {
    let mut swarm = swarm();
    swarm.listen_on(star_address(port)).unwrap();
    let home = async {
        while !matches!(
            swarm.select_next_some().await,
            SwarmEvent::NewListenAddr { .. }
        ) {}
    };
    within("home", home).await;
    swarm
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_25_a_hundred_requests_at_once_one_response_of_a_mebibyte() {
    let star = star().await;
    let server = live(star.port()).await;
    let other = *server.local_peer_id();
    let serving = tokio::spawn(serve(server));
    let mut swarm = swarm();
    swarm.add_peer_address(other, peer_address(star.port(), other));
    let requests = &mut swarm.behaviour_mut().requests;
    for number in 0..N_REQUESTS {
        requests.send_request(&other, Request { number });
    }
    let mut missing: BTreeSet<_> = (0..N_REQUESTS).collect();
    let answers = async {
        while !missing.is_empty() {
            match swarm.select_next_some().await {
                SwarmEvent::Behaviour(BehaviourEvent::Requests(requests::Event::Message {
                    message: requests::Message::Response { response, .. },
                    ..
                })) => {
                    assert!(missing.remove(&response.number), "answered twice");
                    assert!(response == Response::to(response.number));
                }
                SwarmEvent::Behaviour(BehaviourEvent::Requests(
                    requests::Event::OutboundFailure { error, .. },
                )) => panic!("{error}"),
                _ => {}
            }
        }
    };
    within("all answers", answers).await;
    serving.abort();
    star.stop().await;
}
