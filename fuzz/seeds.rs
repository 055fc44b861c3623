//! Writes the seed corpus to `corpus/TARGET/`.

#[path = "entries.rs"]
#[allow(dead_code)]
mod entries;

fn main() {
    for target in entries::targets() {
        let folder = std::path::Path::new("corpus").join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in target.seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
    }
}
