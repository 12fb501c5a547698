//! Beside other transports and behaviours.

use std::{future::poll_fn, task::Poll};

use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, Transport as _,
    core::{
        muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerExt as _},
        transport::{DialOpts, ListenerId, PortUse, TransportEvent},
        upgrade,
    },
    dns,
    futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _, future::join_all},
    gossipsub, identify,
    identity::Keypair,
    kad, noise, ping, quic, relay,
    swarm::{DialError, NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use libp2p_websocket_star::{self as websocket_star, Error};
use starpoint_test_support::{DEADLINE, within};

use crate::peer::{config, peer_address, star, star_address};

#[derive(NetworkBehaviour)]
struct Everything {
    star: websocket_star::Behaviour,
    relay: relay::client::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    gossipsub: gossipsub::Behaviour,
    kad: kad::Behaviour<kad::store::MemoryStore>,
}

type Event = SwarmEvent<EverythingEvent>;

fn swarm() -> Swarm<Everything> {
    let keypair = Keypair::generate_ed25519();
    let own = keypair.public().to_peer_id();
    let (star_transport, star) = websocket_star::new(config(), keypair.clone());
    let (relay_transport, relay) = relay::client::new(own);
    let noise = noise::Config::new(&keypair).unwrap();
    let quic = quic::tokio::Transport::new(quic::Config::new(&keypair))
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let direct = tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise.clone())
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .or_transport(quic)
        .map(|either, _| either.into_inner());
    let transport = star_transport
        .or_transport(relay_transport)
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .or_transport(dns::tokio::Transport::system(direct).unwrap())
        .map(|either, _| either.into_inner())
        .boxed();
    let gossip_config = gossipsub::ConfigBuilder::default()
        .heartbeat_interval(std::time::Duration::from_millis(100))
        .build()
        .unwrap();
    let signed = gossipsub::MessageAuthenticity::Signed(keypair.clone());
    let behaviour = Everything {
        star,
        relay,
        identify: identify::Behaviour::new(identify::Config::new(
            "/test/1".into(),
            keypair.public(),
        )),
        ping: ping::Behaviour::default(),
        gossipsub: gossipsub::Behaviour::new(signed, gossip_config).unwrap(),
        kad: kad::Behaviour::new(own, kad::store::MemoryStore::new(own)),
    };
    SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_other_transport(|_| transport)
        .unwrap()
        .with_behaviour(|_| behaviour)
        .unwrap()
        .with_swarm_config(|c| c.with_idle_connection_timeout(2 * DEADLINE))
        .build()
}

/// Drives all swarms until an event of one is what `wanted` wants.
async fn until<T>(
    swarms: &mut [Swarm<Everything>],
    what: &str,
    mut wanted: impl FnMut(usize, &mut Swarm<Everything>, Event) -> Option<T>,
) -> T {
    let search = poll_fn(|cx| {
        for (index, swarm) in swarms.iter_mut().enumerate() {
            while let Poll::Ready(Some(event)) = swarm.poll_next_unpin(cx) {
                if let Some(found) = wanted(index, swarm, event) {
                    return Poll::Ready(found);
                }
            }
        }
        Poll::Pending
    });
    within(what, search).await
}

