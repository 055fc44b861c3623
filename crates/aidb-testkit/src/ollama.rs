//! A folder as Ollama keeps it (`manifests/`, `blobs/`), and what can happen to it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::variant::{Variant, cut, link, pipe, put, variant};

/// Writes two models that share their licence; returns nothing that a test could not find by [`weights`].
pub fn build(folder: &Path) {
    let licence = blob(folder, b"licence of both");
    for name in ["llama3.2/3b", "qwen2.5/0.5b"] {
        let weights = blob(folder, &weights_of(name));
        let config = blob(
            folder,
            format!("{{\"model_family\":\"{name}\"}}").as_bytes(),
        );
        let manifest = json!({
            "schemaVersion": 2, "config": config, "layers": [weights, licence.clone()],
        });
        put(&manifest_path(folder, name), manifest.to_string());
    }
}

/// Returns the path of the blob with a model's weights.
#[must_use]
pub fn weights(folder: &Path, model: &str) -> PathBuf {
    folder
        .join("blobs")
        .join(format!("sha256-{}", hex(&weights_of(model))))
}

/// Returns the path of a model's manifest.
#[must_use]
pub fn manifest_path(folder: &Path, model: &str) -> PathBuf {
    folder
        .join("manifests/registry.ollama.ai/library")
        .join(model)
}

fn weights_of(model: &str) -> Vec<u8> {
    format!("GGUF {model} ").repeat(200).into_bytes()
}

fn blob(folder: &Path, content: &[u8]) -> Value {
    let digest = hex(content);
    put(
        &folder.join("blobs").join(format!("sha256-{digest}")),
        content,
    );
    json!({ "digest": format!("sha256:{digest}"), "size": content.len() })
}

fn hex(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
}

fn llama(folder: &Path) -> PathBuf {
    weights(folder, "llama3.2/3b")
}

fn qwen(folder: &Path) -> PathBuf {
    manifest_path(folder, "qwen2.5/0.5b")
}

fn partial(folder: &Path, name: &str) -> PathBuf {
    let digest = hex(b"not here yet");
    folder
        .join("blobs")
        .join(format!("sha256-{digest}-partial{name}"))
}

/// Everything that can happen to it.
pub const VARIANTS: &[Variant] = &[
    variant("healthy", &[], |_| {}),
    variant("a copy of a model", &[], |f| {
        fs::create_dir_all(manifest_path(f, "mycopy")).unwrap();
        fs::copy(qwen(f), manifest_path(f, "mycopy/latest")).unwrap();
    }),
    variant("names of older versions", &[], |f| {
        for entry in fs::read_dir(f.join("blobs")).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .replace('-', ":");
            fs::rename(&path, path.with_file_name(name)).unwrap();
        }
    }),
    variant("an interrupted download", &[], |f| {
        put(&partial(f, ""), [0; 4096]);
        put(
            &partial(f, "-0"),
            r#"{"N":0,"Offset":0,"Size":4096,"Completed":7}"#,
        );
    }),
    variant("an interrupted first download", &[], |f| {
        fs::remove_dir_all(f).unwrap();
        put(&partial(f, ""), [0; 4096]);
    }),
    variant("files that are no manifests", &[], |f| {
        put(&f.join("manifests/.DS_Store"), "x");
        put(&qwen(f).with_file_name(".DS_Store"), "x");
        put(&f.join("manifests/note"), "x");
    }),
    variant("nothing yet", &[], |f| {
        fs::remove_dir_all(f.join("blobs")).unwrap();
        fs::remove_dir_all(f.join("manifests")).unwrap();
    }),
    variant("a blob is missing", &["ollama.blob-missing warn"], |f| {
        fs::remove_file(llama(f)).unwrap();
    }),
    variant(
        "all blobs are missing",
        &["ollama.blob-missing warn"],
        |f| {
            fs::remove_dir_all(f.join("blobs")).unwrap();
        },
    ),
    variant("a blob is a folder", &["ollama.blob-missing warn"], |f| {
        fs::remove_file(llama(f)).unwrap();
        fs::create_dir(llama(f)).unwrap();
    }),
    variant("a blob is a pipe", &["ollama.blob-missing warn"], |f| {
        fs::remove_file(llama(f)).unwrap();
        pipe(&llama(f));
    }),
    variant("a blob is cut off", &["ollama.blob-size warn"], |f| {
        cut(&llama(f), 100);
    }),
    variant("a blob has 0 bytes", &["ollama.blob-size warn"], |f| {
        cut(&llama(f), 0);
    }),
    variant("a blob is too long", &["ollama.blob-size warn"], |f| {
        cut(&llama(f), 1 << 20);
    }),
    variant(
        "two manifests name different sizes",
        &["ollama.blob-size warn"],
        |f| {
            let text = fs::read_to_string(qwen(f)).unwrap();
            put(
                &manifest_path(f, "other/1"),
                text.replace("\"size\":", "\"size\":1"),
            );
        },
    ),
    variant(
        "a manifest has 0 bytes",
        &["ollama.manifest-bad warn"],
        |f| cut(&qwen(f), 0),
    ),
    variant(
        "a manifest is cut off",
        &["ollama.manifest-bad warn"],
        |f| cut(&qwen(f), 90),
    ),
    variant(
        "a manifest names nothing",
        &["ollama.manifest-bad warn"],
        |f| put(&qwen(f), "{}"),
    ),
    variant(
        "a manifest is a list of lists",
        &["ollama.manifest-bad warn"],
        |f| {
            put(&qwen(f), "[".repeat(1 << 20));
        },
    ),
    variant(
        "a manifest is deep inside",
        &["ollama.manifest-bad warn"],
        |f| {
            let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
            put(&qwen(f), format!("{{\"config\":{deep}}}"));
        },
    ),
    variant(
        "a manifest names a path",
        &["ollama.manifest-bad warn"],
        |f| {
            put(
                &qwen(f),
                r#"{"layers":[{"digest":"sha256:../../../etc/passwd","size":1}]}"#,
            );
        },
    ),
    variant(
        "a manifest has a size below nothing",
        &["ollama.manifest-bad warn"],
        |f| {
            let text = fs::read_to_string(qwen(f)).unwrap();
            put(&qwen(f), text.replace("\"size\":", "\"size\":-"));
        },
    ),
    variant("a manifest is a pipe", &["ollama.manifest-bad warn"], |f| {
        fs::remove_file(qwen(f)).unwrap();
        pipe(&qwen(f));
    }),
    variant(
        "a manifest is far too long",
        &["ollama.manifest-bad warn"],
        |f| {
            cut(&qwen(f), 5 << 20);
        },
    ),
    variant(
        "blobs that no manifest names",
        &["ollama.no-manifests info"],
        |f| {
            blob(f, b"nobody's");
        },
    ),
    variant("a manifest is gone", &["ollama.no-manifests info"], |f| {
        fs::remove_file(qwen(f)).unwrap();
    }),
    variant(
        "all manifests are gone",
        &["ollama.no-manifests hold"],
        |f| {
            fs::remove_dir_all(f.join("manifests")).unwrap();
        },
    ),
    variant("a blob is a link", &["check.could-not warn"], |f| {
        link(&llama(f));
    }),
    variant("the blobs are a link", &["check.could-not warn"], |f| {
        link(&f.join("blobs"));
    }),
    variant("the manifests are a link", &["check.could-not warn"], |f| {
        link(&f.join("manifests"));
    }),
];
