//! Somebody between a client and its star, who leaves them alone until told
//! otherwise: then the client has an evil star.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use starpoint_test_support::Profile;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

use crate::attack::Raw;

/// Who wants the client's connection gives a place for it.
type Takeover = oneshot::Sender<TcpStream>;
/// The way to the connection that the client keeps to its star.
type Current = Arc<Mutex<Option<oneshot::Sender<Takeover>>>>;

/// Carries bytes between clients and a star. Dropping it ends it.
#[derive(Debug)]
pub struct Middle {
    port: u16,
    current: Current,
    task: JoinHandle<()>,
}

impl Middle {
    /// Begins to carry for the star on this port. For a client of the legacy profile
    /// what it says of the native one is changed.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub async fn start(star: u16, profile: Profile) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let current = Current::default();
        let task = tokio::spawn(serve(listener, star, profile, current.clone()));
        Self {
            port,
            current,
            task,
        }
    }

    /// Returns the port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Takes the connection of the last client that has come, in the middle of what
    /// it is doing. Its star is gone.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn take(&self) -> Raw {
        let ask = lock(&self.current).take().expect("a client is here");
        let (give, given) = oneshot::channel();
        ask.send(give).expect("the client is still here");
        Raw::from(given.await.expect("the client is still here"))
    }
}

fn lock(current: &Current) -> MutexGuard<'_, Option<oneshot::Sender<Takeover>>> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, star: u16, profile: Profile, current: Current) {
    let mut carriers = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let current = current.clone();
        carriers.spawn(async move {
            // Either side may go at any time.
            let _ = carry(client, star, profile, &current).await;
        });
    }
}

async fn carry(
    mut client: TcpStream,
    star: u16,
    profile: Profile,
    current: &Current,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let mut head = String::from_utf8_lossy(&head).into_owned();
    if profile == Profile::Legacy {
        head = head.replace("star=1", "rats=1");
    }
    let mut star = TcpStream::connect((Ipv4Addr::LOCALHOST, star)).await?;
    star.write_all(head.as_bytes()).await?;
    if !head.starts_with("GET /socket.io/") {
        copy_bidirectional(&mut client, &mut star).await?;
        return Ok(());
    }
    let (ask, mut asked) = oneshot::channel::<Takeover>();
    *lock(current) = Some(ask);
    let takeover = tokio::select! {
        copied = copy_bidirectional(&mut client, &mut star) => return copied.map(drop),
        takeover = &mut asked => takeover,
    };
    match takeover {
        // Who has asked may have gone.
        Ok(give) => drop(give.send(client)),
        // Another connection has taken the place of this one.
        Err(_) => drop(copy_bidirectional(&mut client, &mut star).await?),
    }
    Ok(())
}