/// Three swarms that are live at the star and connected in a row.
async fn three_in_a_row(port: u16) -> Vec<Swarm<Everything>> {
    let mut swarms = vec![swarm(), swarm(), swarm()];
    let mut n_live = 0;
    for swarm in &mut swarms {
        swarm.listen_on(star_address(port)).unwrap();
    }
    until(&mut swarms, "three homes", |_, _, event| {
        n_live += u32::from(matches!(event, SwarmEvent::NewListenAddr { .. }));
        (n_live == 3).then_some(())
    })
    .await;
    for index in [0, 1] {
        let next = *swarms[index + 1].local_peer_id();
        let address = peer_address(port, next);
        swarms[index].dial(address.clone()).unwrap();
        swarms[index]
            .behaviour_mut()
            .kad
            .add_address(&next, address);
    }
    let mut n_identified = 0;
    until(&mut swarms, "four identifications", |_, _, event| {
        let is_received = matches!(
            event,
            SwarmEvent::Behaviour(EverythingEvent::Identify(identify::Event::Received { .. }))
        );
        n_identified += u32::from(is_received);
        (n_identified == 4).then_some(())
    })
    .await;
    swarms
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_25_identify_gossipsub_and_kad_work_over_a_star() {
    let star = star().await;
    let mut swarms = three_in_a_row(star.port()).await;
    let topic = gossipsub::IdentTopic::new("news");
    for swarm in &mut swarms {
        swarm.behaviour_mut().gossipsub.subscribe(&topic).unwrap();
    }
    let mut is_sent = false;
    until(
        &mut swarms,
        "gossip through the middle",
        |index, swarm, event| {
            let gossipsub = &mut swarm.behaviour_mut().gossipsub;
            if index == 0 && !is_sent && gossipsub.all_mesh_peers().count() > 0 {
                is_sent = gossipsub.publish(topic.clone(), b"hello").is_ok();
            }
            match event {
                SwarmEvent::Behaviour(EverythingEvent::Gossipsub(gossipsub::Event::Message {
                    message,
                    ..
                })) if index == 2 => (message.data == b"hello").then_some(()),
                _ => None,
            }
        },
    )
    .await;
    let record = kad::Record::new(b"key".to_vec(), b"value".to_vec());
    let kad = &mut swarms[0].behaviour_mut().kad;
    kad.put_record(record, kad::Quorum::One).unwrap();
    let mut is_asked = false;
    until(&mut swarms, "a put and a get", |index, swarm, event| {
        let SwarmEvent::Behaviour(EverythingEvent::Kad(kad::Event::OutboundQueryProgressed {
            result,
            ..
        })) = event
        else {
            return None;
        };
        match result {
            kad::QueryResult::PutRecord(put) if index == 0 => {
                put.unwrap();
                swarm
                    .behaviour_mut()
                    .kad
                    .get_record(kad::RecordKey::new(b"key"));
                is_asked = true;
                None
            }
            kad::QueryResult::GetRecord(Ok(kad::GetRecordOk::FoundRecord(found))) => {
                (found.record.value == b"value").then_some(())
            }
            _ => None,
        }
    })
    .await;
    assert!(is_asked);
    star.stop().await;
}

/// Dials from the first swarm; returns the address of the connection.
async fn dialed(swarms: &mut [Swarm<Everything>], address: Multiaddr) -> Multiaddr {
    swarms[0].dial(address.clone()).unwrap();
    until(swarms, "a connection", |index, _, event| match event {
        SwarmEvent::ConnectionEstablished { endpoint, .. } if index == 0 => {
            Some(endpoint.get_remote_address().clone())
        }
        SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{address}: {error:?}"),
        _ => None,
    })
    .await
}

/// Dials from the first swarm, in vain.
async fn refused(swarms: &mut [Swarm<Everything>], address: Multiaddr) -> DialError {
    swarms[0].dial(address).unwrap();
    until(swarms, "a failed dial", |index, _, event| match event {
        SwarmEvent::OutgoingConnectionError { error, .. } if index == 0 => Some(error),
        _ => None,
    })
    .await
}

fn is_of_relay(error: &DialError) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = match error {
        DialError::Transport(errors) => Some(&errors[0].1),
        _ => None,
    };
    while let Some(error) = next {
        if error.is::<relay::outbound::hop::ConnectError>() {
            return true;
        }
        next = match error.downcast_ref().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_26_beside_relay_dns_tcp_and_quic_each_address_reaches_its_own_transport() {
    let star = star().await;
    let mut swarms = vec![swarm(), swarm()];
    let other = *swarms[1].local_peer_id();
    let port = star.port();
    let direct = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"];
    let homes = direct.map(|address| address.parse().unwrap());
    let mut addresses = Vec::new();
    for home in homes.into_iter().chain([star_address(port)]) {
        swarms[1].listen_on(home).unwrap();
    }
    until(&mut swarms, "three listeners", |_, _, event| {
        if let SwarmEvent::NewListenAddr { address, .. } = event {
            addresses.push(address.to_string());
        }
        (addresses.len() == 3).then_some(())
    })
    .await;
    let local = |part| addresses.iter().find(|a| a.contains(part)).unwrap().clone();
    let tcp = addresses
        .iter()
        .find(|a| !a.contains("/ws") && a.contains("/tcp"));
    let (tcp, quic) = (tcp.unwrap().clone(), local("/quic-v1"));
    let by_name = |address: &str| address.replace("/ip4/127.0.0.1", "/dns4/localhost");
    let at_star = star_address(port).to_string();
    for address in [&at_star, &format!("{at_star}/p2p-circuit"), &tcp, &quic] {
        for spelled in [address.clone(), by_name(address)] {
            let expected: Multiaddr = format!("{spelled}/p2p/{other}").parse().unwrap();
            assert_eq!(dialed(&mut swarms, expected.clone()).await, expected);
        }
    }

    let nobody = PeerId::random();
    let error = refused(&mut swarms, peer_address(port, nobody)).await;
    let errors = crate::peer::star_errors(&error);
    assert!(matches!(errors[..], [Error::PeerNotFound]), "{errors:?}");
    for relay in [&tcp, &quic] {
        let address = format!("{relay}/p2p/{other}/p2p-circuit/p2p/{nobody}");
        let error = refused(&mut swarms, address.parse().unwrap()).await;
        assert!(is_of_relay(&error), "{error:?}");
    }
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_23_two_hundred_and_fifty_six_substreams_at_once() {
    const N_STREAMS: usize = 256;
    let star = star().await;
    let (dialer, listener) = (muxed(), muxed());
    let ((mut left, _), (mut right, own)) = (dialer, listener);
    right
        .listen_on(ListenerId::next(), star_address(star.port()))
        .unwrap();
    let (to_upgrade, mut upgrade) = tokio::sync::mpsc::unbounded_channel();
    let (is_live, live) = tokio::sync::oneshot::channel();
    let mut is_live = Some(is_live);
    let right_driver = tokio::spawn(poll_fn(move |cx| {
        while let Poll::Ready(event) = std::pin::Pin::new(&mut right).poll(cx) {
            match event {
                TransportEvent::NewAddress { .. } => {
                    let _ = is_live.take().map(|live| live.send(()));
                }
                TransportEvent::Incoming { upgrade, .. } => {
                    to_upgrade.send(upgrade).expect("the test takes it");
                }
                _ => {}
            }
        }
        Poll::<()>::Pending
    }));
    within("home", live).await.unwrap();
    let opts = DialOpts {
        role: libp2p::core::Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let dial = left.dial(peer_address(star.port(), own), opts).unwrap();
    let left_driver = tokio::spawn(poll_fn(move |cx| {
        while std::pin::Pin::new(&mut left).poll(cx).is_ready() {}
        Poll::<()>::Pending
    }));
    let accept = async { upgrade.recv().await.unwrap().await };
    let both = async { tokio::join!(dial, accept) };
    let (there, here) = within("upgrade", both).await;
    let (mut there, mut here) = (there.unwrap().1, here.unwrap().1);
    let echo = tokio::spawn(poll_fn(move |cx| {
        while let Poll::Ready(stream) = here.poll_inbound_unpin(cx) {
            let Ok(stream) = stream else {
                return Poll::Ready(());
            };
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                libp2p::futures::io::copy(&mut reader, &mut writer)
                    .await
                    .unwrap();
                writer.close().await.unwrap();
            });
        }
        let _ = here.poll_unpin(cx);
        Poll::Pending
    }));
    let (to_test, mut streams) = tokio::sync::mpsc::unbounded_channel();
    let mut n_open = 0;
    let opener = tokio::spawn(poll_fn(move |cx| {
        while n_open < N_STREAMS
            && let Poll::Ready(stream) = there.poll_outbound_unpin(cx)
        {
            n_open += 1;
            to_test.send(stream.unwrap()).expect("the test takes it");
        }
        let _ = there.poll_unpin(cx);
        Poll::<()>::Pending
    }));
    let mut tasks = Vec::new();
    for index in 0..N_STREAMS {
        let stream = within("substream", streams.recv()).await.unwrap();
        tasks.push(tokio::spawn(exchange(stream, index)));
    }
    for done in within("echoes", join_all(tasks)).await {
        done.unwrap();
    }
    for task in [right_driver, left_driver, echo, opener] {
        task.abort();
    }
    star.stop().await;
}

type Muxed = libp2p::core::transport::Boxed<(PeerId, StreamMuxerBox)>;

fn muxed() -> (Muxed, PeerId) {
    let keypair = Keypair::generate_ed25519();
    let own = keypair.public().to_peer_id();
    let (transport, behaviour) = websocket_star::new(config(), keypair.clone());
    drop(behaviour);
    let transport = transport
        .upgrade(upgrade::Version::V1)
        .authenticate(noise::Config::new(&keypair).unwrap())
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed();
    (transport, own)
}

async fn exchange(stream: <StreamMuxerBox as StreamMuxer>::Substream, index: usize) {
    let sent = vec![(index % 251) as u8; 16 * 1024];
    let (mut reader, mut writer) = stream.split();
    let write = async {
        writer.write_all(&sent).await.unwrap();
        writer.close().await.unwrap();
    };
    let mut received = Vec::new();
    let ((), n_read) = libp2p::futures::join!(write, reader.read_to_end(&mut received));
    n_read.unwrap();
    assert!(received == sent);
}
