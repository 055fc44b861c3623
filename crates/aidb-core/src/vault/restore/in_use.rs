//! Who uses a data folder: an application that goes on in the old inodes would write into what was put aside.
//!
//! It sees what the caller may see of `/proc`: processes of other users, and those outside our pid namespace, are not
//! found by it. Whoever stops the container first does not depend on it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::mounts;
use crate::mounts::Mount;

/// A process that uses a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub pid: u32,
    /// Its name, as the kernel keeps it.
    pub command: String,
    /// In which way.
    pub how: How,
}

/// In which way a process uses a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It has this file open, or mapped into its memory.
    Open(PathBuf),
    /// Its working folder, or its root, is inside.
    Inside(PathBuf),
    /// Its mount namespace has the folder, or one above or below it, mounted here.
    Mounted(PathBuf),
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (said, path) = match &self.how {
            How::Open(path) => ("has it open:", path),
            How::Inside(path) => ("works in", path),
            How::Mounted(path) => ("has it mounted at", path),
        };
        let Self { pid, command, .. } = self;
        write!(f, "{command} (pid {pid}) {said} `{}`", path.display())
    }
}

/// Returns the processes, other than this one, that use the folder `data`, by rising number.
#[must_use]
pub fn users_of(data: &Path) -> Vec<User> {
    let Ok(data) = data.canonicalize() else {
        return Vec::new();
    };
    let own = mounts::of_process("self").unwrap_or_default();
    let mut search = Search {
        place: mounts::of_path(&own, &data).map(|m| (m.device.clone(), within(m, &data))),
        mapped: mounts::as_in_maps(&data),
        own_namespace: namespace("self"),
        own,
        seen: HashMap::new(),
        data,
    };
    let mut pids: Vec<u32> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != std::process::id() && !is_onlooker(*pid))
        .collect();
    pids.sort_unstable();
    pids.into_iter()
        .filter_map(|pid| {
            let mut how = search.how(pid)?;
            if is_our_child(pid) {
                // Between fork and exec it is still ourselves; when it has become something else, look again.
                if executable("self") == executable(&pid.to_string()) {
                    return None;
                }
                how = search.how(pid)?;
            }
            let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let command = match comm.trim_end() {
                "" => "a process".to_owned(),
                name => name.to_owned(),
            };
            Some(User { pid, command, how })
        })
        .collect()
}

/// Returns whether a process is our own monitor: it only looks, and what it has open for that it lets go by itself.
fn is_onlooker(pid: u32) -> bool {
    let ours = executable("self");
    let folder = ours.as_deref().and_then(Path::parent);
    let theirs = executable(&pid.to_string());
    theirs.is_some_and(|exe| exe.parent() == folder && exe.ends_with("aidb-monitor"))
}

/// What is looked for, and what is already known about other mount namespaces.
struct Search {
    data: PathBuf,
    mapped: Vec<u8>,
    /// The data folder's filesystem and its path within that.
    place: Option<(String, PathBuf)>,
    own: Vec<Mount>,
    own_namespace: Option<OsString>,
    seen: HashMap<OsString, Namespace>,
}

/// What one mount namespace means for the data folder.
#[derive(Debug, Clone)]
struct Namespace {
    /// Its paths mean the same as ours.
    like_ours: bool,
    /// Where it has the data folder mounted in a way that we do not have.
    mounted: Option<PathBuf>,
}

impl Search {
    fn how(&mut self, pid: u32) -> Option<How> {
        let namespace = self.namespace_of(pid);
        if let Some(point) = namespace.mounted {
            return Some(How::Mounted(point));
        }
        // In a container's own tree the same words name other files.
        if !namespace.like_ours {
            return None;
        }
        let below = |link: &str| {
            let target = std::fs::read_link(format!("/proc/{pid}/{link}")).ok()?;
            target.starts_with(&self.data).then_some(target)
        };
        if let Some(path) = below("cwd").or_else(|| below("root")) {
            return Some(How::Inside(path));
        }
        let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .filter_map(|e| std::fs::read_link(e.ok()?.path()).ok())
            .find(|target| target.starts_with(&self.data));
        open.or_else(|| self.mapping(pid)).map(How::Open)
    }

    /// Returns a file below the data folder that a process has mapped; its descriptor may be closed.
    fn mapping(&self, pid: u32) -> Option<PathBuf> {
        let maps = std::fs::read(format!("/proc/{pid}/maps")).ok()?;
        maps.split(|b| *b == b'\n').find_map(|line| {
            let start = line.iter().position(|b| *b == b'/')?;
            let rest = line[start..].strip_prefix(&self.mapped[..])?;
            rest.starts_with(b"/")
                .then(|| PathBuf::from(OsStr::from_bytes(&line[start..])))
        })
    }

    fn namespace_of(&mut self, pid: u32) -> Namespace {
        let ours = Namespace {
            like_ours: true,
            mounted: None,
        };
        // What may not be read is somebody else's; its descriptors will not be readable either.
        let Some(name) = namespace(&pid.to_string()) else {
            return ours;
        };
        if Some(&name) == self.own_namespace.as_ref() {
            return ours;
        }
        if let Some(known) = self.seen.get(&name) {
            return known.clone();
        }
        let Ok(theirs) = mounts::of_process(&pid.to_string()) else {
            return ours;
        };
        let judged = judge(&self.own, &theirs, self.place.as_ref());
        self.seen.insert(name, judged.clone());
        judged
    }
}

