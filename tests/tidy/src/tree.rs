//! What is where.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::{Metadata, MetadataCommand, Package};

/// Names of entries that hold nothing of ours.
const FOREIGN: [&str; 3] = ["target", "node_modules", ".git"];

/// A text file of the tree.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Path from the root, with `/` between its parts.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Returns the root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Reads a text file.
///
/// # Panics
///
/// When it is not there.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Reads all text files of the tree, in the order of their paths. Files that are
/// no UTF-8 are left out.
///
/// # Panics
///
/// When the tree cannot be read.
pub fn files() -> Vec<SourceFile> {
    let mut files = Vec::new();
    collect(&root(), "", &mut files);
    assert!(!files.is_empty(), "the tree is not empty");
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<SourceFile>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{prefix}: {error}"));
    for entry in entries {
        let entry = entry.expect("a folder can be listed");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        // In a linked worktree, `.git` is a file. A module may be called `target`.
        if FOREIGN.contains(&name.as_str()) && !prefix.contains("src/") {
            continue;
        }
        let kind = entry.file_type().expect("an entry has a type");
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files);
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            files.push(SourceFile { path, text });
        }
    }
}

/// Asks cargo what the workspace is made of, with the resolved dependencies.
///
/// # Panics
///
/// When cargo does not answer.
pub fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml"));
    command.exec().expect("cargo knows its workspace")
}

/// Returns the packages of the workspace by their folders, `crates/starpoint-wire`.
///
/// # Panics
///
/// When a package lies outside the workspace.
pub fn packages(metadata: &Metadata) -> BTreeMap<String, Package> {
    let members = metadata.workspace_packages().into_iter().cloned();
    let by_folder = members.map(|package| {
        let manifest = &package.manifest_path;
        let folder = manifest.parent().expect("a manifest lies in a folder");
        let folder = folder.strip_prefix(&metadata.workspace_root);
        (
            folder.expect("a member lies in the workspace").to_string(),
            package.clone(),
        )
    });
    by_folder.collect()
}
