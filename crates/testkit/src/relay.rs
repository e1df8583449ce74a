//! A TCP proxy of a test: its link can be cut, held or slowed down while connections use it. Never
//! looks into what it carries, and never loses a byte of a connection that it does not end.

use anyhow::Result;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is carried at a time.
const CHUNK: usize = 64 << 10;

/// What the link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It carries everything at once.
    Open,
    /// Connections end, also new ones.
    Cut,
    /// Connections stay and are taken, but nothing is carried: a network that loses all packets.
    Held,
    /// Each piece is carried so much later.
    Slow(Duration),
}

/// A proxy before one server. Dropped, its connections end.
#[derive(Debug)]
pub struct Relay {
    port: lab::Port,
    server: watch::Sender<Option<SocketAddr>>,
    link: watch::Sender<Link>,
    carried: Arc<AtomicU64>,
    listening: JoinHandle<()>,
}

/// What each connection needs.
#[derive(Clone)]
struct Wire {
    server: watch::Receiver<Option<SocketAddr>>,
    link: watch::Receiver<Link>,
    carried: Arc<AtomicU64>,
}

impl Relay {
    /// Listens, before the server is known: connections end until it is.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn listen() -> Result<Self> {
        let port = lab::claim_port()?;
        let listener = TcpListener::bind(port.address()).await?;
        let (server, of_server) = watch::channel(None);
        let (link, of_link) = watch::channel(Link::Open);
        let carried = Arc::new(AtomicU64::new(0));
        let wire = Wire { server: of_server, link: of_link, carried: Arc::clone(&carried) };
        let listening = tokio::spawn(accept(listener, wire));
        Ok(Self { port, server, link, carried, listening })
    }

    /// The port that clients use.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// `127.0.0.1:<port>` that clients use.
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// Carries to the server of this address from now on.
    ///
    /// # Errors
    /// If that is no address.
    pub fn lead_to(&self, server: &str) -> Result<()> {
        self.server.send_replace(Some(server.parse()?));
        Ok(())
    }

    /// Changes the link, for connections that are open as well.
    pub fn set(&self, link: Link) {
        self.link.send_replace(link);
    }

    /// How many bytes it has carried in both directions.
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.listening.abort();
        self.link.send_replace(Link::Cut);
    }
}

async fn accept(listener: TcpListener, wire: Wire) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connection(client, wire.clone()));
    }
}

async fn connection(client: TcpStream, mut wire: Wire) {
    // A link that carries nothing does not carry the beginning of a connection either.
    if wire.link.wait_for(|link| *link != Link::Held).await.is_err() || wire.is_cut() {
        return;
    }
    let server = *wire.server.borrow();
    let Some(server) = server else { return };
    let Ok(server) = TcpStream::connect(server).await else { return };
    // Small requests must not wait for each other.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = wire.link.clone();
    tokio::select! {
        _ = cut.wait_for(|link| *link == Link::Cut) => {}
        // Either end closes the whole: what these servers speak has no use for half a connection.
        () = pump(from_client, to_server, wire.clone()) => {}
        () = pump(from_server, to_client, wire.clone()) => {}
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut wire: Wire) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let Ok(read @ 1..) = from.read(&mut chunk).await else { return };
        let Ok(link) = wire.link.wait_for(|link| *link != Link::Held).await.map(|link| *link)
        else {
            return;
        };
        if let Link::Slow(by) = link {
            tokio::time::sleep(by).await;
        }
        if to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
        wire.carried.fetch_add(read as u64, Ordering::Relaxed);
    }
}

impl Wire {
    fn is_cut(&self) -> bool {
        *self.link.borrow() == Link::Cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(10);

    /// A server that sends back what it gets.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = client.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn relay() -> (Relay, TcpStream) {
        let relay = Relay::listen().await.unwrap();
        relay.lead_to(&echo().await.to_string()).unwrap();
        let mut client = TcpStream::connect(relay.address()).await.unwrap();
        says(&mut client, b"first").await;
        (relay, client)
    }

    async fn says(client: &mut TcpStream, word: &[u8]) {
        client.write_all(word).await.unwrap();
        hears(client, word).await;
    }

    async fn hears(client: &mut TcpStream, word: &[u8]) {
        let mut heard = vec![0; word.len()];
        timeout(SOON, client.read_exact(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, word);
    }

    #[tokio::test]
    async fn what_is_held_arrives_when_the_link_is_open_again() {
        let (relay, mut client) = relay().await;
        relay.set(Link::Held);
        client.write_all(b"held").await.unwrap();
        let mut nothing = [0];
        let heard = timeout(Duration::from_millis(200), client.read(&mut nothing)).await;
        assert!(heard.is_err(), "it was carried");
        relay.set(Link::Slow(Duration::from_millis(20)));
        hears(&mut client, b"held").await;
        assert_eq!(relay.carried(), 2 * 9);
    }

    #[tokio::test]
    async fn a_cut_ends_connections_and_refuses_new_ones_until_it_is_mended() {
        let (relay, mut client) = relay().await;
        relay.set(Link::Cut);
        let mut nothing = [0];
        let ended = timeout(SOON, client.read(&mut nothing)).await.unwrap();
        assert!(matches!(ended, Ok(0) | Err(_)));
        let mut refused = TcpStream::connect(relay.address()).await.unwrap();
        let ended = timeout(SOON, refused.read(&mut nothing)).await.unwrap();
        assert!(matches!(ended, Ok(0) | Err(_)));
        relay.set(Link::Open);
        let mut again = TcpStream::connect(relay.address()).await.unwrap();
        says(&mut again, b"again").await;
    }
}
