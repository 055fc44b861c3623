//! The places at which a filesystem may fail a change that has to be whole or not at all, so that tests can let any one
//! of them fail.

use rustix::io::Errno;

/// Is passed before each such change; only tests make it fail.
#[cfg_attr(
    not(test),
    expect(clippy::unnecessary_wraps, reason = "tests let it fail")
)]
pub(crate) fn step(what: &'static str) -> Result<(), Errno> {
    #[cfg(test)]
    faults::hit(what)?;
    let _ = what;
    Ok(())
}

/// Which step fails in the running test. Each test has its own thread, and with it its own plan.
#[cfg(test)]
pub(crate) mod faults {
    use std::cell::RefCell;

    use rustix::io::Errno;

    /// What is to fail.
    #[derive(Debug, Clone, Default)]
    pub struct Plan {
        /// The step with this number, counted from 0.
        pub at: Option<u64>,
        /// Every later step too, clearing up included: what a kill looks like on disk.
        pub killed: bool,
        /// Every step of this name, with this error.
        pub refuse: Option<(&'static str, Errno)>,
    }

    thread_local!(static STATE: RefCell<(Plan, u64)> = RefCell::default());

    /// Starts counting anew.
    pub fn plan(plan: Plan) {
        STATE.with_borrow_mut(|state| *state = (plan, 0));
    }

    /// Returns how many steps there were since the plan was set, and lets all succeed from now on.
    pub fn clear() -> u64 {
        STATE.with_borrow_mut(|state| std::mem::take(state).1)
    }

    pub fn hit(what: &'static str) -> Result<(), Errno> {
        STATE.with_borrow_mut(|(plan, count)| {
            let number = *count;
            *count += 1;
            if let Some((name, error)) = plan.refuse
                && name == what
            {
                return Err(error);
            }
            let fails = plan
                .at
                .is_some_and(|at| number == at || plan.killed && number > at);
            if fails { Err(Errno::IO) } else { Ok(()) }
        })
    }
}
