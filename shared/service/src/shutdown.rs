//! SIGTERM and SIGINT become one cancellation, which ends the process in good
//! order.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Listens for signals from now on. Call it before a port is open: a client
/// that connects and then sends a signal would kill the process otherwise. The
/// future waits for a signal and then cancels `shutdown`; it ends early when
/// somebody else has cancelled it.
///
/// # Errors
/// When the system takes no signal handler.
pub fn shutdown_on_signal(
    shutdown: CancellationToken,
) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = shutdown.cancelled() => return,
        };
        tracing::info!(signal = name, "shutting down");
        shutdown.cancel();
    })
}
