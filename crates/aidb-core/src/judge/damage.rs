//! Can it be read as what it is?

use super::words::{damaged, file_name, told_log, with_one_way_out};
use super::{Case, Occasion};
use crate::finding::{Finding, FindingId, Severity};
use crate::look::observation::{Database, Form, Opened};

/// Judges the structure of a database.
pub(super) fn judge(case: &Case, database: &Database, findings: &mut Vec<Finding>) {
    let mut say = Say {
        case,
        file: file_name(case),
        damaged: damaged(case.guard),
        findings: Vec::new(),
    };
    if say.form(database) {
        say.structure(database);
        if let Some(opened) = &database.opened {
            say.opened(opened);
        }
        say.leftovers(database);
    }
    findings.extend(with_one_way_out(say.findings));
}

/// What is being said about one database.
struct Say<'a> {
    case: &'a Case<'a>,
    file: String,
    damaged: Severity,
    findings: Vec<Finding>,
}

impl Say<'_> {
    /// Says it; what another finding of the same id tells already is evidence for that one: they have one cause.
    fn add(&mut self, id: FindingId, severity: Severity, what: String, evidence: Option<String>) {
        let mut findings = self.findings.iter_mut();
        if let Some(first) = findings.find(|f| f.id == id && f.severity >= severity) {
            let also = evidence.map_or_else(|| what.clone(), |e| format!("{what}: {e}"));
            let evidence = first.evidence.take().into_iter().chain([also]);
            first.evidence = Some(evidence.collect::<Vec<_>>().join("; "));
            return;
        }
        let finding = self.case.told(id, severity, what, evidence);
        self.findings.push(finding);
    }

    /// Says what the main file is; returns whether it is a database.
    fn form(&mut self, database: &Database) -> bool {
        let file = &self.file;
        let (id, what, evidence) = match &database.form {
            Form::Empty | Form::Database => return true,
            Form::Other(looks) => {
                let what = format!("`{file}` is not an SQLite database");
                (
                    FindingId::SqliteNotSqlite,
                    what,
                    format!("it looks like {looks}"),
                )
            }
            Form::Unsupported(why) => (
                FindingId::SqliteUnsupported,
                format!("`{file}` cannot be read by this SQLite"),
                why.clone(),
            ),
            Form::BadHeader(why) => (
                FindingId::SqliteDamaged,
                format!("the header of `{file}` is damaged"),
                why.clone(),
            ),
        };
        self.add(id, self.damaged, what, Some(evidence));
        false
    }

    /// Says what our own reader found wrong with the files.
    fn structure(&mut self, database: &Database) {
        let file = self.file.clone();
        if database.missing_pages > 0 {
            let evidence = format!(
                "{} of {} pages are missing",
                database.missing_pages, database.pages
            );
            self.add(
                FindingId::SqliteTruncated,
                self.damaged,
                format!("`{file}` is cut off"),
                Some(evidence),
            );
        }
        if let Some(why) = database.log.foreign.clone() {
            let what = format!(
                "`{file}-wal` belongs to another database, and would be applied to this one"
            );
            self.add(FindingId::SqliteWalForeign, self.damaged, what, Some(why));
        }
        if let Some(why) = database.journal.foreign.clone() {
            let what = format!(
                "`{file}-journal` belongs to another database, and would be rolled back into this one"
            );
            self.add(
                FindingId::SqliteJournalForeign,
                self.damaged,
                what,
                Some(why),
            );
        }
        if let (true, Some(why)) = (database.journal.is_hot, database.journal.torn.clone()) {
            let what = format!(
                "an interrupted transaction cannot be rolled back: `{file}-journal` is damaged"
            );
            self.add(FindingId::SqliteDamaged, self.damaged, what, Some(why));
        }
        if let Some(why) = database.schema_problem.clone() {
            let what = format!("the schema of `{file}` cannot be read");
            self.add(FindingId::SqliteDamaged, self.damaged, what, Some(why));
        }
    }

    /// Says what SQLite found wrong with a private copy.
    fn opened(&mut self, opened: &Opened) {
        let file = self.file.clone();
        if let Some(why) = opened.refused.clone() {
            self.add(
                FindingId::SqliteDamaged,
                self.damaged,
                format!("SQLite cannot read `{file}`"),
                Some(why),
            );
        }
        if let Some(first) = opened.damaged.first() {
            let what = format!(
                "the integrity check of `{file}` reports {}",
                problems(opened.damaged.len() as u64)
            );
            self.add(
                FindingId::SqliteDamaged,
                self.damaged,
                what,
                Some(format!("first: {first}")),
            );
        }
        if let Some(first) = opened.disagrees.first() {
            let what = format!("rows of `{file}` disagree with its indexes or constraints");
            let evidence = format!(
                "{}; first: {first}",
                problems(opened.disagrees.len() as u64)
            );
            self.add(
                FindingId::SqliteIndexDisagrees,
                self.damaged,
                what,
                Some(evidence),
            );
        }
        if let Some((count @ 1.., first)) = &opened.foreign_keys {
            let what = format!("rows of `{file}` refer to rows that do not exist");
            let evidence = format!("{}; first: {first}", problems(*count));
            self.add(
                FindingId::SqliteForeignKey,
                Severity::Warn,
                what,
                Some(evidence),
            );
        }
    }

    /// An application that has such a schema has it at every start, and was told of it once.
    fn lasting(&self, database: &Database) -> Severity {
        let baseline = self.case.memory.of(&self.case.store.name);
        let known = baseline.map_or(&[][..], |b| &b.last.unsafe_schema);
        let is_hook = matches!(self.case.occasion, Occasion::Start | Occasion::Switch);
        if is_hook && database.unsafe_schema.iter().all(|u| known.contains(u)) {
            Severity::Info
        } else {
            Severity::Warn
        }
    }

    /// Says what the next start deals with, or loses.
    fn leftovers(&mut self, database: &Database) {
        let file = self.file.clone();
        if let Some(why) = &database.log.torn {
            let what =
                format!("the end of `{file}-wal` cannot be used: what was committed there is lost");
            let evidence = format!("{why}; {}", told_log(database.log.committed_frames));
            self.add(
                FindingId::SqliteWalTorn,
                Severity::Warn,
                what,
                Some(evidence),
            );
        }
        match (
            &database.journal.super_journal,
            database.journal.is_hot,
            &database.journal.torn,
        ) {
            (Some((name, _)), true, _) => {
                let what = format!(
                    "an interrupted commit over several databases waits in `{file}-journal`"
                );
                let evidence = Some(format!("it names `{name}`"));
                self.add(
                    FindingId::SqliteJournalSuper,
                    Severity::Warn,
                    what,
                    evidence,
                );
            }
            (None, true, None) => {
                let what = format!("an interrupted transaction waits in `{file}-journal`");
                let evidence = Some("the application rolls it back when it starts".to_owned());
                self.add(FindingId::SqliteJournalHot, Severity::Info, what, evidence);
            }
            _ => {}
        }
        if !database.unsafe_schema.is_empty() {
            let what = format!("the schema of `{file}` holds code that no check runs");
            let evidence = Some(database.unsafe_schema.join(", "));
            self.add(
                FindingId::SqliteUnsafeSchema,
                self.lasting(database),
                what,
                evidence,
            );
        }
        if database.trailing_bytes > 0 && database.missing_pages == 0 {
            let what = format!("`{file}` has bytes after its last page, which SQLite ignores");
            let evidence = Some(format!("{} bytes", database.trailing_bytes));
            self.add(FindingId::SqliteDamaged, Severity::Info, what, evidence);
        }
    }
}

fn problems(count: u64) -> String {
    if count == 1 {
        "1 problem".into()
    } else {
        format!("{count} problems")
    }
}
