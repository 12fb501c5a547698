//! The file that remembers which star is where.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use libp2p::PeerId;
use libp2p_websocket_star::{Pin, StarHost, StarPins};

use crate::{error::KnownStarsError, file};

/// Largest file that is read or written; about 8000 stars.
const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Stars that are remembered without a file.
const MAX_UNWRITTEN: usize = 4096;

/// [`StarPins`] in a file, as ssh keeps known hosts.
///
/// A line is `host:port id`, the first line of a host counts, and lines that begin
/// with `#` are comments. The file is read again when it has changed: a line that is
/// removed is forgotten. A new star is written at the end; the file is replaced as a
/// whole, with what others have written to it up to then.
///
/// Without a usable file new pins are kept for the life of the value. A file that has
/// become unreadable, or has a line that is no star, takes no pin away that was read
/// before. Each problem is reported once; [`check`](Self::check) finds those that are
/// there from the start.
pub struct KnownStars {
    path: PathBuf,
    report: Report,
    state: Mutex<State>,
}

type Report = Box<dyn Fn(&KnownStarsError) + Send + Sync>;

#[derive(Debug, Default)]
struct State {
    /// By host: the id, and the line.
    written: BTreeMap<StarHost, (PeerId, usize)>,
    /// What could not be written.
    unwritten: BTreeMap<StarHost, PeerId>,
    /// Of the file, when it was read.
    stamp: Option<Stamp>,
    /// What was reported.
    reported: Vec<String>,
}

type Stamp = (Option<SystemTime>, u64);

impl KnownStars {
    /// Names a file. Nothing is read or written yet. `report` hears of problems;
    /// none of them keeps a star from being used.
    pub fn new(
        path: impl Into<PathBuf>,
        report: impl Fn(&KnownStarsError) + Send + Sync + 'static,
    ) -> Self {
        Self {
            path: path.into(),
            report: Box::new(report),
            state: Mutex::default(),
        }
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file and looks for problems. A program that trusts what the file says
    /// does not start with one: a star could pass for another whose line is damaged.
    ///
    /// # Errors
    ///
    /// [`KnownStarsError::Read`] and [`KnownStarsError::Line`]. A file that is not there
    /// has no stars and is no error.
    pub fn check(&self) -> Result<(), KnownStarsError> {
        let text = self.read()?;
        match entries(&text).find(|(_, entry)| entry.is_none()) {
            Some((line, _)) => Err(self.damaged(line)),
            None => Ok(()),
        }
    }

    fn damaged(&self, line: usize) -> KnownStarsError {
        let path = self.path.clone();
        KnownStarsError::Line { path, line }
    }

    /// Reads the file if it has changed.
    fn refresh(&self, state: &mut State) {
        let stamp = stamp(&self.path);
        if stamp == state.stamp {
            return;
        }
        state.stamp = stamp;
        match self.read() {
            Ok(text) => self.parse(&text, state),
            Err(error) => self.report(state, &error),
        }
    }

    fn read(&self) -> Result<String, KnownStarsError> {
        let cannot = |source| KnownStarsError::Read {
            path: self.path.clone(),
            source,
        };
        let bytes = match starpoint_file::read(&self.path, MAX_FILE_BYTES as u64) {
            Ok(file) => file.into_bytes(),
            Err(error) if error.is_not_found() => return Ok(String::new()),
            Err(error) => return Err(cannot(error)),
        };
        String::from_utf8(bytes).map_err(|_| {
            let error = io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text");
            cannot(error.into())
        })
    }

    fn parse(&self, text: &str, state: &mut State) {
        let before = std::mem::take(&mut state.written);
        let mut is_damaged = false;
        for (line, entry) in entries(text) {
            if let Some((host, star)) = entry {
                state.written.entry(host).or_insert((star, line));
            } else {
                is_damaged = true;
                self.report(state, &self.damaged(line));
            }
        }
        if is_damaged {
            // Which of them the damaged line was, nobody knows.
            for (host, pin) in before {
                state.written.entry(host).or_insert(pin);
            }
        }
    }

    /// Adds a line; returns its number.
    fn append(&self, host: &StarHost, star: PeerId) -> Result<usize, KnownStarsError> {
        let mut text = self.read()?;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("{host} {star}\n"));
        let result = if text.len() > MAX_FILE_BYTES {
            Err(io::Error::other("it would be larger than 1 MiB"))
        } else {
            self.replace(text.as_bytes())
        };
        match result {
            Ok(()) => Ok(text.lines().count()),
            Err(source) => Err(KnownStarsError::Write {
                path: self.path.clone(),
                source,
            }),
        }
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let file = file::stage(&self.path, bytes)?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }

