//! placeholder
use axum::Router;
use crate::Shared;
pub(crate) fn routes() -> Router<Shared> { Router::new() }
