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
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, tls: Option<&TlsAcceptor>) -> Self {
        match tls {
            None => Self::Plain(stream),
            Some(tls) => Self::Agreeing(Box::new(tls.accept(stream))),
        }
    }

    /// Goes on agreeing, where that is not over.
    fn poll_agreed(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if let Self::Agreeing(accept) = self {
            let stream = ready!(Pin::new(&mut **accept).poll(context))?;
            *self = Self::Encrypted(Box::new(stream));
        }
        Poll::Ready(Ok(()))
    }
}

/// What reads and writes a wire on which both sides have agreed.
macro_rules! agreed {
    ($wire:ident, $stream:ident => $call:expr, $context:ident) => {{
        ready!($wire.poll_agreed($context))?;
        match &mut *$wire {
            Wire::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Wire::Encrypted(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
            Wire::Agreeing(_) => Poll::Pending,
        }
    }};
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        agreed!(self, stream => stream.poll_read(context, buffer), context)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        agreed!(self, stream => stream.poll_write(context, bytes), context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        agreed!(
            self,
            stream => stream.poll_write_vectored(context, parts),
            context
        )
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        agreed!(self, stream => stream.poll_flush(context), context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        agreed!(self, stream => stream.poll_shutdown(context), context)
    }
}
