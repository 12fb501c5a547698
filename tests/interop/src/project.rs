//! The npm packages, installed once.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use anyhow::{Context as _, bail, ensure};

/// Oldest Node.js that the scripts run on.
const MIN_NODE_MAJOR: u32 = 20;

/// Copy of the lock file that was installed, inside `node_modules`.
const STAMP: &str = "node_modules/.installed-lock.json";

/// Returns the folder of the scripts, with the packages of its lock file
/// installed.
///
/// Installs with `npm ci` when they are not there or the lock file has changed;
/// test processes that run at the same time wait for each other.
///
/// # Panics
///
/// When Node.js or npm is missing or too old, or npm fails: the message says what
/// to do.
pub fn js_project() -> &'static Path {
    static PROJECT: OnceLock<PathBuf> = OnceLock::new();
    PROJECT.get_or_init(|| install().unwrap_or_else(|error| panic!("{error:?}")))
}

fn install() -> anyhow::Result<PathBuf> {
    check_node()?;
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("js");
    let lock_path = project.join("package-lock.json");
    // Locks the file itself, so that nothing has to be left behind.
    let guard = File::open(&lock_path).context("the lock file is part of the sources")?;
    guard.lock().context("the lock file can be locked")?;
    let wanted = fs::read(&lock_path)?;
    let stamp = project.join(STAMP);
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(project);
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&project);
    let output = run(&mut npm)?;
    ensure!(
        output.status.success(),
        "npm ci ends with {}\n\nhint: it needs a package registry, or a filled npm cache\n\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    fs::write(&stamp, &wanted)?;
    Ok(project)
}

fn check_node() -> anyhow::Result<()> {
    let output = run(Command::new("node").arg("--version"))?;
    let version = String::from_utf8_lossy(&output.stdout);
    let major = version
        .trim()
        .strip_prefix('v')
        .and_then(|rest| rest.split('.').next())
        .and_then(|major| major.parse::<u32>().ok());
    ensure!(
        major >= Some(MIN_NODE_MAJOR),
        "node is {version:?}\n\nhint: install Node.js {MIN_NODE_MAJOR} or newer"
    );
    Ok(())
}

fn run(command: &mut Command) -> anyhow::Result<Output> {
    match command.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "{} is not installed\n\nhint: the tests of this package run the original \
             JavaScript peers; install Node.js {MIN_NODE_MAJOR} or newer, with npm",
            command.get_program().display()
        ),
        result => result.with_context(|| format!("{command:?} does not run")),
    }
}
