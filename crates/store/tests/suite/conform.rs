//! Each store fulfils the suite of its port.

use std::cell::RefCell;
use std::sync::Arc;

use engine::ports::Store;
use store::{MemoryStore, conformance};

use crate::{key, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_conforms() {
    conformance::run(async || Arc::new(MemoryStore::new(key())) as Arc<dyn Store>).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_conforms() {
    let dirs = RefCell::new(Vec::new());
    let make = async || {
        let dir = tempfile::tempdir().expect("a directory");
        let store = open(dir.path());
        dirs.borrow_mut().push(dir);
        store as Arc<dyn Store>
    };
    conformance::run(make).await;
}
