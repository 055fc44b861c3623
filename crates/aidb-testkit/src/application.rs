//! An application that has its database open, in a process of its own: SQLite's locks are those of a process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};

use rusqlite::Connection;

const DATABASE: &str = "AIDB_TESTKIT_APPLICATION";

/// The application; dropped, it is killed, and leaves what a killed one leaves.
#[derive(Debug)]
pub struct Application {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStderr>,
}

impl Application {
    /// Opens the database. `role` is the path of a test of the calling binary that does nothing but call [`role`].
    #[must_use]
    pub fn open(role: &str, database: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", role, "--nocapture"])
            .env(DATABASE, database)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stderr.take().unwrap());
        let mut application = Self {
            process,
            orders,
            answers,
        };
        application.hear("ready");
        application
    }

    /// Has it run SQL, and waits until it has.
    pub fn run(&mut self, sql: &str) {
        writeln!(self.orders, "{}", sql.replace('\n', " ")).unwrap();
        self.hear("done");
    }

    fn hear(&mut self, word: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word);
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Is the application, if this process was started as one; as an ordinary test it has nothing to do.
pub fn role() {
    let Some(database) = std::env::var_os(DATABASE) else {
        return;
    };
    let db = Connection::open(database).unwrap();
    db.query_row("select count(*) from sqlite_schema", [], |_| Ok(()))
        .unwrap();
    let mut answers = std::io::stderr();
    writeln!(answers, "ready").unwrap();
    for order in std::io::stdin().lines() {
        db.execute_batch(&order.unwrap()).unwrap();
        writeln!(answers, "done").unwrap();
    }
}
