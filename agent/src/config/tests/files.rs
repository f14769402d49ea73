//! Files and directories as they come.

use std::fs;
use std::path::Path;

use super::super::source::LARGEST_FILE;
use super::super::{Config, Errors, load};
use super::{VIP, vips};

fn write(dir: &Path, name: &str, text: impl AsRef<[u8]>) {
    fs::write(dir.join(name), text).unwrap();
}

/// The errors with the directory taken out.
fn errors(dir: &Path, loaded: Result<Config, Errors>) -> String {
    loaded.unwrap_err().to_string().replace(&format!("{}", dir.display()), "DIR")
}

#[test]
fn a_directory_is_read_in_the_order_of_names() {
    let dir = tempfile::tempdir().unwrap();
    let vip = |ip: &str| VIP.replace("192.168.0.15", ip);
    write(dir.path(), "20-b.yml", vip("10.0.0.2"));
    write(dir.path(), "10-a.yaml", format!("\u{feff}{}", vip("10.0.0.1")));
    write(dir.path(), "30-c.yaml", vip("10.0.0.3"));
    write(dir.path(), ".hidden.yaml", "broken: [");
    write(dir.path(), "notes.txt", "broken: [");
    fs::create_dir(dir.path().join("40-d.yaml")).unwrap();
    std::os::unix::fs::symlink("30-c.yaml", dir.path().join("c-again.json")).unwrap();
    let config = load(dir.path()).unwrap();
    assert_eq!(
        vips(&config),
        ["10.0.0.1 enp0s2 3:7", "10.0.0.2 enp0s2 3:7", "10.0.0.3 enp0s2 3:7"],
        "a byte order mark takes no column"
    );
    assert_eq!(config.vips[1].origin.to_string(), format!("{}:3:7", dir.path().join("20-b.yml").display()));
}

#[test]
fn errors_of_all_files_are_shown_and_places_in_other_files_named() {
    let dir = tempfile::tempdir().unwrap();
    let mantle = "apiVersion: mantle/v1alpha1\nkind: MantleConfig\n";
    write(dir.path(), "a.yaml", format!("{VIP}---\n{mantle}"));
    write(dir.path(), "b.yaml", "a: [\n");
    write(dir.path(), "c.yaml", format!("{mantle}---\n{VIP}"));
    std::os::unix::fs::symlink("nowhere", dir.path().join("d.yaml")).unwrap();
    assert_eq!(
        errors(dir.path(), load(dir.path())),
        "DIR/b.yaml:1:4: not YAML: unclosed bracket '['; check the indentation, quotes, colons and brackets around here\n\
         DIR/c.yaml:1:1: a second MantleConfig, the first is at DIR/a.yaml:6:1; keep one of the two\n\
         DIR/c.yaml:6:7: VIP 192.168.0.15 stands here for the second time, the first is at DIR/a.yaml:3:7; take one \
         away\n\
         DIR/d.yaml: cannot be read: No such file or directory (os error 2); name a file or a directory that the agent \
         may read"
    );
}

#[test]
fn what_cannot_be_read_says_why() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        errors(dir.path(), load(dir.path())),
        "DIR: no *.yaml or *.yml file in this directory; put one there"
    );
    assert_eq!(
        errors(dir.path(), load(&dir.path().join("none.yaml"))),
        "DIR/none.yaml: cannot be read: No such file or directory (os error 2); name a file or a directory that the \
         agent may read"
    );
    write(dir.path(), "latin.yaml", b"a: 1\nn\xc3\xa4me: \xe4\n");
    assert_eq!(
        errors(dir.path(), load(dir.path())),
        "DIR/latin.yaml:2:7: is not text: byte 0xe4 is not UTF-8; save the file as UTF-8"
    );
}

#[test]
fn a_file_of_50_megabytes_is_refused_and_never_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("big.yaml")).unwrap();
    file.set_len(50 << 20).unwrap();
    assert_eq!(
        errors(dir.path(), load(dir.path())),
        "DIR/big.yaml: is too large for a config, at most 4 MiB; name the right file"
    );
    // Says it is empty, and never ends.
    assert_eq!(
        load(Path::new("/dev/zero")).unwrap_err().to_string(),
        "/dev/zero: is too large for a config, at most 4 MiB; name the right file"
    );
}

#[test]
fn the_largest_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = "        x: 0123456789012345678901234567890123456789\n";
    let most = usize::try_from(LARGEST_FILE).unwrap() - 200;
    let manifests = manifest.repeat(most / manifest.len());
    let text = format!("{VIP}---\ncluster:\n  inlineManifests:\n    - contents: |\n{manifests}");
    write(dir.path(), "machine.yaml", text);
    assert_eq!(load(dir.path()).unwrap().vips.len(), 1);
}

#[test]
fn files_that_are_named_are_looked_for_beside_the_config() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["ca.pem", "node.pem", "node.key", "password"] {
        write(dir.path(), name, "x");
    }
    write(
        dir.path(),
        "mantle.yaml",
        format!(
            "{VIP}---\napiVersion: mantle/v1alpha1\nkind: MantleConfig\netcd:\n  endpoints: [\"https://10.0.0.1:2379\"]\n  \
             caFile: ca.pem\n  certFile: node.pem\n  keyFile: {}\n  username: root\n  passwordFile: password\n",
            dir.path().join("node.key").display()
        ),
    );
    let etcd = load(&dir.path().join("mantle.yaml")).unwrap().etcd;
    assert_eq!(etcd.ca_file, Some(dir.path().join("ca.pem")));
    assert_eq!(etcd.cert_file, Some(dir.path().join("node.pem")));
    assert_eq!(etcd.key_file, Some(dir.path().join("node.key")));
    assert_eq!(etcd.username.as_deref(), Some("root"));
    assert_eq!(etcd.password_file, Some(dir.path().join("password")));
}

#[test]
fn a_password_in_clear_is_warned_of_except_at_home() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "password", "x");
    write(
        dir.path(),
        "mantle.yaml",
        format!(
            "{VIP}---\napiVersion: mantle/v1alpha1\nkind: MantleConfig\netcd:\n  endpoints: [\"http://127.0.0.1:2379\", \
             \"http://10.0.0.1:2379\"]\n  username: root\n  passwordFile: password\n"
        ),
    );
    let warnings = load(dir.path()).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        warnings[0].concern.to_string(),
        "the password for etcd goes over endpoint http://10.0.0.1:2379 unencrypted; write https:// and a caFile"
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "x.yaml", bytes);
        let _ = load(dir.path());
    }
}
