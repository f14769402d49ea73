//! What can go wrong with links and addresses, each with what to do about it.

use std::net::IpAddr;

use nix::errno::Errno;
use thiserror::Error;

use super::request::Refusal;

/// Why a name is no link's.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FindError {
    /// No link is called that.
    #[error("there is no link {name:?}, neither by name nor by altname or alias")]
    Missing {
        /// What was looked for.
        name: String,
    },
    /// An alias that several links share.
    #[error("{name:?} is the alias of both {one} and {other}: write the name of one of them")]
    Ambiguous {
        /// What was looked for.
        name: String,
        /// The name of one link.
        one: String,
        /// The name of another.
        other: String,
    },
}

/// Why the links can't be seen.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OpenError {
    /// No socket.
    #[error(
        "a netlink socket can't be opened: {0}; the agent needs AF_NETLINK (systemd: RestrictAddressFamilies)"
    )]
    Socket(Errno),
    /// The kernel doesn't say what links there are.
    #[error("the kernel didn't list its links and addresses: {0}")]
    Dump(Errno),
    /// The lists never came whole.
    #[error("the node's links changed faster than they could be listed, {0} times over")]
    Restless(u32),
}

/// Why a VIP was not put in place.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PutError {
    /// Somebody else's address is in its place.
    #[error(
        "{ip} was not put on {link}: it is there already as {ip}/{prefix}, and not by Mantle; take it off there, or \
         choose another VIP"
    )]
    NotOurs {
        /// The VIP.
        ip: IpAddr,
        /// The link's name.
        link: String,
        /// The prefix that the other one has.
        prefix: u8,
    },
    /// The link went away.
    #[error("{ip} was not put on {link}: the link is gone; the VIP can come back when the link does")]
    NoLink {
        /// The VIP.
        ip: IpAddr,
        /// The link's name, or index where it has none any more.
        link: String,
    },
    /// The agent lacks the capability.
    #[error(
        "{ip} was not put on {link}: the agent may not change addresses ({errno}); give it CAP_NET_ADMIN"
    )]
    Denied {
        /// The VIP.
        ip: IpAddr,
        /// The link's name.
        link: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// The link carries no IPv6.
    #[error(
        "{ip} was not put on {link}: there is no IPv6 on it ({errno}); set net.ipv6.conf.{link}.disable_ipv6=0 and an MTU of at \
         least 1280"
    )]
    NoIpv6 {
        /// The VIP.
        ip: IpAddr,
        /// The link's name.
        link: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// Anything else the kernel said.
    #[error("{ip} was not put on {link}: the kernel answered {errno}{note}")]
    Refused {
        /// The VIP.
        ip: IpAddr,
        /// The link's name.
        link: String,
        /// What the kernel said.
        errno: Errno,
        /// And why, where it said so.
        note: String,
    },
    /// It may have been put.
    #[error("{ip} may or may not be on {link}: the kernel's answer was lost ({errno}); put it again")]
    Unanswered {
        /// The VIP.
        ip: IpAddr,
        /// The link's name.
        link: String,
        /// What the socket said.
        errno: Errno,
    },
    /// Nothing was tried: whose address is there could not be seen.
    #[error("{ip} was not put on {link}: {source}")]
    Blind {
        /// The VIP.
        ip: IpAddr,
        /// The link's name.
        link: String,
        /// Why nothing is seen.
        source: OpenError,
    },
}

/// Why a VIP may still be in place.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RemoveError {
    /// It is somebody else's address.
    #[error("{ip} was left on {link}: it is there as {ip}/{prefix}, and not by Mantle")]
    NotOurs {
        /// The VIP.
        ip: IpAddr,
        /// The link's name.
        link: String,
        /// The prefix it has.
        prefix: u8,
    },
    /// The agent lacks the capability.
    #[error(
        "{ip} was not taken off {link}: the agent may not change addresses ({errno}); give it CAP_NET_ADMIN. The \
         kernel drops the address when its lifetime ends"
    )]
    Denied {
        /// The VIP.
        ip: IpAddr,
        /// The link's name.
        link: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// Anything else the kernel said.
    #[error(
        "{ip} was not taken off {link}: the kernel answered {errno}{note}; it drops the address when its lifetime ends"
    )]
    Refused {
        /// The VIP.
        ip: IpAddr,
        /// The link's name.
        link: String,
        /// What the kernel said.
        errno: Errno,
        /// And why, where it said so.
        note: String,
    },
    /// It may have been taken off.
    #[error("{ip} may or may not be off {link}: the kernel's answer was lost ({errno}); take it off again")]
    Unanswered {
        /// The VIP.
        ip: IpAddr,
        /// The link's name.
        link: String,
        /// What the socket said.
        errno: Errno,
    },
    /// Nothing was tried: whose address is there could not be seen.
    #[error("{ip} was not taken off {link}: {source}")]
    Blind {
        /// The VIP.
        ip: IpAddr,
        /// The link's name.
        link: String,
        /// Why nothing is seen.
        source: OpenError,
    },
}

impl PutError {
    pub(super) fn refused(ip: IpAddr, link: String, refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unanswered(errno) => Self::Unanswered { ip, link, errno },
            Refusal::Kernel { errno: Errno::ENODEV, .. } => Self::NoLink { ip, link },
            // `addrconf_add_dev` answers EACCES for a link with IPv6 switched off and EINVAL for one whose MTU is
            // too small for it, and the kernel EOPNOTSUPP where it has no IPv6 at all.
            Refusal::Kernel {
                errno: errno @ (Errno::EACCES | Errno::EINVAL | Errno::EOPNOTSUPP), ..
            } if ip.is_ipv6() => Self::NoIpv6 { ip, link, errno },
            Refusal::Kernel { errno: errno @ (Errno::EPERM | Errno::EACCES), .. } => {
                Self::Denied { ip, link, errno }
            }
            Refusal::Kernel { errno, note } => Self::Refused { ip, link, errno, note: in_brackets(note) },
        }
    }
}

impl RemoveError {
    pub(super) fn refused(ip: IpAddr, link: String, refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unanswered(errno) => Self::Unanswered { ip, link, errno },
            Refusal::Kernel { errno: errno @ (Errno::EPERM | Errno::EACCES), .. } => {
                Self::Denied { ip, link, errno }
            }
            Refusal::Kernel { errno, note } => Self::Refused { ip, link, errno, note: in_brackets(note) },
        }
    }
}

fn in_brackets(note: Option<String>) -> String {
    note.map_or_else(String::new, |note| format!(" ({note})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ip: &str, errno: Errno) -> String {
        let refusal = Refusal::Kernel { errno, note: Some("because".to_owned()) };
        PutError::refused(ip.parse().unwrap(), "eth0".to_owned(), refusal).to_string()
    }

    #[test]
    fn a_refusal_names_the_vip_the_link_and_the_remedy() {
        for (ip, errno, remedy) in [
            ("10.0.0.9", Errno::EPERM, "CAP_NET_ADMIN"),
            ("fd00::9", Errno::EPERM, "CAP_NET_ADMIN"),
            ("fd00::9", Errno::EACCES, "net.ipv6.conf.eth0.disable_ipv6=0"),
            ("10.0.0.9", Errno::ENODEV, "when the link does"),
            ("10.0.0.9", Errno::EINVAL, "EINVAL: Invalid argument (because)"),
        ] {
            let told = told(ip, errno);
            assert!(told.contains(ip) && told.contains("eth0") && told.contains(remedy), "{told}");
        }
    }
}
