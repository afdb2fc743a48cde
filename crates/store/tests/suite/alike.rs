//! Both stores, given the same batches, answer alike and end alike.

use change::{ChangeId, Digest, Event};
use engine::ports::{Batch, BootMillis, IdempotencyKey, Store};
use proptest::prelude::*;
use store::MemoryStore;
use store::conformance::sample::{Going, look, new, proposed, write};
use store::conformance::{Snapshot, snapshot};

use crate::{key, open};

/// What is done to both stores.
#[derive(Clone, Debug)]
enum Deed {
    /// Writes to streams: each by its number, with an expected version that may be wrong.
    Append {
        writes: Vec<(u8, u64, usize)>,
        look: Option<u64>,
        blob: Option<u8>,
        key: Option<(bool, u8)>,
        huge: bool,
    },
    /// One of three changes goes on.
    Go {
        change: u8,
        events: u8,
    },
    Lease {
        holder: u8,
        now: u64,
        until: u64,
    },
    Rebuild,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let write = (0..3_u8, 0..4_u64, 0..4_usize);
    let key = proptest::option::of((any::<bool>(), 0..2_u8));
    let some = |limit| proptest::option::weighted(0.3, 1..limit);
    let huge = proptest::bool::weighted(0.05);
    let append = (proptest::collection::vec(write, 0..3), some(5_u64), proptest::option::of(0..3_u8), key, huge)
        .prop_map(|(writes, look, blob, key, huge)| Deed::Append { writes, look, blob, key, huge });
    let deed = prop_oneof![
        6 => append,
        3 => (0..3_u8, 1..4_u8).prop_map(|(change, events)| Deed::Go { change, events }),
        1 => (0..2_u8, 0..30_u64, 0..30_u64).prop_map(|(holder, now, until)| Deed::Lease { holder, now, until }),
        1 => Just(Deed::Rebuild),
    ];
    proptest::collection::vec(deed, 0..25)
}

fn batch(deed: &Deed, going: &mut [Going; 3]) -> Batch {
    match deed {
        Deed::Append { writes, look: number, blob, key, huge } => {
            let mut writes: Vec<_> =
                writes.iter().map(|(s, expected, events)| write(&format!("s/{s}"), *expected, *events)).collect();
            if *huge {
                let huge = new(Event::Refused { reason: "x".repeat(66_000) }, None, 0);
                writes.iter_mut().for_each(|write| write.events.push(huge.clone()));
            }
            Batch {
                writes,
                rows: vec![],
                looks: number.iter().map(|number| look(ChangeId::new(1), *number)).collect(),
                blobs: blob.iter().map(|byte| (Digest::of_bytes(&[*byte]), vec![*byte])).collect(),
                idempotency: key.map(|(ada, key)| IdempotencyKey {
                    actor: if ada { "ada" } else { "bob" }.into(),
                    key: format!("k{key}"),
                    request: Digest::of_bytes(b"request"),
                    change: ChangeId::new(1),
                }),
            }
        }
        Deed::Go { change, events } => {
            let going = &mut going[usize::from(*change)];
            let service = format!("service-{change}");
            let next = |i: u8| match going.row() {
                None if i == 0 => proposed("one", &[&service, "shop"]),
                _ if i == 2 => Event::Withdrawn { reason: "no".into() },
                _ => Event::PageOwed {
                    key: format!("k{i}"),
                    reason: "why".into(),
                    to: [].into(),
                    urgency: Default::default(),
                    at: None,
                },
            };
            let events: Vec<_> = (0..*events).map(next).collect();
            going.goes(events)
        }
        Deed::Lease { .. } | Deed::Rebuild => Batch::default(),
    }
}

/// What each store says to each deed, and at the end.
async fn told(store: &dyn Store, deeds: &[Deed]) -> (Vec<String>, Snapshot) {
    let mut going = [1, 2, 3].map(Going::new);
    let mut answers = Vec::new();
    for deed in deeds {
        answers.push(match deed {
            Deed::Lease { holder, now, until } => {
                let lease = store.lease("loop", &format!("h{holder}"), BootMillis(*now), BootMillis(*until)).await;
                format!("{lease:?}")
            }
            Deed::Rebuild => format!("{:?}", store.rebuild().await),
            deed => format!("{:?}", store.append(batch(deed, &mut going)).await),
        });
    }
    for digest in [[0], [1], [2]].map(|bytes| Digest::of_bytes(&bytes)) {
        answers.push(format!("{:?}", store.blob(digest).await));
    }
    answers.push(format!("{:?}", store.looks(ChangeId::new(1), 2).await));
    for key in ["k0", "k1"] {
        answers.push(format!("{:?}", store.idempotency("ada", key).await));
    }
    (answers, snapshot(store).await)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_sqlite_are_alike(deeds in deeds()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let dir = tempfile::tempdir().expect("a directory");
        let (in_memory, on_disk, reopened) = runtime.block_on(async {
            let in_memory = told(&MemoryStore::new(key()), &deeds).await;
            let on_disk = told(&*open(dir.path()), &deeds).await;
            (in_memory, on_disk, snapshot(&*open(dir.path())).await)
        });
        prop_assert_eq!(&on_disk.1, &reopened);
        prop_assert_eq!(in_memory, on_disk);
    }
}
