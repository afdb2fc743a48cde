//! Lease: who may act under a name, and until when?
//!
//! One rule over values, on the boot-time clock that the caller reads. The fence grows with each new holder, so that what an earlier holder still does
//! late can be told from what the present one does.

use engine::ports::{BootMillis, Lease};

/// A lease as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) holder: String,
    pub(crate) fence: u64,
    pub(crate) until: BootMillis,
}

impl Held {
    /// The lease after `holder` asked for it at `now`; `None` if another holds it then.
    ///
    /// A holder renews its own lease under the same fence, an ended one too, and gives it back with an `until` that is over.
    pub(crate) fn asked(before: Option<&Self>, holder: &str, now: BootMillis, until: BootMillis) -> Option<Self> {
        let fence = match before {
            None => 1,
            Some(held) if held.holder == holder => held.fence,
            Some(held) if held.until > now => return None,
            Some(held) => held.fence + 1,
        };
        Some(Self { holder: holder.to_owned(), fence, until })
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease { fence: self.fence, until: self.until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_at_its_very_millisecond() {
        let held = Held { holder: "a".into(), fence: 4, until: BootMillis(100) };
        let ask =
            |holder: &str, now| Held::asked(Some(&held), holder, BootMillis(now), BootMillis(500)).map(|h| h.fence);
        assert_eq!([ask("b", 99), ask("b", 100), ask("a", 99), ask("a", 100)], [None, Some(5), Some(4), Some(4)]);
    }
}
