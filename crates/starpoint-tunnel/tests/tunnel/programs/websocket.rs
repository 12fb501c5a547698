//! WebSockets.

use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, future};
use starpoint_test_support::within;
use tokio::net::TcpStream;
use tokio_tungstenite::{accept_async, client_async, tungstenite::Message};

use crate::{
    services::{Service, body},
    stage::{Stage, connect},
};

const N_MESSAGES: usize = 10_000;

/// Sends back every message as it came.
async fn echo(socket: TcpStream) {
    let socket = accept_async(socket).await.expect("it is a WebSocket");
    let (writer, reader) = socket.split();
    let messages = reader.try_filter(|message| {
        let is_data = message.is_text() || message.is_binary();
        future::ready(is_data)
    });
    // The client closes first, and that is answered by the library.
    let _ = messages.forward(writer).await;
}

/// The message with this number: text and binary in turn, most of them short, some
/// empty, and some longer than any chunk.
fn message(number: usize) -> Message {
    let n_bytes = match number % 1_000 {
        0 | 501 => 0,
        250 | 751 => 150_000 + number,
        _ => number * 7_919 % 900,
    };
    let bytes = body(n_bytes);
    if number.is_multiple_of(2) {
        let text: String = bytes.iter().map(|b| char::from(b'a' + b % 26)).collect();
        Message::text(format!("{number} {text}"))
    } else {
        Message::binary(bytes)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_13_ten_thousand_messages_of_a_web_socket_come_back_in_order() {
    let service = Service::new(echo);
    let (_stage, _guest, address) = Stage::between(service.address).await;
    let socket = connect(address).await;
    let opened = within("a WebSocket", client_async("ws://echo.test/", socket)).await;
    let (mut writer, mut reader) = opened.unwrap().0.split();
    let sending = tokio::spawn(async move {
        for number in 0..N_MESSAGES {
            writer.send(message(number)).await.unwrap();
        }
        writer
    });
    for number in 0..N_MESSAGES {
        let got = within("an echo", reader.next()).await.unwrap().unwrap();
        assert!(got == message(number), "message {number}: {got:?}");
    }
    let mut writer = sending.await.unwrap();
    writer.close().await.unwrap();
    let farewell = within("a farewell", reader.next()).await.unwrap().unwrap();
    assert!(farewell.is_close(), "{farewell:?}");
    assert!(within("the end", reader.next()).await.is_none());
}
