//! What can be wrong with a config, said so that a person knows what to write instead.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use thiserror::Error;

use super::address::AddressError;
use super::duration::DurationError;
use super::endpoint::EndpointError;
use super::origin::Origin;
use super::source;
use mantle_protocol::TimingError;

/// One thing that is wrong, and where.
#[derive(Debug, Error)]
#[error("{origin}: {fault}")]
pub struct Error {
    /// Where it stands.
    pub origin: Origin,
    /// What it is.
    pub fault: Fault,
}

/// Everything that is wrong, in the order of the files and their lines; at least one error.
#[derive(Debug)]
pub struct Errors(pub(super) Vec<Error>);

impl Errors {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Error> {
        self.0.iter()
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// What is wrong: what was found; what to write. Values are quoted, shortened and stripped of secrets where the
/// fault is made.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each variant's message says what it is and names its fields")]
pub enum Fault {
    // Files.
    #[error("cannot be read: {0}; name a file or a directory that the agent may read")]
    Unreadable(io::Error),
    #[error("is too large for a config, at most {} MiB; name the right file", source::LARGEST_FILE >> 20)]
    TooLarge,
    #[error("is not text: byte 0x{0:02x} is not UTF-8; save the file as UTF-8")]
    NotUtf8(u8),
    #[error("no *.yaml or *.yml file in this directory; put one there")]
    NoFile,
    #[error("more than {} config files in this directory; name the right one", source::MOST_FILES)]
    TooManyFiles,
    #[error("no document in it; write at least one of kind Layer2VIPConfig")]
    NoDocument,
    #[error("more than {0} documents in one file; name the right file")]
    TooManyDocuments(usize),

    // YAML.
    #[error("not YAML: {0}; check the indentation, quotes, colons and brackets around here")]
    NotYaml(String),
    #[error("key {0} stands twice in one mapping; keep one of the two")]
    KeyTwice(String),
    #[error("{0}; a config is small and flat, write it out plainly")]
    Unwieldy(String),
    #[error("a key that is itself a list or a mapping; write a name")]
    KeyNotText,

    // Documents.
    #[error("found {found} where a document should be; write keys and values, such as kind: Layer2VIPConfig")]
    NotADocument { found: &'static str },
    #[error("no kind; write kind: MantleConfig or kind: Layer2VIPConfig")]
    NoKind,
    #[error("unknown kind {found}; {remedy}")]
    UnknownKind { found: String, remedy: String },
    #[error("no apiVersion; write apiVersion: {write}")]
    NoApiVersion { write: &'static str },
    #[error("apiVersion {found} is not known for {kind}; write apiVersion: {write}")]
    WrongApiVersion { kind: &'static str, found: String, write: &'static str },
    #[error("a second MantleConfig, the first is at {first}; keep one of the two")]
    SecondMantleConfig { first: Origin },

    // Keys and values in general.
    #[error("unknown key {found} in {section}; {remedy}")]
    UnknownKey { found: String, section: &'static str, remedy: String },
    #[error("no {key} in {section}; write {key}: {example}")]
    MissingKey { key: &'static str, section: &'static str, example: &'static str },
    #[error("found {found}; write {wanted}")]
    WrongShape { found: String, wanted: String },
    #[error("{found} is no {what}; write {wanted}")]
    Invalid { found: String, what: &'static str, wanted: String },
    #[error(transparent)]
    Duration(#[from] DurationError),

    // MantleConfig.
    #[error("no node name: the host name {found} cannot be one; write node: NAME in a MantleConfig")]
    HostName { found: String },
    #[error("{0}; write default, steady, fast, fastest or a timing that keeps this")]
    Timing(#[from] TimingError),
    #[error(
        "burst is not in ascending order: {found} comes after {before}; write offsets such as [0s, 100ms, 300ms]"
    )]
    BurstOrder { found: String, before: String },
    #[error(
        "runtimeDir is too long for the socket in it: at most {longest} bytes; write a shorter path such as /run/mantle"
    )]
    RuntimeDirTooLong { longest: usize },

    #[error(
        "{address} is everywhere already; take listenSubnets away, or let listen be 127.0.0.1 and its port"
    )]
    ListensEverywhere { address: SocketAddr },
    #[error("listen is off, and has no port for these subnets; write listen: 127.0.0.1:9480")]
    ListensNowhere,

    // etcd.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("endpoint {found} stands here twice; take one away")]
    EndpointTwice { found: String },
    #[error("{key} \"{}\" cannot be read: {error}; write the path of a file that the agent may read", path.display())]
    FileUnreadable { key: &'static str, path: PathBuf, error: io::Error },
    #[error("{key} without {other}; write both or neither")]
    Alone { key: &'static str, other: &'static str },
    #[error("endpoint {found} is not encrypted, though {key} is set; write https:// or take {key} away")]
    NotEncrypted { found: String, key: &'static str },
    #[error(
        "endpoint {found} is encrypted, but nothing says whom to trust; write caFile: the file of etcd's CA"
    )]
    NobodyTrusted { found: String },

    // Health.
    #[error("check {name} stands here for the second time; give each its own name")]
    CheckTwice { name: String },
    #[error("more than {most} checks; a command can look at several things at once")]
    TooManyChecks { most: usize },
    #[error("nothing to check; write one of tcp, http, kubeApiserver, command")]
    NothingToCheck,
    #[error("a check tries one thing; write a second check, under a name of its own")]
    TwoThingsToCheck,
    #[error("write run: [/path/to/program, ...], or shell: and a line for /bin/sh, and not both")]
    RunOrShell,
    #[error(
        "{found} is encrypted, but nothing says whom to trust; write caFile: the file of the CA that signed the server's certificate"
    )]
    CheckTrustsNobody { found: String },
    #[error("{vip} is no VIP of this config; write one that is")]
    NoSuchVip { vip: IpAddr },

