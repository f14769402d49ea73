use std::os::unix::fs::MetadataExt;

use super::*;

#[test]
fn what_is_remembered_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    assert_eq!(Memory::load(&state).unwrap(), Memory::default());
    let address = IpAddr::from([10, 0, 0, 5]);
    let choices =
        [Purpose::EtcdAdvertised, Purpose::EtcdListen, Purpose::Kubelet, Purpose::Named("db".into())]
            .map(|purpose| (purpose, vec![address]));
    let memory = Memory { choices: BTreeMap::from(choices), vips: BTreeSet::from([address]) };
    assert!(memory.save(&state).unwrap());
    assert!(!memory.save(&state).unwrap(), "nothing new");
    assert_eq!(Memory::load(&state).unwrap(), memory);
    for broken in ["", "{", r#"{"version": 2, "choices": {}, "vips": []}"#] {
        fs::write(Memory::path(&state), broken).unwrap();
        let error = Memory::load(&state).unwrap_err().to_string();
        assert!(error.starts_with("cannot make sense of "), "{error}");
    }
}

#[test]
fn a_file_is_replaced_as_a_whole_and_only_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("etcd.env");
    assert!(replace(&path, "A=1\n").unwrap());
    let inode = fs::metadata(&path).unwrap().ino();
    assert!(!replace(&path, "A=1\n").unwrap());
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "untouched");
    let reader = File::open(&path).unwrap();
    assert!(replace(&path, "A=2\n").unwrap());
    assert_eq!(io::read_to_string(reader).unwrap(), "A=1\n", "who reads the old one reads it whole");
    assert_eq!(fs::read_to_string(&path).unwrap(), "A=2\n");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    let error = replace(&dir.path().join("etcd.env/x"), "A=1\n").unwrap_err().to_string();
    assert!(error.starts_with("cannot write "), "{error}");
}
