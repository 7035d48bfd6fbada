//! SIGTERM and SIGINT become one cancellation.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Listens for signals from now on: to be called before a port is open, or who connects and then
/// asks the process to leave kills it. The future waits for one and cancels; it ends when somebody
/// else cancelled first.
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
