//! placeholder
pub(crate) mod routes;
