//! Does it hold together in its application's own terms?

use super::words::with_one_way_out;
use super::{Case, Occasion};
use crate::finding::{Finding, FindingId, Severity, Step};
use crate::guard::StoreKind;
use crate::look::application::{Application, MODELS, Terms};
use crate::look::chroma::Chroma;
use crate::look::observation::Place;
use crate::look::ollama::Ollama;
use crate::look::qdrant::Qdrant;
use crate::look::tour::{Ended, MOST_NAMES, Several};
use crate::look::uploads::Uploads;

/// Judges what the application's own files say.
pub(super) fn judge(case: &Case, findings: &mut Vec<Finding>) {
    let mut say = Say {
        case,
        damaged: super::words::damaged(case.guard),
        findings: Vec::new(),
    };
    say.folder();
    if let Some(application) = &case.seen.application {
        match &application.terms {
            Terms::Chroma(chroma) => say.chroma(chroma),
            Terms::Ollama(ollama) => say.ollama(ollama, application),
            Terms::Qdrant(qdrant) => say.qdrant(qdrant),
            Terms::Uploads(uploads) => say.uploads(uploads),
        }
        say.limits(application);
    }
    findings.extend(with_one_way_out(say.findings));
}

/// What is being said about one store.
struct Say<'a> {
    case: &'a Case<'a>,
    damaged: Severity,
    findings: Vec<Finding>,
}

