//! Work that may wait for everybody else.

/// The least that a thread may ask of the processor.
const LEAST: i32 = 19;

/// Lets this thread, and those that it starts from now on, have the processor last, and the disk only when nobody else
/// wants it. Where that is not allowed the work is done all the same.
pub fn idle() {
    let _ = rustix::process::nice(LEAST);
    // The kernel keeps both for each thread; `Pid::this` would be the first thread of the process.
    let thread = ioprio::Pid::from_raw(rustix::thread::gettid().as_raw_nonzero().get());
    let _ = ioprio::set_priority(
        ioprio::Target::Process(thread),
        ioprio::Priority::new(ioprio::Class::Idle),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_started_afterwards_is_idle_too() {
        let inner = std::thread::spawn(|| {
            idle();
            std::thread::spawn(|| {
                let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
                // proc(5): field 19, counted from behind the name, which may hold spaces.
                let behind = stat.rsplit_once(") ").unwrap().1;
                let nice = behind.split(' ').nth(16).unwrap().to_owned();
                let thread = std::fs::read_link("/proc/thread-self").unwrap();
                let thread = thread.file_name().unwrap().to_str().unwrap();
                let thread = ioprio::Pid::from_raw(thread.parse().unwrap());
                let thread = ioprio::Target::Process(thread);
                (nice, ioprio::get_priority(thread).unwrap())
            })
            .join()
            .unwrap()
        });
        let (nice, disk) = inner.join().unwrap();
        assert_eq!(nice, "19");
        assert_eq!(disk, ioprio::Priority::new(ioprio::Class::Idle));
    }
}
