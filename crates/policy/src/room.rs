//! Room to work: the interpreter runs on a thread of its own, with a stack that honest policies can't exhaust.
//!
//! The interpreter recurses once for each rule, call and operator that it is inside of, and a stack that overflows ends the whole server. A panic of
//! the interpreter ends here, as an error. Must never be used for anything that waits. What bounds the recursion is in `guard`.

/// Measured on an unoptimised build: 20 KiB for each rule within a rule, 7 KiB for each operator within an operator. With the limits of `guard`, 2,000
/// rules in a chain need 40 MiB. It is address space, not memory: only what is used is ever backed.
const STACK_BYTES: usize = 128 << 20;

/// Does the work on a thread with that stack, and waits for it.
///
/// # Errors
/// A sentence, if the thread can't be started or the work panics.
pub(crate) fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("policy".into()).stack_size(STACK_BYTES);
        let running = thread.spawn_scoped(scope, work).map_err(|e| format!("no thread for the policies: {e}"))?;
        running.join().map_err(|_| "the interpreter of the policies broke down; please report this as a bug".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        assert_eq!(with_room(|| 7), Ok(7));
        assert!(with_room(|| assert_eq!(1, 2)).is_err_and(|e| e.contains("broke down")));
    }
}
