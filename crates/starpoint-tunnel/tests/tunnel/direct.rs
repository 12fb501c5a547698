//! A tunnel over a connection without a star.

use starpoint_node::Multiaddr;
use starpoint_test_support::{Star, within};
use starpoint_tunnel::client::{self, State};

use crate::{
    services::{Service, body, get, http},
    stage::{Guest, Stage, start},
};

fn is_direct(address: &Multiaddr) -> bool {
    !address.to_string().contains("/ws/")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_connection_carries_a_tunnel_without_its_star() {
    let service = Service::new(http);
    let mut stage = Stage::listening([&service.address.to_string()]).await;
    let direct = within("a direct address", async {
        loop {
            let addresses = stage.node.addresses().await.unwrap();
            if let Some(address) = addresses.into_iter().find(is_direct) {
                return address;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let code = stage.code().await;
    let node = start(Vec::new());
    within("a direct dial", node.dial(direct)).await.unwrap();
    let mut guest = Guest::with_node(node, code, client::Config::default())
        .await
        .unwrap();
    let address = guest.listen();
    assert_eq!(get(address, 100_000).await, body(100_000));

    drop(std::mem::replace(&mut stage.star, Star::with_args([])));
    assert_eq!(get(address, 1_000_000).await, body(1_000_000));
    let state = guest.client.state().borrow().clone();
    assert!(matches!(state, State::Open { .. }), "{state:?}");
}
