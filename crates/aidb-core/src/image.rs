//! Image references as quadlets write them: transport, registry, path, tag, digest.

/// A reference to an image of a registry or of the local storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The path's components after the registry, such as `open-webui`, `open-webui`.
    pub path: Vec<String>,
    /// The tag, if one is written.
    pub tag: Option<String>,
    /// The digest, if one is written, such as `sha256:…`.
    pub digest: Option<String>,
}

impl Image {
    /// Returns the reference, or none if the text names no image of a registry (an archive, a folder, a build).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text
            .strip_prefix("docker://")
            .or_else(|| text.strip_prefix("containers-storage:"))
            .unwrap_or(text);
        if text.starts_with(['/', '.']) || text.contains("//") || has_other_transport(text) {
            return None;
        }
        let (text, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (text, None),
        };
        // A colon before the last slash belongs to the registry's port.
        let last = text.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match text[last..].split_once(':') {
            Some((_, tag)) => (&text[..text.len() - tag.len() - 1], Some(tag.to_owned())),
            None => (text, None),
        };
        let mut path: Vec<String> = name.split('/').map(str::to_owned).collect();
        if path.len() > 1 && (path[0].contains(['.', ':']) || path[0] == "localhost") {
            path.remove(0);
        }
        if path.iter().any(String::is_empty) {
            return None;
        }
        Some(Self { path, tag, digest })
    }

    /// Returns whether the image is the one that a catalog entry names.
    ///
    /// An entry of several components matches the last components of the path, so that mirrors match. An entry of
    /// one component is an official image: it stands alone or below `library`, and no user's image of that name matches.
    #[must_use]
    pub fn is(&self, entry: &str) -> bool {
        let entry: Vec<&str> = entry.split('/').collect();
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        match entry.as_slice() {
            [name] => path == [*name] || path.ends_with(&["library", name]),
            entry => path.ends_with(entry),
        }
    }
}

fn has_other_transport(text: &str) -> bool {
    const OTHERS: [&str; 7] = [
        "docker-archive:",
        "docker-daemon:",
        "oci-archive:",
        "oci:",
        "dir:",
        "sif:",
        "ostree:",
    ];
    OTHERS.iter().any(|transport| text.starts_with(transport))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_cut_into_their_parts() {
        for (text, path, tag, digest) in [
            ("qdrant/qdrant", "qdrant/qdrant", None, None),
            ("localhost:5000/ollama/ollama", "ollama/ollama", None, None),
            (
                "reg:5000/mirror/mindsdb/mindsdb:latest",
                "mirror/mindsdb/mindsdb",
                Some("latest"),
                None,
            ),
            ("x@sha256:00ff", "x", None, Some("sha256:00ff")),
            (
                "ghcr.io/a/b:v1@sha256:00ff",
                "a/b",
                Some("v1"),
                Some("sha256:00ff"),
            ),
            (
                "docker://docker.io/ollama/ollama",
                "ollama/ollama",
                None,
                None,
            ),
            (
                "containers-storage:localhost/mine:1",
                "mine",
                Some("1"),
                None,
            ),
            ("localhost/mine", "mine", None, None),
            ("redis:7", "redis", Some("7"), None),
        ] {
            let image = Image::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(image.path.join("/"), path, "{text}");
            assert_eq!(image.tag.as_deref(), tag, "{text}");
            assert_eq!(image.digest.as_deref(), digest, "{text}");
        }
    }

    #[test]
    fn archives_folders_and_store_paths_are_no_images_of_a_registry() {
        for text in [
            "docker-archive:/nix/store/x-image.tar.gz",
            "/nix/store/x-image",
            "./image",
            "oci:/srv/image",
            "dir:/srv/image",
            "",
            "ghcr.io//x",
            "a/",
        ] {
            assert_eq!(Image::parse(text), None, "{text}");
        }
    }
}
