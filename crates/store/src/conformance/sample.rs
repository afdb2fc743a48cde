//! Samples: changes and batches to fill a store with, for its tests and for measuring it.

use change::{Actor, Change, ChangeId, Digest, Event, Span, Timestamp, evolve, time};
use engine::ports::{Batch, LookRow, NewEvent, StreamWrite};
use engine::project::ChangeRow;
use serde_json::json;

/// A time in the log: so many milliseconds after the first.
pub fn at(millis: u64) -> Timestamp {
    time::after(Timestamp::UNIX_EPOCH, Span::millis(1_790_000_000_000 + millis))
}

/// The event `Proposed` of a change of these services.
pub fn proposed(title: &str, services: &[&str]) -> Event {
    let event = json!({"type": "Proposed", "body": {
        "uid": "01890a5d-ac96-774b-bcce-b302099a8057",
        "author": "user:ada",
        "proposal": {
            "title": title, "kind": "code", "owner": "team-shop", "services": services, "environment": "production",
            "plan": {
                "strategy": "canary",
                "target": {"driver": "router", "route": "shop", "limit": 0.1, "port": 8080},
                "steps": [
                    {"weight": "5%", "bake": "5m", "deadline": "30m", "comparison": "concurrent"},
                    {"weight": "100%", "bake": "5m", "deadline": "30m", "comparison": "objective"},
                ],
            },
            "verify": {"slis": [], "commands": [], "every": "10s", "on_insufficient": "hold", "on_unreachable": "page", "watch": "5m"},
            "rollback": {"automatic": true},
            "claims": {"resources": ["router:shop"], "effect": "closed"},
            "revision_digest": Digest::of_bytes(b"revision"),
            "effect_digest": Digest::of_bytes(title.as_bytes()),
        },
    }});
    serde_json::from_value(event).expect("the sample is an event")
}

/// An event by `user:ada`.
pub fn new(event: Event, change: Option<ChangeId>, millis: u64) -> NewEvent {
    NewEvent { event, actor: Actor::User("ada".into()), change, time: at(millis) }
}

/// Some events of a lane, for one stream.
pub fn write(stream: &str, expected: u64, events: usize) -> StreamWrite {
    let event = |i: usize| new(Event::LaneTaken { change: ChangeId::new(i as u64 + 1) }, None, expected + i as u64);
    StreamWrite { stream: stream.to_owned(), expected, events: (0..events).map(event).collect() }
}

/// A batch of only that.
pub fn batch(stream: &str, expected: u64, events: usize) -> Batch {
    Batch { writes: vec![write(stream, expected, events)], ..Batch::default() }
}

/// A look as a judge would keep it.
pub fn look(change: ChangeId, number: u64) -> LookRow {
    LookRow {
        change,
        number,
        step: 1,
        attempt: 2,
        at: at(number),
        readings: json!([{"sli": "errors", "canary": [1.5e-7, 3], "why": "ü\u{0}\"'"}]),
        counters: json!({"requests": {"": 12_345.25}}),
        verdict: json!({"is": "insufficient", "log_evidence": -0.1}),
    }
}

/// One change as it goes along: knows its state, so that its batches carry the right row.
#[derive(Clone, Debug)]
pub struct Going {
    id: ChangeId,
    state: Option<Change>,
}

impl Going {
    pub fn new(number: u64) -> Self {
        Self { id: ChangeId::new(number), state: None }
    }

    pub fn id(&self) -> ChangeId {
        self.id
    }

    /// The batch that appends these events, and the row after them.
    pub fn goes(&mut self, events: impl IntoIterator<Item = Event>) -> Batch {
        let expected = self.state.as_ref().map_or(0, |change| change.version);
        let (id, mut state, mut new_events) = (self.id, self.state.take(), Vec::new());
        for (millis, event) in (expected..).zip(events) {
            let fresh = new(event, Some(id), millis);
            state = evolve(state, id, &fresh.event, &fresh.actor, fresh.time);
            new_events.push(fresh);
        }
        self.state = state;
        let writes = vec![StreamWrite { stream: id.stream(), expected, events: new_events }];
        Batch { writes, rows: self.row().into_iter().collect(), ..Batch::default() }
    }

    /// The row as it is now.
    pub fn row(&self) -> Option<ChangeRow> {
        self.state.as_ref().map(ChangeRow::of)
    }
}