    fn report(&self, state: &mut State, error: &KnownStarsError) {
        let text = error.to_string();
        if !state.reported.contains(&text) && state.reported.len() < 16 {
            state.reported.push(text);
            (self.report)(error);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the lines that are no comments: their numbers, and the stars in them.
fn entries(text: &str) -> impl Iterator<Item = (usize, Option<(StarHost, PeerId)>)> {
    (1..)
        .zip(text.lines().map(str::trim))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| (number, parse_line(line)))
}

fn parse_line(line: &str) -> Option<(StarHost, PeerId)> {
    let (host, star) = line.split_once(char::is_whitespace)?;
    Some((StarHost::parse(host)?, star.trim().parse().ok()?))
}

/// Returns what tells one content of a file from another; `None` without a file.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok(), metadata.len()))
}

impl StarPins for KnownStars {
    fn pinned(&self, host: &StarHost) -> Option<Pin> {
        let mut state = self.state();
        self.refresh(&mut state);
        if let Some((star, line)) = state.written.get(host) {
            let place: Arc<str> = format!("line {line} of {}", self.path.display()).into();
            return Some(Pin {
                star: *star,
                written_at: Some(place),
            });
        }
        let star = *state.unwritten.get(host)?;
        Some(Pin {
            star,
            written_at: None,
        })
    }

    fn remember(&self, host: &StarHost, star: PeerId) {
        let mut state = self.state();
        match self.append(host, star) {
            Ok(line) => {
                state.written.insert(host.clone(), (star, line));
            }
            Err(error) => {
                if state.unwritten.len() < MAX_UNWRITTEN {
                    state.unwritten.insert(host.clone(), star);
                }
                self.report(&mut state, &error);
            }
        }
    }
}

impl fmt::Debug for KnownStars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownStars")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;
    use proptest::prelude::*;

    use super::*;

    struct Rig {
        folder: tempfile::TempDir,
        problems: Arc<Mutex<Vec<String>>>,
    }

