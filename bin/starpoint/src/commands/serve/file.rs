//! The configuration file.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::args::Chosen;
use crate::ui::{error::Failure, exit::Exit, suggest};

/// Largest file that is read: far above every setting with a comment of a page.
const MAX_BYTES: u64 = 256 * 1024;

/// Reads the settings in the file at `path`. Relative paths in it start at its
/// folder.
///
/// # Errors
///
/// The file cannot be read, is no TOML, or has a key or value that is not
/// known, told with its line.
pub(super) fn read(path: &Path) -> Result<Chosen, Failure> {
    let file = starpoint_file::read_or_piped(path, MAX_BYTES)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(|error| {
            let hint = "check the path given with --config or STARPOINT_CONFIG";
            Failure::new(Exit::CONFIG, error, hint)
        })?;
    let chosen = file.text().ok_or_else(Flaw::no_text).and_then(parse);
    let mut chosen = chosen.map_err(|flaw| flaw.in_file(path))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for file in [&mut chosen.tls_cert, &mut chosen.tls_key, &mut chosen.key] {
        *file = file.take().map(|file: PathBuf| folder.join(file));
    }
    Ok(chosen)
}

/// What is wrong with the text of a file.
#[derive(Debug, PartialEq, Eq)]
struct Flaw {
    /// Line, counted from 1, if the flaw has a place.
    line: Option<usize>,
    message: String,
    hint: String,
}

impl Flaw {
    fn no_text() -> Self {
        Self {
            line: None,
            message: "not UTF-8 text".to_owned(),
            hint: "the file is TOML: one `key = value` a line, text in quotes".to_owned(),
        }
    }

    fn in_file(self, path: &Path) -> Failure {
        let place = match self.line {
            Some(line) => format!("{}:{line}", path.display()),
            None => path.display().to_string(),
        };
        Failure::message(
            Exit::CONFIG,
            format!("{place}: {}", self.message),
            self.hint,
        )
    }
}

fn parse(text: &str) -> Result<Chosen, Flaw> {
    let table = DeTable::parse(text).map_err(|error| Flaw {
        line: line_of(text, error.span()),
        message: in_one_line(error.message()),
        hint: "the file is TOML: one `key = value` a line, text in quotes".to_owned(),
    })?;
    let keys = Chosen::keys();
    let stranger = table
        .get_ref()
        .iter()
        .filter(|(key, _)| !keys.iter().any(|known| known == key.get_ref().as_ref()))
        .min_by_key(|(key, _)| key.span().start);
    if let Some((key, value)) = stranger {
        return Err(Flaw {
            line: line_of(text, Some(key.span())),
            message: format!("unknown key `{}`", key.get_ref()),
            hint: hint_for_unknown(key.get_ref(), value.get_ref(), &keys),
        });
    }
    toml::from_str(text).map_err(|error| {
        let key = key_at(table.get_ref(), error.span());
        let message = in_one_line(error.message());
        Flaw {
            line: line_of(text, error.span()),
            message: match &key {
                Some(key) => format!("invalid value for `{key}`: {message}"),
                None => message,
            },
            hint: match key {
                Some(key) => format!("`starpoint serve --help` says what --{key} takes"),
                None => "`starpoint serve --help` says what each setting takes".to_owned(),
            },
        }
    })
}

fn hint_for_unknown(key: &str, value: &DeValue<'_>, keys: &[String]) -> String {
    if ["config", "print-config"].contains(&key) {
        return format!("--{key} is for the command line only");
    }
    if let Some(known) = suggest::closest(key, keys.iter().map(String::as_str)) {
        return format!("did you mean `{known}`?");
    }
    if value.is_table() {
        return "settings stand at the top level of the file, in no [table]".to_owned();
    }
    format!("known keys: {}", keys.join(", "))
}

/// Returns the key whose value has the given place.
fn key_at(table: &DeTable<'_>, place: Option<Range<usize>>) -> Option<String> {
    let start = place?.start;
    let holds = |value: &Spanned<DeValue<'_>>| value.span().contains(&start);
    table
        .iter()
        .find(|(_, value)| holds(value))
        .map(|(key, _)| key.get_ref().to_string())
}

fn line_of(text: &str, place: Option<Range<usize>>) -> Option<usize> {
    let before = text.as_bytes().get(..place?.start)?;
    Some(before.iter().filter(|&&byte| byte == b'\n').count() + 1)
}

