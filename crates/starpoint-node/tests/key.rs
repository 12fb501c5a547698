//! The file with the private key.

use std::{fs, os::unix::fs::PermissionsExt, sync::Barrier, thread};

use starpoint_node::{KeyError, KeyFile, PeerId};

fn peer_of(file: &KeyFile) -> PeerId {
    let key = file.load_or_create().expect("the key can be used");
    key.public().to_peer_id()
}

#[test]
fn a_key_is_made_in_new_folders_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::new(folder.path().join("a/b/key"));
    assert!(matches!(file.load(), Err(KeyError::Read { .. })));
    let peer = peer_of(&file);
    assert_eq!(peer_of(&file), peer);
    for (path, mode) in [("a", 0o700), ("a/b", 0o700), ("a/b/key", 0o600)] {
        let metadata = fs::metadata(folder.path().join(path)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{path}");
    }
    // Nothing is left behind beside it.
    assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 1);
}

#[test]
fn who_comes_at_the_same_time_gets_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::new(folder.path().join("key"));
    let barrier = Barrier::new(8);
    let peers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    peer_of(&file)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(peers.iter().all(|peer| *peer == peers[0]), "{peers:?}");
    assert_eq!(peer_of(&file), peers[0]);
}

#[test]
fn what_others_can_read_or_is_no_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let file = KeyFile::new(&path);
    peer_of(&file);
    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let error = file.load_or_create().unwrap_err();
    assert!(
        matches!(error, KeyError::Exposed { mode: 0o644, .. }),
        "{error:?}"
    );

    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(&path, b"").unwrap();
    let error = file.load_or_create().unwrap_err();
    assert!(matches!(error, KeyError::Invalid { .. }), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn a_folder_that_cannot_be_made_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), b"").unwrap();
    let file = KeyFile::new(folder.path().join("file/key"));
    let error = file.load_or_create().unwrap_err();
    assert!(
        matches!(error, KeyError::Read { .. } | KeyError::Write { .. }),
        "{error:?}"
    );
}
