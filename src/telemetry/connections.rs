//! Connections of the endpoint: so many at a time, each with a time limit, so that no number of
//! clients takes the file descriptors of the run, and no slow one keeps its place for ever.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::catalog;
use super::recorder::Recorder;
use crate::base::open_file_limit;

/// Most connections at a time: a page and a few servers need a handful.
pub const MAX_CONNECTIONS: usize = 256;

/// Share of the limit of open files that connections may take at most; the rest is the run's.
const SHARE_OF_OPEN_FILES: usize = 4;

/// Time limit for the first request of a connection, from its start to the end of its header.
const FIRST_REQUEST: Duration = Duration::from_secs(5);

/// Time limit for taking an answer, and for the next request after it. Longer than the usual scrape
/// interval, so that a server's connection lasts.
const NEXT_REQUEST: Duration = Duration::from_secs(30);

/// Pause after a refusal: clients that come again at once must not keep the thread busy.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(1);

/// Pause after the system has refused a connection for want of descriptors or memory.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 42\r\n\r\n\
    too many connections; close some and retry";

/// Listener that accepts [`MAX_CONNECTIONS`] at a time and turns the others away.
pub(super) struct LimitedListener {
    listener: TcpListener,
    places: Arc<Semaphore>,
    recorder: Recorder,
}

impl LimitedListener {
    pub(super) fn new(listener: TcpListener, recorder: Recorder) -> Self {
        recorder.within(|| catalog::ENDPOINT_REFUSED_CONNECTIONS.show_series([]));
        let most = open_file_limit().map_or(MAX_CONNECTIONS, |limit| {
            MAX_CONNECTIONS.min(limit / SHARE_OF_OPEN_FILES).max(1)
        });
        Self { listener, places: Arc::new(Semaphore::new(most)), recorder }
    }

    fn count_refusal(&self) {
        self.recorder.within(|| catalog::ENDPOINT_REFUSED_CONNECTIONS.with_labels([]).increment(1));
    }
}

impl axum::serve::Listener for LimitedListener {
    type Io = LimitedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (LimitedStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, client)) => match Arc::clone(&self.places).try_acquire_owned() {
                    Ok(place) => return (LimitedStream::new(stream, place), client),
                    Err(_full) => {
                        // As much as goes at once: waiting for this client would be what it wants.
                        let _ = stream.try_write(REFUSAL);
                        self.count_refusal();
                        tokio::time::sleep(PAUSE_AFTER_REFUSAL).await;
                    }
                },
                Err(error) if is_of_client(&error) => {}
                Err(error) => {
                    tracing::debug!("the metrics endpoint cannot accept a client: {error}");
                    self.count_refusal();
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Returns true if the client has gone before it was accepted.
fn is_of_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Connection with a time limit for each request and each answer. Bytes alone extend none: a client
/// that sends or takes one now and then is cut off like one that does nothing.
pub(super) struct LimitedStream {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    is_answering: bool,
    _place: OwnedSemaphorePermit,
}

impl LimitedStream {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit) -> Self {
        let end = Box::pin(tokio::time::sleep(FIRST_REQUEST));
        Self { stream, end, is_answering: false, _place: place }
    }

    /// Grants the time of the next phase.
    fn begin_phase(&mut self, is_answering: bool) {
        self.is_answering = is_answering;
        self.end.as_mut().reset(Instant::now() + NEXT_REQUEST);
    }

    fn check_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for LimitedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_time(context)?;
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.is_answering && buffer.filled().len() > before {
            self.begin_phase(false);
        }
        outcome
    }
}

impl AsyncWrite for LimitedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.is_answering {
            self.begin_phase(true);
        }
        self.check_time(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.is_answering {
            self.begin_phase(true);
        }
        self.check_time(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
    }
}