fn in_one_line(message: &str) -> String {
    message.split('\n').collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    fn flaw(text: &str) -> Flaw {
        parse(text).expect_err("the text has a flaw")
    }

    #[test]
    fn every_setting_is_a_key() {
        let text = r#"
            listen = ["127.0.0.1:1", "[::1]:2"]
            tls-cert = "cert.pem"
            tls-key = "key.pem"
            trusted-proxy = ["192.0.2.1", "10.0.0.0/8"]
            proxy-protocol = true
            host = ["star.example", "[::1]:9090"]
            key = "star.key"
            no-challenge = true
            strict-multiaddr = false
            announce-interval = "3s"
            grace = "1m"
            max-peers = 7
            max-peers-per-ip = 5
            max-connections-per-ip = 300
            max-message = "1MiB"
            max-buffered = "2MiB"
            pipe-rate = "1MiB"
            no-metrics = true
            log = "debug"
            log-format = "json"
        "#;
        let written = toml::to_string(&parse(text).unwrap()).unwrap();
        let mut written: Vec<_> = toml::from_str::<toml::Table>(&written)
            .unwrap()
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        let mut keys = Chosen::keys();
        keys.sort();
        written.sort();
        assert_eq!(written, keys);
    }

    #[test]
    fn an_empty_file_chooses_nothing() {
        assert_eq!(parse("# nothing\n"), Ok(Chosen::default()));
    }

    #[test]
    fn a_size_may_be_a_number() {
        assert_eq!(
            parse("max-message = 65536"),
            parse("max-message = \"64KiB\"")
        );
    }

    #[test]
    fn an_unknown_key_has_a_line_and_a_hint() {
        let found = flaw("log = \"info\"\n\nno_chalenge = true\n");
        assert_eq!(found.line, Some(3));
        assert_eq!(found.message, "unknown key `no_chalenge`");
        assert_eq!(found.hint, "did you mean `no-challenge`?");
    }

    #[test]
    fn the_first_unknown_key_is_told() {
        assert_eq!(flaw("zeta = 1\nalpha = 2").message, "unknown key `zeta`");
    }

    #[test]
    fn a_key_like_no_other_gets_the_list() {
        let hint = flaw("colour = 1").hint;
        assert!(hint.starts_with("known keys: listen, tls-cert, "), "{hint}");
    }

    #[test]
    fn a_table_is_not_expected() {
        let hint = flaw("[serve]\nlisten = []").hint;
        assert!(hint.contains("top level"), "{hint}");
    }

    #[test]
    fn a_flag_that_is_no_key_says_so() {
        let hint = flaw("print-config = true").hint;
        assert_eq!(hint, "--print-config is for the command line only");
    }

    #[test]
    fn a_wrong_value_names_its_key_and_line() {
        for (text, line, message) in [
            (
                "# x\nannounce-interval = \"1ms\"",
                2,
                "invalid value for `announce-interval`: `1ms` is not between 100ms and 1h",
            ),
            (
                "max-message = 1",
                1,
                "invalid value for `max-message`: 1 is not between 64KiB and 64MiB",
            ),
            (
                "\n\nno-challenge = \"yes\"",
                3,
                "invalid value for `no-challenge`: invalid type: string \"yes\", expected a boolean",
            ),
            (
                "# x\nlisten = [\"127.0.0.1:1\", \"localhost:1\"]",
                2,
                "invalid value for `listen`: `localhost:1` is not an IP address and port, \
                 such as 127.0.0.1:9090 or [::1]:9090",
            ),
        ] {
            let found = flaw(text);
            assert_eq!(found.message, message);
            assert_eq!(found.line, Some(line), "{text}");
        }
    }

    #[test]
    fn broken_toml_has_a_line() {
        let found = flaw("log = \"info\"\nlisten = [\n");
        assert!(found.line.is_some_and(|line| line >= 2), "{found:?}");
        assert!(!found.message.contains('\n'));
    }

    /// Lines that a file may have, so that most of a random file is read.
    const LINES: [&str; 22] = [
        "listen = [\"127.0.0.1:1\", \"[::1]:2\"]",
        "tls-cert = \"cert.pem\"",
        "trusted-proxy = [\"192.0.2.1\", \"::ffff:10.0.0.0/104\"]",
        "proxy-protocol = true",
        "host = [\"star.example\", \"[::1]:9090\"]",
        "key = 'star.key'",
        "no-challenge = true",
        "announce-interval = \"3s 20ms\"",
        "grace = \"1m\"",
        "max-peers = 7",
        "max-peers-per-ip = 5",
        "max-message = \"1 MiB\"",
        "max-buffered = \"2MiB\"",
        "pipe-rate = \"1MiB\"",
        "log = \"debug,starpoint=trace\"",
        "log-format = \"json\"",
        "config = \"x\"",
        "[table]",
        "max-peers = { a = 1 }",
        "log = \"\"\"",
        "# comment",
        "",
    ];

    /// Checks what holds for the text of any file; returns whether it was read.
    fn check(text: &str) -> bool {
        match parse(text) {
            Ok(chosen) => {
                let written = toml::to_string(&chosen).expect("settings are TOML");
                let again = parse(&written).expect("what is written is read");
                assert_eq!(toml::to_string(&again).as_ref(), Ok(&written));
                true
            }
            Err(flaw) => {
                let n_lines = text.split('\n').count();
                let line = flaw.line.unwrap_or(0);
                assert!((1..=n_lines).contains(&line), "{flaw:?} of {n_lines}");
                assert!(!flaw.message.is_empty() && !flaw.hint.is_empty());
                assert!(!flaw.message.contains('\n'), "{flaw:?}");
                false
            }
        }
    }

    proptest! {
        #[test]
        fn any_file_is_read_or_its_line_is_named(
            lines in vec(
                prop_oneof![
                    8 => select(&LINES[..]).prop_map(str::to_owned),
                    1 => "\\PC{0,20}",
                    1 => "[a-z-]{1,12} = [\\[\"0-9a-z:., ]{0,20}",
                    1 => "(max-message|max-buffered|pipe-rate|grace|announce-interval|max-peers) = \"[0-9]{0,21}[. ]?[a-zA-Z ]{0,6}\"",
                ],
                0..8,
            ),
            damage in vec((any::<prop::sample::Index>(), any::<char>()), 0..3),
        ) {
            let mut text: Vec<char> = lines.join("\n").chars().collect();
            for (place, with) in damage {
                if !text.is_empty() {
                    let place = place.index(text.len());
                    text[place] = with;
                }
            }
            check(&text.into_iter().collect::<String>());
        }
    }

    #[test]
    fn each_line_alone_is_read_or_named() {
        let n_read = LINES.iter().filter(|line| check(line)).count();
        assert_eq!(n_read, LINES.len() - 4);
    }
}
