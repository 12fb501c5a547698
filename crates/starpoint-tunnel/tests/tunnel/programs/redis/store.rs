//! As much of Redis as the test uses.

use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex},
};

use tokio::{
    net::{TcpStream, tcp::OwnedWriteHalf},
    sync::broadcast,
};

use super::resp::{self, Connection, Value};

static VALUES: Mutex<BTreeMap<Vec<u8>, Vec<u8>>> = Mutex::new(BTreeMap::new());
static NEWS: LazyLock<broadcast::Sender<(Vec<u8>, Vec<u8>)>> =
    LazyLock::new(|| broadcast::Sender::new(16));

/// Serves one client until it quits.
pub(super) async fn serve(socket: TcpStream) {
    let mut connection = Connection::new(socket);
    let (writer, requests) = connection.halves();
    while let Some(request) = requests.next().await {
        let Value::Array(words) = request else {
            panic!("not a request: {request:?}");
        };
        let words: Vec<_> = words.iter().map(bytes_of).collect();
        if let [b"SUBSCRIBE", topic] = words[..] {
            return subscribe(writer, topic).await;
        }
        resp::send_all(writer, &answer(&words).encode()).await;
        if words[0] == b"QUIT" {
            return;
        }
    }
}

fn bytes_of(value: &Value) -> &[u8] {
    match value {
        Value::Bulk(bytes) => bytes,
        other => panic!("not a word: {other:?}"),
    }
}

fn answer(words: &[&[u8]]) -> Value {
    let mut values = VALUES.lock().expect("nobody panics with it");
    match *words {
        [b"SET", key, value] => {
            values.insert(key.to_vec(), value.to_vec());
            Value::simple("OK")
        }
        [b"GET", key] => values.get(key).cloned().map_or(Value::Nothing, Value::Bulk),
        [b"PUBLISH", topic, news] => {
            let told = NEWS.send((topic.to_vec(), news.to_vec()));
            Value::Integer(told.map_or(0, |n| n as i64))
        }
        [b"QUIT"] => Value::simple("OK"),
        _ => Value::Error("ERR unknown command".to_owned()),
    }
}

async fn subscribe(writer: &mut OwnedWriteHalf, topic: &[u8]) {
    let mut news = NEWS.subscribe();
    let subscribed = vec![
        Value::bulk(b"subscribe"),
        Value::bulk(topic),
        Value::Integer(1),
    ];
    resp::send_all(writer, &Value::Array(subscribed).encode()).await;
    while let Ok((about, text)) = news.recv().await {
        if about == topic {
            let heard = vec![
                Value::bulk(b"message"),
                Value::bulk(topic),
                Value::Bulk(text),
            ];
            resp::send_all(writer, &Value::Array(heard).encode()).await;
        }
    }
}
