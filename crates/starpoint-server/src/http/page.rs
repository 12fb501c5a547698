//! The page that a browser sees.

use axum::response::Html;

pub(super) fn render(peers: usize) -> Html<String> {
    let here = match peers {
        0 => "Nobody is here now.".to_owned(),
        1 => "One peer is here now.".to_owned(),
        peers => format!("{peers} peers are here now."),
    };
    Html(format!(
        r#"<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Starpoint</title>
  <style>
    body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem; }}
    code {{ background: #8882; padding: .1em .3em; border-radius: .2em; }}
  </style>
</head>
<body>
  <h1>This is a Starpoint</h1>
  <p>A rendezvous node for libp2p peers. Peers that can only connect outward keep a
  WebSocket to it, learn who else is here, and reach each other through it, with
  encryption from end to end.</p>
  <p id="peers">{here}</p>
  <p>To use it, listen on its address: <code>/dns4/&lt;this
  host&gt;/tcp/&lt;port&gt;/ws/p2p-websocket-star</code>, or <code>wss</code> with
  TLS.</p>
</body>
</html>
"#
    ))
}
