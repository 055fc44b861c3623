//! The catalog as it is written, and what an image or a variable makes of it.

use super::*;
use std::collections::BTreeSet;

fn image(text: &str) -> Image {
    Image::parse(text).unwrap()
}

fn variables(pairs: &[(&str, &str)]) -> Variables {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

#[test]
fn the_catalog_parses_and_its_facts_have_the_right_shape() {
    let catalog = Catalog::builtin();
    assert_eq!(catalog.schema, 1);
    let mut images = BTreeSet::new();
    for (name, preset) in &catalog.presets {
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "{name}"
        );
        for known in &preset.images {
            assert!(images.insert(known), "image {known} is in two presets");
            assert!(
                image(known).tag.is_none() && image(known).is(known),
                "{known}"
            );
        }
        assert!(
            preset.images.is_empty() || preset.data_path.is_some(),
            "{name} has images and no data path"
        );
        for path in preset
            .data_path
            .iter()
            .chain(&preset.also_data_paths)
            .chain(preset.by_tag.iter().map(|b| &b.data_path))
        {
            assert_eq!(
                container_path(path.to_str().unwrap()).as_ref(),
                Some(path),
                "{name}"
            );
        }
        for extra in &preset.extra_folders {
            assert!(catalog.preset(&extra.preset).is_some(), "{name}");
        }
        for store in preset
            .store_unless_env
            .keys()
            .chain(preset.store_file_env.keys())
        {
            assert!(preset.stores.contains_key(store), "{name}/{store}");
        }
        assert!(!preset.stores.is_empty(), "{name} has no stores");
        for (store_name, store) in &preset.stores {
            let store = store
                .clone()
                .into_store(store_name)
                .unwrap_or_else(|bad| panic!("{name}/{store_name}: {bad:?}"));
            assert!(store.path.is_relative());
        }
        for pattern in &preset.exclude {
            assert!(globset::Glob::new(pattern).is_ok(), "{name}: {pattern}");
        }
    }
}

#[test]
fn no_two_presets_claim_an_image() {
    let catalog = Catalog::builtin();
    for known in catalog.presets.values().flat_map(|p| &p.images) {
        let claims: Vec<_> = catalog
            .presets
            .iter()
            .filter(|(_, p)| p.images.iter().any(|k| image(known).is(k)))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(claims.len(), 1, "{known}: {claims:?}");
    }
}

#[test]
fn tags_and_variables_move_the_data() {
    for (preset, tag, set, expected, moved) in [
        ("open-webui", None, &[][..], "/app/backend/data", None),
        ("open-webui", None, &[("DATA_DIR", "/d/")], "/d", None),
        (
            "open-webui",
            None,
            &[("DATA_DIR", "")],
            "/app/backend/data",
            None,
        ),
        (
            "ollama",
            None,
            &[("OLLAMA_MODELS", "/m")],
            "/m",
            Some("models"),
        ),
        (
            "ollama",
            None,
            &[("OLLAMA_MODELS", "/root/.ollama/models")],
            "/root/.ollama",
            None,
        ),
        (
            "qdrant",
            None,
            &[("QDRANT__STORAGE__STORAGE_PATH", "/q")],
            "/q",
            None,
        ),
        ("chroma", Some("0.6.3"), &[], "/chroma/chroma", None),
        ("chroma", Some("1.5.9"), &[], "/data", None),
        (
            "postgres",
            Some("16-alpine"),
            &[("PGDATA", "/pg/data")],
            "/pg/data",
            None,
        ),
        ("postgres", Some("18.1"), &[], "/var/lib/postgresql", None),
    ] {
        let found = Catalog::builtin()
            .preset(preset)
            .unwrap()
            .data_path(tag, &variables(set))
            .unwrap()
            .unwrap();
        assert_eq!(
            found.candidates[0],
            PathBuf::from(expected),
            "{preset} {tag:?} {set:?}"
        );
        assert_eq!(
            found.moved_folder,
            moved.map(PathBuf::from),
            "{preset} {set:?}"
        );
    }
    let relative = Catalog::builtin()
        .preset("open-webui")
        .unwrap()
        .data_path(None, &variables(&[("DATA_DIR", "./data")]));
    assert_eq!(relative, Err(("DATA_DIR".to_owned(), "./data".to_owned())));
}

#[test]
fn another_database_removes_the_store() {
    for (preset, name, value, there) in [
        ("n8n", "DB_TYPE", "postgresdb", false),
        ("n8n", "DB_TYPE", "", true),
        ("paperless-ngx", "PAPERLESS_DBHOST", "db", false),
    ] {
        let preset_facts = Catalog::builtin().preset(preset).unwrap();
        let stores = preset_facts.stores(&variables(&[(name, value)]));
        let ruled = preset_facts
            .store_unless_env
            .iter()
            .find(|(_, rules)| rules.contains_key(name))
            .unwrap()
            .0;
        assert_eq!(stores.contains_key(ruled), there, "{preset} {name}={value}");
    }
}
