//! The stores from outside: conformance of each, what only a disk can do, and both side by side.

mod alike;
mod conform;
mod disk;

use std::path::Path;
use std::sync::Arc;

use audit::SigningKey;
use store::SqliteStore;

const ORIGIN: &str = "log.example/prod";

fn key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, [42; 32]).expect("a name")
}

fn open(dir: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(dir, key()).expect("the store opens"))
}
