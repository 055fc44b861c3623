//! No SQLite, and nothing else of ours, ever opens an original for more than reading.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aidb_testkit::left_out;

use crate::untouched::COMMANDS;
use crate::{LARGE, with};

/// What the kernel is asked for when a file is opened for more than reading, or a folder changes.
const MORE_THAN_READING: &[&str] = &["O_RDWR", "O_WRONLY", "O_CREAT", "O_TRUNC", "O_APPEND"];

const CALLS: &str = "open,openat,openat2,creat,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlinkat,\
    mkdir,mkdirat,truncate,ftruncate,fallocate,chmod,fchmod,fchmodat,chown,fchown,fchownat,lchown,utimensat,write,\
    pwrite64,pwritev,copy_file_range,sendfile,ioctl,setxattr,fsetxattr,mmap,fcntl";

#[test]
fn the_kernel_is_asked_for_reading_only() {
    let stack = with(LARGE);
    let trace = stack.home().join("trace");
    let mut opened = 0;
    for command in COMMANDS {
        let mut words = command.split(' ');
        let tool = stack.command(words.next().unwrap());
        let mut strace = stack.strace(&tool, CALLS, &trace);
        let ran = stack.ran(strace.args(words));
        if !trace.exists() || ran.stderr.contains("ptrace") {
            return left_out("the trace of the system calls", &ran.stderr);
        }
        assert_eq!(ran.status, 0, "`{command}`: {ran}");
        let text = std::fs::read_to_string(&trace).unwrap();
        for line in text.lines() {
            opened += usize::from(of_data(line, &stack.data()) && line.contains("open"));
            if let Some(why) = offence(line, &stack.data()) {
                panic!("`{command}` {why}: {line}");
            }
        }
        std::fs::remove_file(&trace).unwrap();
    }
    assert!(
        opened > COMMANDS.len(),
        "the trace shows {opened} opens of the data"
    );
}

/// Returns whether a traced call speaks of a file of the data folder, by its path or by a descriptor of it.
fn of_data(line: &str, data: &Path) -> bool {
    let data = data.display().to_string();
    line.match_indices(&data).any(|(at, _)| {
        matches!(
            line.as_bytes().get(at + data.len()),
            Some(b'/' | b'>' | b'"')
        )
    })
}

/// Returns what is wrong with a traced call, if anything is.
fn offence(line: &str, data: &Path) -> Option<&'static str> {
    let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    let (name, _) = call.split_once('(')?;
    if !of_data(line, data) {
        return None;
    }
    match name {
        "open" | "openat" | "openat2" => MORE_THAN_READING
            .iter()
            .any(|flag| call.contains(flag))
            .then_some("opens an original for more than reading"),
        // SQLite's locks are those of a process; ours belong to an open file.
        "fcntl" => (call.contains("F_SETLK") || call.contains("F_WRLCK"))
            .then_some("locks an original as SQLite does, or for writing"),
        "mmap" => call
            .contains("PROT_WRITE")
            .then_some("maps an original to write"),
        // An original may be the source of a copy, or be spoken of; it may not be the target.
        "ioctl" | "copy_file_range" | "sendfile" | "write" | "pwrite64" | "pwritev" => {
            writes_to(call, name, data)
        }
        _ => Some("changes an original"),
    }
}

fn writes_to(call: &str, name: &str, data: &Path) -> Option<&'static str> {
    let target = match name {
        "copy_file_range" => call.split(", ").nth(2)?,
        _ => call.split(", ").next()?,
    };
    let writes = name != "ioctl" || call.contains("FICLONE");
    (writes && of_data(target, data)).then_some("writes to an original")
}

#[test]
fn what_the_trace_would_show_is_told_from_what_it_may_show() {
    let data = Path::new("/home/ai/open-webui");
    for (line, bad) in [
        (
            r#"12 openat2(5</home/ai/open-webui>, "webui.db", {flags=O_RDONLY|O_NONBLOCK}, 24) = 6"#,
            false,
        ),
        (
            r#"12 openat2(5</home/ai/open-webui>, "webui.db", {flags=O_RDWR|O_CREAT}, 24) = 6"#,
            true,
        ),
        (
            r#"12 openat(AT_FDCWD</>, "/home/ai/open-webui/webui.db", O_RDWR|O_CREAT, 0644) = -1 EACCES"#,
            true,
        ),
        (
            r#"12 openat(AT_FDCWD</>, "/home/ai/open-webui.before/webui.db", O_RDWR) = 5"#,
            false,
        ),
        (
            r"12 fcntl(6</home/ai/open-webui/webui.db>, F_SETLK, {l_type=F_RDLCK, l_start=1}) = 0",
            true,
        ),
        (
            r"12 fcntl(6</home/ai/open-webui/webui.db>, F_OFD_SETLK, {l_type=F_RDLCK, l_start=1}) = 0",
            false,
        ),
        (
            r#"12 unlinkat(5</home/ai/open-webui>, "webui.db-shm", 0) = 0"#,
            true,
        ),
        (
            r"12 copy_file_range(6</home/ai/open-webui/webui.db>, [0], 7</home/vault/x>, [0], 9, 0) = 9",
            false,
        ),
        (
            r"12 copy_file_range(7</home/vault/x>, [0], 6</home/ai/open-webui/webui.db>, [0], 9, 0) = 9",
            true,
        ),
        (
            r"12 pwrite64(6</home/ai/open-webui/webui.db-shm>, 9, 0) = 9",
            true,
        ),
        (r"12 pwrite64(6</home/vault/webui.db>, 9, 0) = 9", false),
    ] {
        assert_eq!(offence(line, data).is_some(), bad, "{line}");
    }
}

/// Whoever needs to write fails here.
#[test]
fn everything_works_on_a_folder_in_which_nothing_may_be_written() {
    let stack = with(LARGE).as_plain_user();
    let everything = everything(&stack.data());
    let modes: Vec<_> = everything
        .iter()
        .map(|p| (p, std::fs::metadata(p).unwrap().permissions()))
        .collect();
    for path in &everything {
        let mode = if path.is_dir() { 0o555 } else { 0o444 };
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    crate::untouched::stays(&stack, Some(0));
    let check = stack.run("aidb check").with(0);
    assert!(
        // On a slow machine the first look is old enough to stand by now.
        check.stdout.contains("260 chat, 4 user, "),
        "{check}"
    );
    for (path, permissions) in modes {
        std::fs::set_permissions(path, permissions).unwrap();
    }
}

/// Returns a folder and all that is below it, the folder first.
fn everything(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    let mut at = 0;
    while at < found.len() {
        if found[at].is_dir() {
            found.extend(
                std::fs::read_dir(&found[at])
                    .unwrap()
                    .map(|e| e.unwrap().path()),
            );
        }
        at += 1;
    }
    found
}
