//! Programs that use a TCP service through a tunnel, or through a proxy.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _, stream};
use tokio::{task::JoinSet, time::timeout};

use super::{GIB, MIB, Readings, SETTLE, as_f64, growth_bytes};
use crate::{
    load::{self, ByteCount},
    party::ByteStream,
    stats::Times,
    target::Target,
    tunnel::{
        door::Door,
        service::{self, Service},
        way::{Cpu, Way},
    },
};

/// Time that a transfer has to get going.
const RAMP: Duration = Duration::from_millis(500);
/// Time for one request.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub(crate) struct Tunnel {
    pub(crate) n_connections: usize,
    pub(crate) n_requests: usize,
    pub(crate) body_bytes: u32,
    pub(crate) window: Duration,
    /// 0 for a free one.
    pub(crate) service_port: u16,
}

impl Tunnel {
    pub(super) async fn measure(&self, target: &Target) -> anyhow::Result<Readings> {
        let service = Service::start(self.service_port).await?;
        let way = Way::open(target, service.address()).await?;
        request(&way.door, self.body_bytes).await?;
        tokio::time::sleep(SETTLE).await;
        let mut readings = Readings::default();
        self.transfer(&way, &mut readings).await?;
        tokio::time::sleep(SETTLE).await;
        self.requests(&way, &mut readings).await?;
        Ok(readings)
    }

    /// Lets the service send as fast as it is read.
    async fn transfer(&self, way: &Way, readings: &mut Readings) -> anyhow::Result<()> {
        let count = ByteCount::default();
        // Owns the readers: they end with this function.
        let mut readers = JoinSet::new();
        for _ in 0..self.n_connections {
            let socket = ask(&way.door, service::ENDLESS).await?;
            readers.spawn(load::read(socket, count.clone()));
        }
        tokio::time::sleep(RAMP).await;
        let (began, cpu, n_bytes) = (Instant::now(), way.cpu()?, count.get());
        tokio::select! {
            () = tokio::time::sleep(self.window) => {}
            Some(ended) = readers.join_next() => {
                ended??;
                anyhow::bail!("a connection has ended while it was read");
            }
        }
        let (elapsed, spent) = (began.elapsed(), way.cpu()?.since(cpu));
        let grown = growth_bytes(n_bytes, count.get());
        anyhow::ensure!(grown > 0.0, "nothing came through");
        readings.add("throughput", "MiB/s", grown / MIB / elapsed.as_secs_f64());
        let per_gib = |cpu: Duration| cpu.as_secs_f64() / (grown / GIB);
        readings.add("cpu_per_gib", "s", per_gib(spent.total()));
        let Cpu {
            relay,
            host,
            client,
        } = spent;
        readings.add("cpu_per_gib_star", "s", host.map(|_| per_gib(relay)));
        readings.add("cpu_per_gib_host", "s", host.map(per_gib));
        readings.add("cpu_per_gib_client", "s", client.map(per_gib));
        readers.shutdown().await;
        Ok(())
    }

    /// Makes a connection for each request.
    async fn requests(&self, way: &Way, readings: &mut Readings) -> anyhow::Result<()> {
        let (began, cpu) = (Instant::now(), way.cpu()?);
        let requests = stream::iter(0..self.n_requests).map(|_| async {
            let began = Instant::now();
            request(&way.door, self.body_bytes).await?;
            anyhow::Ok(began.elapsed())
        });
        let mut requests = requests.buffer_unordered(self.n_connections);
        let mut times = Times::default();
        while let Some(took) = requests.next().await {
            times.push(took?);
        }
        let (elapsed, spent) = (began.elapsed(), way.cpu()?.since(cpu));
        let n_requests = as_f64(self.n_requests);
        readings.add("requests", "1/s", n_requests / elapsed.as_secs_f64());
        readings.add("request_p50", "ms", times.percentile_ms(50));
        readings.add("request_p99", "ms", times.percentile_ms(99));
        let per_request = spent.total().as_secs_f64() * 1e3 / n_requests;
        readings.add("cpu_per_request", "ms", per_request);
        Ok(())
    }
}

/// Connects, and asks for so many bytes.
async fn ask(door: &Door, n_bytes: u32) -> anyhow::Result<ByteStream> {
    let mut socket = door.connect().await?;
    socket.write_all(&n_bytes.to_be_bytes()).await?;
    socket.flush().await?;
    Ok(socket)
}

/// Makes one request on a connection of its own, and reads the answer to its end.
async fn request(door: &Door, body_bytes: u32) -> anyhow::Result<()> {
    let request = async {
        let mut socket = ask(door, body_bytes).await?;
        let mut body = Vec::new();
        socket.read_to_end(&mut body).await?;
        anyhow::ensure!(
            body.len() == body_bytes as usize,
            "the answer has {} bytes",
            body.len()
        );
        Ok(())
    };
    let answered = timeout(DEADLINE, request).await;
    answered.context("a request takes too long")?
}
