//! The connections of a port: how many, of whom, and how long one may be
//! silent. Whoever connects and says nothing, or stops half-way, keeps no place
//! for long, and nobody can have all places.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::places::{Place, Places};
use crate::wire::Wire;

/// Most connections of a port, where the system allows as many open files.
const MOST: usize = 4_096;
/// Files that are kept for everything else that a process opens: the store,
/// artifacts, connections to others.
const OTHER_FILES: usize = 128;
/// How long a new connection may take for its beginning.
const FIRST_BYTES: Duration = Duration::from_secs(10);
/// Bytes of that beginning, after what TLS needs: HTTP/2's preface; no request
/// of HTTP/1.1 is shorter.
const BEGINNING: usize = 24;
/// How the head of a request of HTTP/1.1 ends; it belongs to the beginning.
const HEAD_END: &[u8; 4] = b"\r\n\r\n";
/// How HTTP/2's preface begins.
const PREFACE: &[u8; 3] = b"PRI";
/// How long nothing may be heard of a connection: more than two of the pings
/// that every HTTP/2 client answers (`KEEPALIVE` of [`crate::serve`]).
const SILENCE: Duration = Duration::from_secs(50);
/// The same for HTTP/1.1, which has no pings: whoever waits for a long call is
/// silent. One that asks for nothing is closed by hyper within half a minute.
const SILENCE_WITHOUT_PINGS: Duration = Duration::from_secs(600);
/// How long a peer may take nothing of what it is sent.
const STALL: Duration = Duration::from_secs(50);
/// Pause after the system gave no connection: it has no file left.
const PAUSE: Duration = Duration::from_millis(100);
/// Time between two lines of the log on the same thing.
const QUIET: Duration = Duration::from_secs(60);

/// Accepts connections, within the bounds above.
pub(crate) struct Incoming {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    places: Arc<Places>,
    pause: Option<Pin<Box<Sleep>>>,
    refused: Remark,
    failed: Remark,
}

impl Incoming {
    pub(crate) fn new(listener: TcpListener, tls: Option<TlsAcceptor>) -> Self {
        let most = most_connections(open_files_limit());
        Self {
            listener,
            tls,
            places: Arc::new(Places::new(most)),
            pause: None,
            refused: Remark::default(),
            failed: Remark::default(),
        }
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match std::task::ready!(self.listener.poll_accept(context)) {
                Ok((stream, peer)) => {
                    let Some(place) = Places::take(&self.places, peer) else {
                        if self.refused.is_due() {
                            let most = self.places.most();
                            tracing::warn!(%peer, most, "a connection is refused: too many are open, or too many of this address");
                        }
                        continue;
                    };
                    let address = stream.connect_info();
                    if let Err(error) = stream.set_nodelay(true) {
                        return Poll::Ready(Some(Err(error)));
                    }
                    let wire = Wire::new(stream, self.tls.as_ref());
                    let connection = Connection::new(wire, address, place);
                    return Poll::Ready(Some(Ok(connection)));
                }
                Err(error) => {
                    // Without a pause the loop would take a core for itself.
                    if self.failed.is_due() {
                        tracing::warn!(%error, "no connection can be accepted");
                    }
                    self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                }
            }
        }
    }
}

/// Says whether something that may happen a thousand times a second is worth
/// another line of the log.
#[derive(Default)]
struct Remark {
    last: Option<Instant>,
}

impl Remark {
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self.last.is_none_or(|last| now - last >= QUIET);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

/// How many connections a port may have beside the files that a process needs.
fn most_connections(open_files: Option<usize>) -> usize {
    let limit = open_files.unwrap_or(1_024);
    MOST.min(limit.saturating_sub(OTHER_FILES) / 2).max(1)
}

/// How many files this process may have open, where the system says so.
fn open_files_limit() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// A connection with its place, closed when its peer is silent or takes
/// nothing for too long.
pub(crate) struct Connection {
    wire: Wire,
    address: TcpConnectInfo,
    /// Bytes heard so far, up to the beginning's.
    n_heard: usize,
    /// The first of them.
    opening: [u8; PREFACE.len()],
    /// How much of [`HEAD_END`] was heard last.
    n_head_end: usize,
    /// When the peer has been silent for too long.
    silent: Pin<Box<Sleep>>,
    /// When the peer has taken nothing for too long; while something waits.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl Connection {
    fn new(wire: Wire, address: TcpConnectInfo, place: Place) -> Self {
        Self {
            wire,
            address,
            n_heard: 0,
            opening: [0; PREFACE.len()],
            n_head_end: 0,
            silent: Box::pin(tokio::time::sleep(FIRST_BYTES)),
            stalled: None,
            _place: place,
        }
    }

