//! Redis, and a small store for machines without it.

mod resp;
mod store;

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use starpoint_test_support::within;
use tokio::net::TcpStream;

use self::resp::{Connection, Value};
use crate::{
    services::{Service, body},
    stage::{Stage, connect},
};

/// Keys that are set, and read again, without waiting for answers in between.
const N_KEYS: usize = 1_000;

/// A Redis that keeps nothing. Killed when dropped.
struct Redis {
    child: Child,
    address: SocketAddr,
}

impl Redis {
    /// Starts it; `None` on a machine without Redis.
    async fn start() -> Option<Self> {
        // It does not choose a port itself, and another program may be faster.
        for _ in 0..10 {
            let mut redis = Self::spawn(free_port())?;
            if within("Redis to listen or to end", redis.listens()).await {
                return Some(redis);
            }
        }
        panic!("Redis ends, whatever its port");
    }

    fn spawn(address: SocketAddr) -> Option<Self> {
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { child, address })
    }

    /// Waits until it answers. Returns `false` when it has ended instead.
    async fn listens(&mut self) -> bool {
        loop {
            let status = self.child.try_wait();
            if status.expect("it is a child").is_some() {
                return false;
            }
            if let Ok(socket) = TcpStream::connect(self.address).await {
                let mut connection = Connection::new(socket);
                connection.send(&[b"PING"]).await;
                return connection.receive().await == Value::simple("PONG");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Fails only if it has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound")
}

/// Uses a store as programs do.
async fn is_of_use(store: SocketAddr) {
    let (_stage, _guest, address) = Stage::between(store).await;
    let mut client = Connection::new(connect(address).await);
    within("a thousand keys", takes_a_pipeline(&mut client)).await;
    within("a large value", keeps_a_large_value(&mut client)).await;
    let mut subscriber = Connection::new(connect(address).await);
    within("the news", tells_news(&mut client, &mut subscriber)).await;
    client.send(&[b"QUIT"]).await;
    assert_eq!(client.receive().await, Value::simple("OK"));
    assert!(within("the end", client.has_ended()).await);
}

async fn takes_a_pipeline(client: &mut Connection) {
    let value = |n: usize| body(n * 13 % 4_000);
    let mut requests = Vec::new();
    for n in 0..N_KEYS {
        let key = format!("key:{n}");
        requests.extend(resp::request(&[b"SET", key.as_bytes(), &value(n)]));
    }
    for n in (0..N_KEYS).rev() {
        let key = format!("key:{n}");
        requests.extend(resp::request(&[b"GET", key.as_bytes()]));
    }
    let (sending, answers) = client.halves();
    let receiving = async {
        for n in 0..N_KEYS {
            assert_eq!(answers.receive().await, Value::simple("OK"), "key {n}");
        }
        for n in (0..N_KEYS).rev() {
            assert_eq!(answers.receive().await, Value::Bulk(value(n)), "key {n}");
        }
    };
    tokio::join!(resp::send_all(sending, &requests), receiving);
    client.send(&[b"GET", b"key:none"]).await;
    assert_eq!(client.receive().await, Value::Nothing);
}

async fn keeps_a_large_value(client: &mut Connection) {
    let large = body(8 * 1024 * 1024);
    client.send(&[b"SET", b"large", &large]).await;
    assert_eq!(client.receive().await, Value::simple("OK"));
    client.send(&[b"GET", b"large"]).await;
    assert!(client.receive().await == Value::Bulk(large));
}

async fn tells_news(publisher: &mut Connection, subscriber: &mut Connection) {
    subscriber.send(&[b"SUBSCRIBE", b"news"]).await;
    let subscribed = [
        Value::bulk(b"subscribe"),
        Value::bulk(b"news"),
        Value::Integer(1),
    ];
    assert_eq!(
        subscriber.receive().await,
        Value::Array(subscribed.to_vec())
    );
    for n in 0..100 {
        let news = body(n * 50);
        publisher.send(&[b"PUBLISH", b"news", &news]).await;
        // How many have heard it.
        assert_eq!(publisher.receive().await, Value::Integer(1));
        let heard = [
            Value::bulk(b"message"),
            Value::bulk(b"news"),
            Value::Bulk(news),
        ];
        assert_eq!(subscriber.receive().await, Value::Array(heard.to_vec()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_13_a_small_store_is_of_use_through_a_tunnel() {
    let store = Service::new(store::serve);
    is_of_use(store.address).await;
}

/// Where Redis is not installed, the store of ours has to do.
#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_13_redis_is_of_use_through_a_tunnel() {
    match Redis::start().await {
        Some(redis) => is_of_use(redis.address).await,
        None => is_of_use(Service::new(store::serve).address).await,
    }
}