    // Replies.
    #[error("no VIP of this config is on link {link}; write a link as a VIP's document names it")]
    NoVipOnLink { link: String },
    #[error("{gateway} is a second gateway of its family, the first is {first}; keep one of the two")]
    SecondGateway { gateway: IpAddr, first: IpAddr },

    // VIPs.
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("VIP {vip} stands here for the second time, the first is at {first}; take one away")]
    SameVip { vip: IpAddr, first: Origin },
    #[error(
        "VIP {vip} is on a link chosen by deviceSelector, which Mantle cannot resolve; write interface: with the link's name"
    )]
    LinkSelected { vip: String },
    #[error("VIP {vip} is on an interface without a name; write interface: with the link's name")]
    LinkMissing { vip: String },

    // Addresses.
    #[error(
        "{found} is no subnet; write one such as 10.0.0.0/8, fd00::/8 or 10.0.0.5, or \"!10.0.0.5\" to take away, in quotes"
    )]
    Subnet { found: String },
    #[error(
        "the list of subnets for {of} stands here for the second time, the first is at {first}; take one away"
    )]
    SameList { of: String, first: Origin },

    // What the machine says (see `check_against`).
    #[error(
        "VIP {vip} is this node's own address on link {link}; write an address that no machine has as its own"
    )]
    OwnAddress { vip: IpAddr, link: String },
    #[error(
        "VIP {vip} is the {which} address of {net} on link {link}; write another address of that network"
    )]
    NotAHost { vip: IpAddr, which: &'static str, net: IpNet, link: String },
}

/// One thing that may not be what was meant, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where it stands.
    pub origin: Origin,
    /// What it is.
    pub concern: Concern,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.concern)
    }
}

/// What may not be meant.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant's message says what it is and names its fields")]
pub enum Concern {
    #[error("no VIP in the config: this node will have nothing to do; write a Layer2VIPConfig")]
    NoVip,
    #[error(
        "{key} only takes away, and so lets no address in; begin it with what to take from, such as 0.0.0.0/0 or ::/0"
    )]
    OnlyTakesAway { key: &'static str },
    #[error("{key} is not done by Mantle: the VIP is announced on the link only")]
    CloudVip { key: &'static str },
    #[error(
        "HCloudVIPConfig is not done by Mantle and is left alone; write a Layer2VIPConfig for a VIP on a link"
    )]
    HCloudVipKind,
    #[error("the password for etcd goes over endpoint {endpoint} unencrypted; write https:// and a caFile")]
    PasswordInClear { endpoint: String },
    #[error(
        "endpoint {endpoint} is a VIP of this config: without an owner etcd is not reached there, and without etcd there is no owner; write the members' own addresses"
    )]
    EtcdBehindVip { endpoint: String },

    #[error(
        "the check asks VIP {vip}, which is on the owner only: it would tell of the owner's health, not of this node's; write an address of this node, such as 127.0.0.1"
    )]
    CheckBehindVip { vip: IpAddr },

    // What the machine says (see `check_against`).
    #[error("no link {link} on this machine by name, altname or alias: VIP {vip} waits for it")]
    LinkMissing { vip: IpAddr, link: String },
    #[error(
        "VIP {vip} is outside the networks of link {link} ({nets}): neighbours there will not look for it"
    )]
    OutsideNetworks { vip: IpAddr, link: String, nets: String },
}

/// A piece of a config as an error shows it: in quotes, control characters escaped, and not longer than a line.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