    /// Takes note of what was heard: a whole beginning gives the connection
    /// more time.
    fn heard(&mut self, bytes: &[u8]) {
        for (n, byte) in bytes.iter().enumerate() {
            match self.opening.get_mut(self.n_heard + n) {
                Some(place) => *place = *byte,
                None => break,
            }
        }
        let n_heard = self.n_heard.saturating_add(bytes.len());
        self.n_heard = n_heard.min(BEGINNING);
        for byte in bytes {
            if self.n_head_end == HEAD_END.len() {
                break;
            }
            let is_next = HEAD_END.get(self.n_head_end) == Some(byte);
            self.n_head_end = match (is_next, *byte) {
                (true, _) => self.n_head_end + 1,
                (false, b'\r') => 1,
                (false, _) => 0,
            };
        }
        let is_http2 = self.opening == *PREFACE;
        let is_begun = is_http2 || self.n_head_end == HEAD_END.len();
        if self.n_heard == BEGINNING && is_begun {
            let until = Instant::now() + self.silence();
            self.silent.as_mut().reset(until);
        }
    }

    /// How long it may be silent from now on.
    fn silence(&self) -> Duration {
        if self.opening == *PREFACE {
            SILENCE
        } else {
            SILENCE_WITHOUT_PINGS
        }
    }

    /// What came of a write; an error once the peer has taken nothing for too
    /// long.
    fn written<T>(
        &mut self,
        result: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL)));
        std::task::ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n_before = buffer.filled().len();
        let read = Pin::new(&mut self.wire).poll_read(context, buffer);
        if read.is_ready() {
            let heard = buffer.filled().get(n_before..).unwrap_or_default();
            self.heard(heard);
            return read;
        }
        std::task::ready!(self.silent.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.wire).poll_write(context, bytes);
        self.written(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written =
            Pin::new(&mut self.wire).poll_write_vectored(context, parts);
        self.written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.wire).poll_flush(context);
        self.written(flushed, context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.wire).poll_shutdown(context);
        self.written(ended, context)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.address.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio_stream::StreamExt;

    #[test]
    fn connections_stay_below_the_limit_of_open_files() {
        assert_eq!(most_connections(Some(1_048_576)), MOST);
        assert_eq!(most_connections(Some(1_024)), 448);
        assert_eq!(most_connections(Some(10)), 1);
        assert!(open_files_limit().is_none_or(|limit| limit > 10));
    }

    /// A connection that begins so and then says nothing is closed in the time
    /// of a beginning.
    async fn assert_closed_after(beginning: &[u8]) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut incoming = Incoming::new(listener, None);
        let mut slow = TcpStream::connect(address).await.unwrap();
        let mut accepted = incoming.next().await.unwrap().unwrap();
        let began = Instant::now();
        slow.write_all(beginning).await.unwrap();
        let mut heard = vec![0; beginning.len()];
        accepted.read_exact(&mut heard).await.unwrap();

        tokio::time::pause();
        let closed = accepted.read_u8().await.unwrap_err();
        assert_eq!(closed.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < FIRST_BYTES * 2);
    }

    #[tokio::test]
    async fn a_beginning_that_trickles_is_closed_in_time() {
        assert_closed_after(b"PRI * HTTP/2.0").await;
    }

    #[tokio::test]
    async fn a_head_that_trickles_is_closed_in_time() {
        let head = b"GET /v1/jobs HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ";
        assert_closed_after(head).await;
    }

    #[tokio::test]
    async fn who_says_nothing_is_closed_and_its_place_is_free() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut incoming = Incoming::new(listener, None);
        let _silent = TcpStream::connect(address).await.unwrap();
        let mut accepted = incoming.next().await.unwrap().unwrap();
        let places = Arc::clone(&incoming.places);
        assert_eq!(places.n_taken(), 1);

        tokio::time::pause();
        let closed = accepted.read_u8().await.unwrap_err();
        assert_eq!(closed.kind(), io::ErrorKind::TimedOut);
        drop(accepted);
        assert_eq!(places.n_taken(), 0);
    }
}
