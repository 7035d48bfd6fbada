//! The bytes of a connection: plain, or encrypted by TLS, on which both sides
//! agree when the first bytes are read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// A connection's two directions.
pub(crate) enum Wire {
    /// Without TLS.
    Plain(TcpStream),
    /// Both sides still agree on TLS.
    Agreeing(Box<Accept<TcpStream>>),
    /// With TLS.
    Encrypted(Box<TlsStream<TcpStream>>),
    /// They did not agree.
    Failed,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, tls: Option<&TlsAcceptor>) -> Self {
        match tls {
            None => Self::Plain(stream),
            Some(tls) => Self::Agreeing(Box::new(tls.accept(stream))),
        }
    }

    /// What is read and written once both sides have agreed; goes on agreeing
    /// until then.
    fn poll_agreed(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Pin<&mut dyn ReadWrite>>> {
        if let Self::Agreeing(accept) = self {
            let agreed = ready!(Pin::new(&mut **accept).poll(context));
            // A handshake that is over must not be polled again.
            *self = Self::Failed;
            *self = Self::Encrypted(Box::new(agreed?));
        }
        Poll::Ready(match self {
            Self::Plain(stream) => Ok(Pin::new(stream)),
            Self::Encrypted(stream) => Ok(Pin::new(&mut **stream)),
            Self::Agreeing(_) | Self::Failed => {
                Err(io::ErrorKind::NotConnected.into())
            }
        })
    }
}

/// A plain or an encrypted stream.
trait ReadWrite: AsyncRead + AsyncWrite + Unpin {}

impl ReadWrite for TcpStream {}
impl ReadWrite for TlsStream<TcpStream> {}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_agreed(context))?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_agreed(context))?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_agreed(context))?.poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_agreed(context))?.poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_agreed(context))?.poll_shutdown(context)
    }
}