    impl Rig {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
                problems: Arc::default(),
            }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("data/known_stars")
        }

        fn open(&self) -> KnownStars {
            let problems = Arc::clone(&self.problems);
            KnownStars::new(self.path(), move |problem| {
                let mut problems = problems.lock().unwrap();
                problems.push(problem.to_string());
            })
        }

        fn write(&self, text: &str) {
            fs::create_dir_all(self.path().parent().unwrap()).unwrap();
            fs::write(self.path(), text).unwrap();
        }

        fn problems(&self) -> Vec<String> {
            std::mem::take(&mut *self.problems.lock().unwrap())
        }
    }

    fn id() -> PeerId {
        Keypair::generate_ed25519().public().to_peer_id()
    }

    fn host(text: &str) -> StarHost {
        StarHost::parse(text).unwrap()
    }

    #[test]
    fn a_star_is_written_once_and_read_by_the_next_process() {
        let rig = Rig::new();
        let (first, second) = (id(), id());
        let stars = rig.open();
        assert_eq!(stars.pinned(&host("a:1")), None);
        stars.remember(&host("a:1"), first);
        rig.open().remember(&host("[::1]:2"), second);
        let text = fs::read_to_string(rig.path()).unwrap();
        assert_eq!(text, format!("a:1 {first}\n[::1]:2 {second}\n"));
        for stars in [stars, rig.open()] {
            let pin = stars.pinned(&host("[::1]:2")).unwrap();
            assert_eq!(pin.star, second);
            let place = format!("line 2 of {}", rig.path().display());
            assert_eq!(pin.written_at.as_deref(), Some(&*place));
        }
        assert_eq!(rig.problems(), [""; 0]);
    }

    #[test]
    fn a_line_that_is_removed_is_forgotten_by_those_who_run() {
        let rig = Rig::new();
        let stars = rig.open();
        stars.remember(&host("a:1"), id());
        assert!(stars.pinned(&host("a:1")).is_some());
        rig.write("# nothing here\n");
        assert_eq!(stars.pinned(&host("a:1")), None);
    }

    #[test]
    fn damage_takes_no_pin_away() {
        let rig = Rig::new();
        let star = id();
        rig.write(&format!("a:1 {star}\nb:1 {star}\n"));
        let stars = rig.open();
        assert!(stars.check().is_ok());
        assert_eq!(stars.pinned(&host("a:1")).unwrap().star, star);
        rig.write(&format!("a:1 nonsense\nb:1 {star}\n"));
        assert!(matches!(
            stars.check(),
            Err(KnownStarsError::Line { line: 1, .. })
        ));
        assert_eq!(stars.pinned(&host("a:1")).unwrap().star, star);
        fs::remove_file(rig.path()).unwrap();
        fs::create_dir(rig.path()).unwrap();
        assert!(matches!(stars.check(), Err(KnownStarsError::Read { .. })));
        for name in ["a:1", "b:1"] {
            assert_eq!(stars.pinned(&host(name)).unwrap().star, star);
        }
        fs::remove_dir(rig.path()).unwrap();
        assert!(stars.check().is_ok());
        assert_eq!(stars.pinned(&host("a:1")), None);
    }

    #[test]
    fn comments_and_garbage_are_kept_and_pin_nothing() {
        let rig = Rig::new();
        let star = id();
        rig.write(&format!(
            "# mine\n\nA.Example.:1\t{star}\na.example:1 {}\nnonsense\na:1 b\nno-end:1 {star}",
            id()
        ));
        let stars = rig.open();
        assert_eq!(stars.pinned(&host("a.example:1")).unwrap().star, star);
        assert_eq!(stars.pinned(&host("no-end:1")).unwrap().star, star);
        assert_eq!(stars.pinned(&host("a:1")), None);
        let problems = rig.problems();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("line 5 of"), "{problems:?}");
        stars.remember(&host("b:1"), star);
        let text = fs::read_to_string(rig.path()).unwrap();
        let end = format!("nonsense\na:1 b\nno-end:1 {star}\nb:1 {star}\n");
        assert!(
            text.starts_with("# mine\n") && text.ends_with(&end),
            "{text}"
        );
    }

    #[test]
    fn without_a_usable_file_stars_are_remembered_all_the_same() {
        let too_large = "#".repeat(MAX_FILE_BYTES + 1);
        for spoil in [
            &|rig: &Rig| fs::create_dir_all(rig.path()).unwrap(),
            &|rig: &Rig| fs::write(rig.folder.path().join("data"), "a file").unwrap(),
            &|rig: &Rig| rig.write(&too_large),
            &|rig: &Rig| {
                rig.write("");
                fs::write(rig.path(), [0xff, 0xfe, b'\n']).unwrap();
            },
        ] as [&dyn Fn(&Rig); 4]
        {
            let rig = Rig::new();
            spoil(&rig);
            let (stars, star) = (rig.open(), id());
            assert_eq!(stars.pinned(&host("a:1")), None);
            stars.remember(&host("a:1"), star);
            let pin = stars.pinned(&host("a:1")).unwrap();
            assert_eq!((pin.star, pin.written_at), (star, None));
            let problems = rig.problems();
            assert!((1..=2).contains(&problems.len()), "{problems:?}");
        }
    }

    proptest! {
        /// A line has one reading, and what is written is read.
        #[test]
        fn any_line_is_read_or_refused_and_reads_back(
            host in "\\PC{0,24}|[a-zA-Z0-9.:\\[\\]-]{0,24}|[a-z]{1,9}:[0-9]{1,5}",
            blank in "[ \t\u{a0}]{0,3}",
            rest in "\\PC{0,60}|[1-9A-HJ-NP-Za-km-z]{40,60}",
            seed: [u8; 32],
        ) {
            let keypair = Keypair::ed25519_from_bytes(seed).unwrap();
            let star = keypair.public().to_peer_id();
            for id in [rest, star.to_string()] {
                let line = format!("{host}{blank}{id}");
                let Some((host, star)) = parse_line(line.trim()) else {
                    continue;
                };
                let written = format!("{host} {star}");
                prop_assert_eq!(parse_line(&written), Some((host, star)));
            }
        }

        /// Any bytes in the file leave the stars usable, and are reported in few words.
        #[test]
        fn any_file_is_read_or_reported(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let rig = Rig::new();
            rig.write("");
            fs::write(rig.path(), &bytes).unwrap();
            let stars = rig.open();
            prop_assert_eq!(stars.pinned(&host("a:1")), None);
            let star = id();
            stars.remember(&host("a:1"), star);
            prop_assert_eq!(stars.pinned(&host("a:1")).map(|pin| pin.star), Some(star));
            prop_assert!(rig.problems().len() <= 16);
        }
    }
}
