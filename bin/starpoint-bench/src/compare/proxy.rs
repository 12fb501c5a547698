//! Proxies that connect each program to one service.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::Context as _;
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{accept, copy::copy_bytes, listen};
use crate::tunnel::door::SERVER_NAME;

/// Copies bytes.
pub(super) async fn serve_tcp(service: SocketAddr) -> anyhow::Result<()> {
    serve(service, None).await
}

/// Ends TLS, and copies bytes. The certificate is made here, and written to a file
/// before the address is told.
pub(super) async fn serve_tls(service: SocketAddr, certificate: &Path) -> anyhow::Result<()> {
    let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    std::fs::write(certificate, made.cert.der()).context("the certificate cannot be written")?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())?;
    serve(service, Some(TlsAcceptor::from(Arc::new(config)))).await
}

async fn serve(service: SocketAddr, tls: Option<TlsAcceptor>) -> anyhow::Result<()> {
    let listener = listen().await?;
    let mut couples = JoinSet::new();
    loop {
        tokio::select! {
            tcp = accept(&listener) => {
                let (tcp, tls) = (tcp?, tls.clone());
                couples.spawn(async move {
                    match tls {
                        None => pass(tcp, service).await,
                        Some(tls) => pass(tls.accept(tcp).await?, service).await,
                    }
                });
            }
            // A program that cannot be connected sees its connection end.
            Some(_) = couples.join_next() => {}
        }
    }
}

async fn pass(
    program: impl AsyncRead + AsyncWrite + Unpin,
    service: SocketAddr,
) -> anyhow::Result<()> {
    let service = TcpStream::connect(service).await?;
    service.set_nodelay(true)?;
    copy_bytes(program, service).await;
    Ok(())
}