impl Say<'_> {
    fn add(&mut self, id: FindingId, severity: Severity, what: String, evidence: Option<String>) {
        let mut finding = self.case.told(id, severity, what, evidence);
        if severity == Severity::Warn && self.case.occasion != Occasion::Proof {
            finding.next = self.bring_back();
        }
        self.findings.push(finding);
    }

    /// Returns the way back to the newest proven snapshot, if it holds this store.
    fn bring_back(&self) -> Vec<Step> {
        let name = &self.case.store.name;
        let proven = self.case.memory.proven.as_ref();
        let holds_it = proven.is_some_and(|s| s.stores.contains_key(name));
        holds_it
            .then(|| Step::new("bring it back", &["restore", &self.case.guard.name]))
            .into_iter()
            .collect()
    }

    /// Says it of a list, if there is anything on it.
    fn several(
        &mut self,
        id: FindingId,
        severity: Severity,
        list: &Several,
        what: &str,
        tell: &str,
    ) {
        if !list.is_empty() {
            let evidence = Some(told(list) + tell);
            self.add(id, severity, what.to_owned(), evidence);
        }
    }

    /// Says that a file stands where these applications keep a folder.
    fn folder(&mut self) {
        let preset = self.case.guard.preset.as_deref();
        let store = self.case.store;
        let known = match preset {
            Some("mindsdb") => &["content", "storage"][..],
            Some("open-webui") => &["uploads"],
            _ => &[],
        };
        let is_folder =
            store.kind == StoreKind::Files && known.iter().any(|k| store.path.as_os_str() == *k);
        if is_folder && matches!(self.case.seen.place, Place::File(_)) {
            let what = "a file stands where a folder belongs".to_owned();
            self.add(FindingId::StoreSpecialFile, self.damaged, what, None);
        }
    }

    fn chroma(&mut self, chroma: &Chroma) {
        self.several(
            FindingId::ChromaIndexMissing,
            self.damaged,
            &chroma.missing,
            "a vector index is missing: Chroma would start, and leave its documents out of every answer",
            "",
        );
        self.several(
            FindingId::ChromaIndexTruncated,
            self.damaged,
            &chroma.truncated,
            "a vector index is cut off or its header is damaged",
            "",
        );
    }

    fn ollama(&mut self, ollama: &Ollama, application: &Application) {
        let whole = application.ended.is_none() && application.unlooked.is_empty();
        // The application fetches it again; a snapshot that is to bring models back does not.
        let content = match self.case.occasion {
            Occasion::Proof => self.damaged,
            _ => Severity::Warn,
        };
        let pull = "; `ollama pull` fetches it again";
        self.several(
            FindingId::OllamaManifestBad,
            Severity::Warn,
            &ollama.bad_manifests,
            "a manifest cannot be read",
            pull,
        );
        self.several(
            FindingId::OllamaBlobMissing,
            Severity::Warn,
            &ollama.missing,
            "a model lacks a blob",
            pull,
        );
        // The server takes a blob that exists for a whole one: the model is removed first.
        self.several(
            FindingId::OllamaBlobSize,
            content,
            &ollama.wrong_size,
            "a blob has another size than its manifest says",
            "; `ollama rm`, then `ollama pull` fetches it again",
        );
        if let Some(hashed) = &ollama.hashed {
            self.several(
                FindingId::OllamaBlobHash,
                content,
                &hashed.differing,
                "the content of a blob does not match its name",
                "; `ollama rm`, then `ollama pull` fetches it again",
            );
            self.several(
                FindingId::CheckCouldNot,
                Severity::Warn,
                &hashed.unread,
                "blobs could not be read",
                "",
            );
        }
        if !whole {
            return;
        }
        let baseline = self.case.memory.of(&self.case.store.name);
        let before = baseline.and_then(|b| b.most_rows.get(MODELS)).copied();
        let before = before.filter(|before| ollama.models < *before);
        if ollama.orphans > 0 {
            let orphans = format!(
                "{}, {} bytes",
                count(ollama.orphans, "blob"),
                ollama.orphan_bytes
            );
            let (severity, what) = match before {
                _ if ollama.manifests == 0 => (
                    self.damaged,
                    "there are blobs and no manifest: the server deletes them all when it starts",
                ),
                Some(_) => (
                    Severity::Warn,
                    "a manifest is gone: the server deletes its blobs when it starts",
                ),
                None => (
                    Severity::Info,
                    "blobs that no manifest names: the server deletes them when it starts",
                ),
            };
            let known = before.map(|n| format!("; {} models, was {n}", ollama.models));
            let evidence = orphans + &known.unwrap_or_default();
            self.add(
                FindingId::OllamaNoManifests,
                severity,
                what.to_owned(),
                Some(evidence),
            );
        } else if let (0, 0, Some(before)) = (ollama.models, ollama.manifests, before) {
            let severity = self.case.guard.policy.shrunken.into();
            let evidence = Some(format!("0 models, was {before}"));
            let what = "there is no model any more".to_owned();
            self.add(FindingId::ContractRowsShrunk, severity, what, evidence);
        }
    }

    fn qdrant(&mut self, qdrant: &Qdrant) {
        self.several(
            FindingId::QdrantJsonBad,
            self.damaged,
            &qdrant.bad_json,
            "a JSON file cannot be read",
            "",
        );
        self.several(
            FindingId::QdrantSegmentBad,
            self.damaged,
            &qdrant.bad_segments,
            "a segment is incomplete: Qdrant would lose its points without a word, or not start",
            "",
        );
        self.several(
            FindingId::QdrantWalBad,
            self.damaged,
            &qdrant.bad_logs,
            "a write-ahead log is missing or damaged",
            "",
        );
        self.several(
            FindingId::QdrantWalBad,
            Severity::Warn,
            &qdrant.unmarked_logs,
            "a write-ahead log does not say how far it was applied",
            "",
        );
    }

    fn uploads(&mut self, uploads: &Uploads) {
        if uploads.missing.is_empty() {
            return;
        }
        let what = format!(
            "{} of {} that the database names {} not there",
            uploads.missing.count,
            count(uploads.named, "uploaded file"),
            if uploads.missing.count == 1 {
                "is"
            } else {
                "are"
            },
        );
        let evidence = Some(told(&uploads.missing));
        self.add(
            FindingId::UploadsFileMissing,
            Severity::Warn,
            what,
            evidence,
        );
        let Some(finding) = self.findings.last_mut() else {
            return;
        };
        // It is the files that lack something, not the database: what is known of the database stays good.
        if let Some(first) = &uploads.first_missing {
            let files = self
                .case
                .guard
                .stores
                .iter()
                .find(|s| s.kind == StoreKind::Files && first.starts_with(&s.path));
            finding.store = files.map(|s| s.name.clone());
            finding.path = first.parent().map(|p| self.case.guard.data.join(p));
        }
    }

    /// Says what was not looked at.
    fn limits(&mut self, application: &Application) {
        let id = FindingId::CheckCouldNot;
        if !application.unlooked.is_empty() {
            let what = format!(
                "{} could not be looked at",
                count(application.unlooked.count, "name")
            );
            let evidence = Some(told(&application.unlooked));
            self.add(id, Severity::Warn, what, evidence);
            if let Some(finding) = self.findings.last_mut() {
                finding.next.clear();
            }
        }
        if application.ended == Some(Ended::TooMuch) {
            let what = format!("only the first {MOST_NAMES} names were looked at");
            self.add(id, Severity::Info, what, None);
        }
    }
}

/// Returns the first few, and how many more there are.
fn told(list: &Several) -> String {
    let more = list.count.saturating_sub(list.first.len() as u64);
    let first = list.first.join("; ");
    if more == 0 {
        first
    } else {
        format!("{first}; and {more} more")
    }
}

fn count(n: u64, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}
