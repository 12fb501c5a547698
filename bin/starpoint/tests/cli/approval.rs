//! Who is let in by what is typed at `expose`, and who is kept out.

use crate::{
    program::{Running, run, starpoint},
    stage::Stage,
    tunnel::{Host, assert_serves, listening, port_of, service},
};

impl Stage {
    /// Starts `open` with a key of this name; returns it with its id.
    fn open(&self, host: &Host, name: &str) -> (Running, String) {
        let key = self.key(name);
        let id = run(starpoint().args(["id", "--key", &key]));
        let open = host.open(&["--listen", "127.0.0.1:0", "--key", &key]);
        (open, id.expect_output().trim().to_owned())
    }
}

fn end_of(id: &str) -> &str {
    &id[id.len() - 8..]
}

#[test]
fn a_yes_that_was_meant_for_one_client_lets_no_other_in() {
    let stage = Stage::new();
    let mut host = stage.expose(&[&port_of(service()), "--code-uses=9", "--max-clients=9"]);
    let (first, first_id) = stage.open(&host, "first");
    host.expose
        .stderr_line_with(&format!("{first_id} wants to join: accept? [y/n]"));
    // The answer is being typed. Meanwhile the client goes, and another one comes.
    first.signal("KILL");
    host.expose.stderr_line_with(&format!("left {first_id}"));
    let (mut second, second_id) = stage.open(&host, "second");
    let end = end_of(&second_id);
    host.expose.stderr_line_with(&format!(
        "{second_id} wants to join: accept? [y {end}/n {end}]"
    ));
    for answer in ["y", "n", "yes"] {
        host.type_line(answer);
        host.expose
            .stderr_line_with(&format!("name the client: `y {end}` or `n {end}`"));
    }
    let nobody = format!("y {}", end_of(&first_id));
    for (answer, told) in [
        (&nobody[..], "this client does not wait"),
        ("y 00000000", "no such client"),
        (&format!("y {}", &end[5..]), "at least 4"),
    ] {
        host.type_line(answer);
        host.expose.stderr_line_with(told);
    }
    host.type_line("list");
    let listed = host.expose.stderr_line_with(&second_id);
    assert_eq!(listed, format!("{second_id} waiting"));
    host.type_line(&format!("y {end}"));
    host.expose.stderr_line_with(&format!("joined {second_id}"));
    assert_serves(listening(&mut second));
}

#[test]
fn of_two_clients_that_wait_the_named_one_is_meant() {
    let stage = Stage::new();
    let mut host = stage.expose(&[&port_of(service()), "--max-clients=9"]);
    let (first, first_id) = stage.open(&host, "first");
    host.expose.stderr_line_with("wants to join");
    let (mut second, second_id) = stage.open(&host, "second");
    host.expose.stderr_line_with("wants to join");
    host.type_line("y");
    let told = host.expose.stderr_line_with("name the client");
    for id in [&first_id, &second_id] {
        assert!(told.contains(&format!("`y {}`", end_of(id))), "{told}");
    }
    host.type_line(&format!("n {}", end_of(&first_id)));
    let ended = first.wait();
    assert_eq!(ended.code, Some(15), "{ended:?}");
    host.type_line(&format!("y {second_id}"));
    host.expose.stderr_line_with(&format!("joined {second_id}"));
    assert_serves(listening(&mut second));
}

#[test]
fn a_client_that_is_dropped_is_banned_until_that_is_lifted() {
    let stage = Stage::new();
    for mode in ["--accept-all", "--accept-first"] {
        let args = [
            &port_of(service()),
            mode,
            "--code-uses=9",
            "--max-clients=9",
        ];
        let mut host = stage.expose(&args);
        let (mut open, id) = stage.open(&host, mode);
        listening(&mut open);
        host.expose.stderr_line_with("joined");
        host.type_line(&format!("drop {}", end_of(&id)));
        let ended = open.wait();
        assert_eq!(ended.code, Some(16), "{ended:?}");
        assert!(ended.stderr.contains("host ended the session"), "{ended:?}");

        host.type_line("code");
        host.code = host.expose.stdout_line();
        let (open, _) = stage.open(&host, mode);
        let ended = open.wait();
        assert_eq!(ended.code, Some(15), "{ended:?}");
        assert!(
            ended.stderr.contains("host has banned this peer"),
            "{ended:?}"
        );
        host.type_line("list");
        let listed = host.expose.stderr_line_with(&format!("{id} "));
        assert_eq!(listed, format!("{id} banned"));

        host.type_line("unban 00000000");
        host.expose.stderr_line_with("no such client");
        host.type_line(&format!("unban {}", end_of(&id)));
        let (mut open, _) = stage.open(&host, mode);
        if mode == "--accept-first" {
            host.expose.stderr_line_with("wants to join");
            host.type_line(&format!("y {}", end_of(&id)));
        }
        assert_serves(listening(&mut open));
    }
}

#[test]
fn commands_are_obeyed_where_nobody_is_asked_and_the_end_of_stdin_ends_nothing() {
    let stage = Stage::new();
    let args = [&port_of(service()), "--accept-all", "--max-clients=9"];
    let mut host = stage.expose(&args);
    host.type_line("y");
    host.expose.stderr_line_with("nobody waits");
    host.type_line("what?");
    host.expose.stderr_line_with("commands are y, n");
    let (mut open, id) = stage.open(&host, "friend");
    let address = listening(&mut open);
    host.expose.stderr_line_with("joined");
    host.type_line("list");
    host.expose.stderr_line_with(&format!("{id} here"));
    host.type_line("code");
    host.code = host.expose.stdout_line();
    drop(host.stdin.take());
    assert_serves(address);
    let (mut open, _) = stage.open(&host, "other");
    assert_serves(listening(&mut open));
    host.expose.signal("TERM");
    assert_eq!(host.expose.wait().code, Some(0));
}

#[test]
fn a_tunnel_outlives_its_stdin_as_long_as_somebody_is_in() {
    let stage = Stage::new();
    let mut host = stage.expose(&[&port_of(service()), "--code-uses=9", "--max-clients=9"]);
    let (mut open, _) = stage.open(&host, "friend");
    host.expose.stderr_line_with("wants to join");
    host.type_line("y");
    let address = listening(&mut open);
    drop(host.stdin.take());
    // Nobody is there to let in another one.
    let (other, _) = stage.open(&host, "other");
    assert_eq!(other.wait().code, Some(15));
    assert_serves(address);
    open.signal("TERM");
    assert_eq!(open.wait().code, Some(0));
    let ended = host.expose.wait();
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("nobody can let clients in: stdin has ended"),
        "{ended:?}"
    );
}

#[test]
fn a_program_answers_with_the_id_that_it_is_told() {
    let stage = Stage::new();
    let mut host = stage.expose_json(&[&port_of(service()), "--max-clients=9"]);
    let (mut opens, mut ids) = (Vec::new(), Vec::new());
    for name in ["first", "second"] {
        let (open, id) = stage.open(&host, name);
        let asked = host.event("asked");
        assert_eq!(asked["client"], id[..]);
        opens.push(open);
        ids.push(id);
    }
    for (open, id) in opens.iter_mut().zip(&ids) {
        host.type_line(&format!("y {id}"));
        assert_eq!(host.event("joined")["client"], id[..]);
        listening(open);
    }
}
