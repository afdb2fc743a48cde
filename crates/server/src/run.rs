//! Running: answers on a listener until told to stop.

use std::time::Duration;

use tokio::net::TcpListener;

use crate::App;

/// How long answers under way may take once the server is told to stop. Streams of events never end by themselves.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Serves until `stop` is done: takes no new connections then, lets short answers finish, and ends the streams.
///
/// # Errors
/// If the listener breaks off.
pub async fn serve(
    listener: TcpListener,
    app: App,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let told = tokio_util::sync::CancellationToken::new();
    let tell = told.clone();
    let stopping = async move {
        stop.await;
        tell.cancel();
    };
    let service = crate::router(app).into_make_service_with_connect_info::<std::net::SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(stopping);
    let late = async {
        told.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        ended = serving => ended,
        () = late => Ok(()),
    }
}
