//! What this machine must have, and what of it is missing.

use std::env;
use std::fs;
use std::path::PathBuf;

use super::Purpose;

/// Something the machine must have.
#[derive(Debug)]
pub(super) struct Need {
    /// Its name for people.
    pub(super) what: &'static str,
    /// What it is needed for.
    pub(super) why: &'static str,
    /// How to tell whether it is there.
    sign: Sign,
    /// The Debian and Ubuntu packages that bring it.
    pub(super) packages: &'static [&'static str],
    /// What to do about it elsewhere.
    pub(super) elsewhere: &'static str,
    /// The first purpose that needs it.
    since: Purpose,
}

/// What shows that a need is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// A program on the `PATH`, or named by that environment variable.
    Program(&'static str, Option<&'static str>),
    /// A file that protoc finds by itself, or below the folder `PROTOC_INCLUDE`.
    ProtoFile(&'static str),
}

const NEEDS: &[Need] = &[
    Need {
        what: "protoc",
        why: "etcd's API is compiled from its .proto files",
        sign: Sign::Program("protoc", Some("PROTOC")),
        packages: &["protobuf-compiler"],
        elsewhere: "the Protocol Buffers compiler, on the PATH or named in PROTOC",
        since: Purpose::Build,
    },
    Need {
        what: "google/protobuf/descriptor.proto",
        why: "etcd's .proto files import it, and protoc comes without it",
        sign: Sign::ProtoFile("google/protobuf/descriptor.proto"),
        packages: &["libprotobuf-dev"],
        elsewhere: "the Protocol Buffers' own .proto files, in ../include beside protoc or in the folder PROTOC_INCLUDE",
        since: Purpose::Build,
    },
    Need {
        what: "cc",
        why: "the cryptography behind TLS is partly written in C",
        sign: Sign::Program("cc", Some("CC")),
        packages: &["gcc", "libc6-dev"],
        elsewhere: "a C compiler and the C library's headers",
        since: Purpose::Build,
    },
    Need {
        what: "ip",
        why: "for looking around in the lab's network namespaces",
        sign: Sign::Program("ip", None),
        packages: &["iproute2"],
        elsewhere: "iproute2",
        since: Purpose::Lab,
    },
    Need {
        what: "systemd",
        why: "scenarios have it start the agent by its unit, and etcd by the drop-in that the documents show",
        sign: Sign::Program("systemd-run", None),
        packages: &["systemd"],
        elsewhere: "systemd; it needs not be what the machine runs",
        since: Purpose::Lab,
    },
    Need {
        what: "nsenter",
        why: "it opens a shell in one of the lab's hosts, and asks the systemd of one",
        sign: Sign::Program("nsenter", None),
        packages: &["util-linux"],
        elsewhere: "util-linux",
        since: Purpose::Lab,
    },
    Need {
        what: "keepalived",
        why: "the bench measures it beside Mantle",
        sign: Sign::Program("keepalived", None),
        packages: &["keepalived"],
        elsewhere: "keepalived, on the PATH",
        since: Purpose::Bench,
    },
];

/// What `purpose` needs and is not here.
pub(super) fn missing(purpose: Purpose, is_here: impl Fn(Sign) -> bool) -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| need.since <= purpose && !is_here(need.sign)).collect()
}

/// Whether this machine shows the sign.
pub(super) fn is_here(sign: Sign) -> bool {
    match sign {
        Sign::Program(name, variable) => {
            variable.is_some_and(|variable| env::var_os(variable).is_some()) || on_path(name).is_some()
        }
        Sign::ProtoFile(file) => proto_folders().iter().any(|folder| folder.join(file).is_file()),
    }
}

/// The first program of that name on the `PATH`.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Where the protoc in use looks without being told to (`AddDefaultProtoPaths` in its sources).
fn proto_folders() -> Vec<PathBuf> {
    if let Some(named) = env::var_os("PROTOC_INCLUDE") {
        return vec![named.into()];
    }
    let protoc = env::var_os("PROTOC").map(PathBuf::from).or_else(|| on_path("protoc"));
    let protoc = protoc.and_then(|protoc| fs::canonicalize(protoc).ok());
    // Without a protoc: where the packages put one.
    let protoc = protoc.unwrap_or_else(|| PathBuf::from("/usr/bin/protoc"));
    let Some(folder) = protoc.parent() else { return Vec::new() };
    vec![folder.to_owned(), folder.join("../include")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(purpose: Purpose, is_here: impl Fn(Sign) -> bool) -> Vec<&'static str> {
        missing(purpose, is_here).iter().map(|need| need.what).collect()
    }

    #[test]
    fn a_machine_that_has_everything_misses_nothing() {
        assert!(names(Purpose::Bench, |_| true).is_empty());
    }

    #[test]
    fn protoc_without_its_own_files_is_not_enough() {
        let only_programs = |sign| matches!(sign, Sign::Program(..));
        assert_eq!(names(Purpose::Build, only_programs), ["google/protobuf/descriptor.proto"]);
    }

    #[test]
    fn nothing_is_asked_for_that_only_another_purpose_needs() {
        let asks_for = |purpose, what| names(purpose, |_| false).contains(&what);
        assert!(!asks_for(Purpose::Build, "ip") && asks_for(Purpose::Lab, "ip"));
        assert!(!asks_for(Purpose::Lab, "keepalived") && asks_for(Purpose::Bench, "keepalived"));
        assert!(asks_for(Purpose::Bench, "cc") && asks_for(Purpose::Bench, "ip"));
    }

    #[test]
    fn every_need_can_be_met_on_every_machine() {
        for need in NEEDS {
            assert!(!need.packages.is_empty() && !need.elsewhere.is_empty(), "{}", need.what);
        }
    }
}
