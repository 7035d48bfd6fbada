//! Opens the port and says which path is which page.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use axum::middleware;
use axum::routing::{get, post};
use service::{Bound, Health, Lifecycle};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::assets;
use crate::backend::Backend;
use crate::failure::Failure;
use crate::guard::{Reach, guard};
use crate::pages::{
    compare, curves, dataset, datasets, item, job, jobs, live, login, models,
    overview, submit, try_it, upload, users,
};
use crate::settings::Settings;

/// How long pages may take to end once the console leaves. Streams of events
/// do not end by themselves.
const GRACE: std::time::Duration = std::time::Duration::from_secs(1);

/// A console whose port is open.
#[derive(Debug)]
pub struct Console {
    bound: Bound,
    backend: Backend,
    reach: Reach,
}

impl Console {
    /// Opens the port. The services may come later.
    ///
    /// # Errors
    /// The port cannot be opened, or a service's address cannot be used.
    pub async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let address = settings.pages.address;
        Ok(Self {
            bound: Bound::bind_pages(&settings.pages).await?,
            backend: Backend::new(&settings.coordinator, &settings.scorer)?,
            reach: Reach {
                is_local: address.ip().is_loopback(),
                is_encrypted: settings.pages.tls.is_some(),
            },
        })
    }

    /// Where browsers find it.
    pub fn address(&self) -> std::net::SocketAddr {
        self.bound.address()
    }

    /// Serves the pages until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let health = Health::new().await;
        health.set_ready(true).await;
        let lifecycle = Lifecycle {
            health,
            shutdown,
            grace: GRACE,
        };
        let router = router(self.backend, self.reach);
        service::serve_pages(self.bound, router.into(), lifecycle).await
    }
}

async fn nothing_there(uri: Uri) -> Failure {
    let path = uri.path();
    Failure::from(Status::not_found(format!("there is no page {path}")))
}

fn router(backend: Backend, reach: Reach) -> Router {
    // A form with files is longer than other bodies.
    let files = DefaultBodyLimit::max(upload::LONGEST);
    Router::new()
        .route("/", get(overview::page))
        .route("/overview/now", get(overview::now))
        .route("/jobs", get(jobs::page).post(submit::send))
        .route("/jobs/new", get(submit::page))
        .route("/jobs/curves", get(curves::page))
        .route("/jobs/{id}", get(job::page))
        .route("/jobs/{id}/live", get(live::events))
        .route("/jobs/{id}/cancel", post(job::cancel))
        .route("/jobs/{id}/retry", post(job::retry))
        .route("/models", get(models::page))
        .route("/models/compare", get(compare::page))
        .route("/models/{id}", get(models::version))
        .route(
            "/models/{id}/labels/{label}",
            get(models::confirm).post(models::move_label),
        )
        .route(
            "/labels/{label}/remove",
            get(models::confirm_removal).post(models::remove_label),
        )
        .route(
            "/datasets",
            get(datasets::page).post(upload::import).layer(files),
        )
        .route("/datasets/check", post(upload::check).layer(files))
        .route("/datasets/new", get(upload::page))
        .route("/datasets/{id}", get(dataset::page))
        .route("/try", get(try_it::page))
        .route("/users", get(users::page))
        .route("/items/{id}", get(item::page))
        .route("/items/{id}/users", get(item::users))
        .route("/login", get(login::page).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/assets/{name}", get(assets::asset))
        .fallback(nothing_there)
        .layer(middleware::from_fn(move |request, next| {
            guard(reach, request, next)
        }))
        .with_state(backend)
}