/// Judges another namespace's mounts.
///
/// A namespace with our own root (a sandboxed service, Podman's pause process) has copies of our mounts: those mean
/// nothing. One with another root is a container: there every mount of the folder was asked for.
fn judge(own: &[Mount], theirs: &[Mount], place: Option<&(String, PathBuf)>) -> Namespace {
    let root = |mounts: &[Mount]| {
        let top = mounts::of_path(mounts, Path::new("/"))?;
        Some((top.device.clone(), top.root.clone()))
    };
    let like_ours = root(own).is_some() && root(own) == root(theirs);
    let same =
        |a: &Mount, b: &Mount| (&a.device, &a.root, &a.point) == (&b.device, &b.root, &b.point);
    let mounted = place.and_then(|(device, data)| {
        theirs
            .iter()
            .filter(|m| m.device == *device)
            .filter(|m| data.starts_with(&m.root) || m.root.starts_with(data))
            .find(|m| !(like_ours && own.iter().any(|o| same(o, m))))
    });
    Namespace {
        like_ours,
        mounted: mounted.map(|m| m.point.clone()),
    }
}

/// Returns the path of `data` within the filesystem that `mount` shows a part of.
fn within(mount: &Mount, data: &Path) -> PathBuf {
    let rest = data.strip_prefix(&mount.point).unwrap_or(Path::new(""));
    if rest.as_os_str().is_empty() {
        mount.root.clone()
    } else {
        mount.root.join(rest)
    }
}

fn is_our_child(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|l| l.strip_prefix("PPid:"));
    parent.and_then(|p| p.trim().parse().ok()) == Some(std::process::id())
}

fn executable(process: &str) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{process}/exe")).ok()
}

fn namespace(process: &str) -> Option<OsString> {
    std::fs::read_link(format!("/proc/{process}/ns/mnt"))
        .ok()
        .map(PathBuf::into_os_string)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Runs a shell line that ends by saying `ready` and waiting.
    fn run(program: &str, arguments: &[&str], folder: &Path) -> Option<Running> {
        use std::io::BufRead as _;
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir("/")
            .env("DATA", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take()?)
            .read_line(&mut line)
            .ok()?;
        let running = Running(child);
        (line.trim() == "ready").then_some(running)
    }

    #[test]
    fn a_process_with_an_open_file_or_its_working_folder_inside_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir_all(data.join("sub")).unwrap();
        std::fs::create_dir_all(folder.path().join("data-2")).unwrap();
        std::fs::write(data.join("db"), "x").unwrap();
        std::fs::write(folder.path().join("data-2/db"), "x").unwrap();
        let neighbour = r#"exec 3<"$DATA-2/db"; echo ready; read x"#;
        let _neighbour = run("sh", &["-c", neighbour], &data).unwrap();
        assert_eq!(users_of(&data), []);

        let open = r#"exec 3<"$DATA/db"; echo ready; read x"#;
        let first = run("sh", &["-c", open], &data).unwrap();
        let inside = r#"cd "$DATA/sub"; echo ready; read x"#;
        let second = run("sh", &["-c", inside], &data).unwrap();
        let users = users_of(&data);
        assert_eq!(users.len(), 2, "{users:?}");
        let how = |child: &Running| {
            let user = users.iter().find(|u| u.pid == child.0.id());
            user.map(|u| u.how.clone())
        };
        assert_eq!(how(&first), Some(How::Open(data.join("db"))));
        assert_eq!(how(&second), Some(How::Inside(data.join("sub"))));
        drop((first, second));
        assert_eq!(users_of(&data), []);
    }

    #[test]
    fn a_bind_mount_in_another_namespace_is_named_and_a_mere_copy_of_ours_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        std::fs::create_dir_all(folder.path().join("data-mnt")).unwrap();
        let unshare = ["--map-root-user", "--mount", "sh", "-c"];
        let start = |line| run("unshare", &[&unshare[..], &[line]].concat(), &data);
        let Some(_copy) = start("echo ready; read x") else {
            eprintln!("SKIPPED: no `unshare --map-root-user --mount` here");
            return;
        };
        assert_eq!(users_of(&data), []);
        let bind = r#"mount --bind "$DATA" "$DATA-mnt" && echo ready; read x"#;
        let Some(mounted) = start(bind) else {
            eprintln!("SKIPPED: no bind mount in a user namespace here");
            return;
        };
        let users = users_of(&data);
        assert_eq!(users.len(), 1, "{users:?}");
        assert_eq!(users[0].pid, mounted.0.id());
        assert!(matches!(&users[0].how, How::Mounted(at) if at.ends_with("data-mnt")));
    }

    #[test]
    fn a_container_that_has_the_folder_where_we_have_it_uses_it() {
        let mount = |device: &str, root: &str, point: &str| Mount {
            id: 0,
            device: device.into(),
            root: root.into(),
            point: point.into(),
        };
        let own = [mount("8:1", "/", "/"), mount("8:2", "/", "/srv/data")];
        let place = ("8:2".to_owned(), PathBuf::from("/"));
        let container = [mount("0:50", "/", "/"), mount("8:2", "/", "/srv/data")];
        let judged = judge(&own, &container, Some(&place));
        assert!(!judged.like_ours && judged.mounted.is_some());
        let sandbox = judge(&own, &own, Some(&place));
        assert!(sandbox.like_ours && sandbox.mounted.is_none());
        // A folder above, and one below.
        for root in ["/a", "/a/b", "/a/b/c"] {
            let theirs = [mount("0:50", "/", "/"), mount("8:1", root, "/x")];
            let place = ("8:1".to_owned(), PathBuf::from("/a/b"));
            assert!(judge(&own, &theirs, Some(&place)).mounted.is_some());
            let place = ("8:1".to_owned(), PathBuf::from("/ab"));
            assert!(judge(&own, &theirs, Some(&place)).mounted.is_none());
        }
    }
}
