//! Entry: an event as the log commits to it, and back.
//!
//! The envelope says who, what, when and where; its body is the content of the event. An event that would read back as another one never gets in.
//! Next room: `batch`.

use audit::Envelope;
use audit::entry::EntryError;
use change::{Change, ChangeId, Event, time};
use engine::ports::{NewEvent, Recorded, StoreError};
use engine::project::{self, ChangeRow};
use serde_json::{Map, Value};

/// The envelope of an event that has no place yet: position and version are 0.
///
/// # Errors
/// If the event would not read back as itself.
pub(crate) fn draft(stream: &str, new: &NewEvent) -> Result<Envelope, StoreError> {
    let (kind, body) = tagged(&new.event).map_err(|why| refused(stream, "an event", &why))?;
    let envelope = Envelope {
        position: 0,
        stream: stream.to_owned(),
        version: 0,
        kind,
        time: format!("{:.3}", time::to_millis(new.time)),
        actor: new.actor.to_string(),
        change: new.change.map(|change| change.to_string()),
        body,
    };
    let back = recorded(&envelope).map_err(|why| refused(stream, &envelope.kind, &why))?;
    // INVARIANT: the log holds nothing that reads back as something else, or a rebuilt projection would differ from the one that was acted upon.
    if (&back.event, &back.actor, back.change) != (&new.event, &new.actor, new.change) {
        return Err(refused(stream, &envelope.kind, "it would read back as another event"));
    }
    Ok(envelope)
}

/// The bytes of an entry.
///
/// # Errors
/// If the entry is too large, or no entry at all.
pub(crate) fn encode(envelope: &Envelope) -> Result<Vec<u8>, StoreError> {
    envelope.to_bytes().map_err(|error| match error {
        EntryError::TooLong { .. } | EntryError::TooDeep => StoreError::TooLarge(format!(
            "the event `{}` of `{}` can't be written: {error}",
            envelope.kind, envelope.stream
        )),
        error => refused(&envelope.stream, &envelope.kind, &error.to_string()),
    })
}

/// What to do about damage, at the end of every message that reports some.
pub(crate) const HELP: &str = "; run `clearway audit verify` to see how far the log is right, and restore a backup";

/// The store contradicts itself, or holds what we have not written.
pub(crate) fn damaged(why: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("{why}{HELP}"))
}

/// What an entry at a place of the log says.
///
/// # Errors
/// If the bytes are no entry of ours, or belong to another place.
pub(crate) fn decode(position: u64, bytes: &[u8]) -> Result<Recorded, StoreError> {
    let wrong = |why: String| damaged(format_args!("entry {position}: {why}"));
    let envelope = Envelope::from_bytes(bytes).map_err(|error| wrong(error.to_string()))?;
    if envelope.position != position {
        return Err(wrong(format!("it says that it is entry `{}`", envelope.position)));
    }
    recorded(&envelope).map_err(wrong)
}

/// The event that an envelope carries.
///
/// # Errors
/// A sentence that names the field which is not one of ours.
pub fn recorded(envelope: &Envelope) -> Result<Recorded, String> {
    let mut tagged = Map::from_iter([("type".to_owned(), Value::String(envelope.kind.clone()))]);
    if !envelope.body.is_null() {
        tagged.insert("body".to_owned(), envelope.body.clone());
    }
    let event = serde_json::from_value(Value::Object(tagged))
        .map_err(|error| format!("`{}` is not an event that this version reads: {error}", envelope.kind))?;
    Ok(Recorded {
        position: envelope.position,
        stream: envelope.stream.clone(),
        version: envelope.version,
        time: envelope.time.parse().map_err(|error| format!("`{}` is not a time: {error}", envelope.time))?,
        actor: envelope.actor.parse()?,
        change: envelope.change.as_deref().map(str::parse).transpose()?,
        event,
    })
}

/// The change whose state a stream holds. `change/7` is not the stream of `CHG-7`: each change has one stream, spelt in one way.
pub fn change_of(stream: &str) -> Option<ChangeId> {
    ChangeId::of_stream(stream).filter(|id| id.stream() == stream)
}

/// The row of a change, folded from all events of its stream.
pub(crate) fn row_of(events: &[Recorded]) -> Option<ChangeRow> {
    let change: Option<Change> = events.iter().fold(None, project::fold);
    change.as_ref().map(ChangeRow::of)
}

/// The name and the content of an event.
fn tagged(event: &Event) -> Result<(String, Value), String> {
    let value = serde_json::to_value(event).map_err(|error| error.to_string())?;
    let Value::Object(mut tagged) = value else { return Err("it is not an object in JSON".to_owned()) };
    match tagged.remove("type") {
        Some(Value::String(kind)) => Ok((kind, tagged.remove("body").unwrap_or(Value::Null))),
        _ => Err("it has no type in JSON".to_owned()),
    }
}

fn refused(stream: &str, kind: &str, why: &str) -> StoreError {
    StoreError::Failed(format!("the event `{kind}` of `{stream}` can't be written: {why}"))
}

#[cfg(test)]
mod tests {
    use change::{Actor, Timestamp};

    use super::*;

    fn new(event: Event, actor: Actor) -> NewEvent {
        NewEvent { event, actor, change: None, time: Timestamp::UNIX_EPOCH }
    }

    fn ada() -> Actor {
        Actor::User("ada".into())
    }

    #[test]
    fn an_event_without_content_has_an_empty_body() {
        let envelope = draft("change/CHG-7", &new(Event::Released, ada())).expect("it fits");
        let bytes = encode(&envelope).expect("it fits");
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            r#"{"actor":"user:ada","body":null,"position":0,"stream":"change/CHG-7","time":"1970-01-01T00:00:00.000Z","type":"Released","version":0}"#
        );
        assert_eq!(decode(0, &bytes).map(|r| r.event).ok(), Some(Event::Released));
    }

    #[test]
    fn times_are_in_the_log_to_the_millisecond() {
        let time = Timestamp::new(1, 999_999_999).expect("a time");
        let envelope = draft("s", &NewEvent { time, ..new(Event::Released, ada()) }).expect("it fits");
        assert_eq!(envelope.time, "1970-01-01T00:00:01.999Z");
    }

    #[test]
    fn what_would_not_read_back_is_refused_before_it_is_written() {
        let nobody = new(Event::Released, Actor::User(String::new()));
        assert_eq!(
            draft("s", &nobody).expect_err("an actor without a name").to_string(),
            "the store failed: the event `Released` of `s` can't be written: `user:` is not an actor; actors are written `user:ada` or `clearway:policy`"
        );
        let early = NewEvent { time: Timestamp::MIN, ..new(Event::Released, ada()) };
        let envelope = draft("s", &early).expect("it reads back");
        assert!(encode(&envelope).expect_err("a year before 0").to_string().contains("is not an RFC 3339 time"));
    }

    #[test]
    fn an_entry_of_another_place_is_damage() {
        let bytes = encode(&draft("s", &new(Event::Released, ada())).expect("it fits")).expect("it fits");
        assert_eq!(
            decode(5, &bytes).expect_err("another place").to_string(),
            "the store is damaged: entry 5: it says that it is entry `0`; run `clearway audit verify` to see how far the log is right, and restore a backup"
        );
        assert!(decode(0, &bytes[1..]).is_err());
    }

    #[test]
    fn a_change_has_one_stream_in_one_spelling() {
        assert_eq!(change_of("change/CHG-7"), Some(ChangeId::new(7)));
        for other in ["change/7", "change/chg-7", "change/CHG-07", "lane/CHG-7", "change/"] {
            assert_eq!(change_of(other), None, "{other}");
        }
    }
}
