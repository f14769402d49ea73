//! Choices as environment files: what systemd's `EnvironmentFile=` and a shell's `.` both read.

use std::net::IpAddr;

use super::keeper::Kept;
use super::rule::Purpose;
use super::wishes::Wishes;

const PEER_PORT: u16 = 2380;
const CLIENT_PORT: u16 = 2379;

/// The environment of a consumer; none while nothing has been chosen for it.
pub fn environment(consumer: &str, wishes: &Wishes, all: &[Kept]) -> Option<String> {
    let of = |purpose: &Purpose| all.iter().find(|kept| kept.purpose == *purpose);
    let lines = match consumer {
        "etcd" => {
            let advertised = &of(&Purpose::EtcdAdvertised)?.choice.addresses;
            let listen = of(&Purpose::EtcdListen).map(|kept| kept.choice.addresses.as_slice());
            if advertised.is_empty() || listen.is_some_and(<[IpAddr]>::is_empty) {
                return None;
            }
            etcd(advertised, listen, wishes.etcd_encrypted)
        }
        name => {
            let purpose = if name == "kubelet" { Purpose::Kubelet } else { Purpose::Named(name.to_owned()) };
            let addresses = &of(&purpose)?.choice.addresses;
            let first = addresses.first()?;
            let all = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            if purpose == Purpose::Kubelet {
                vec![
                    ("KUBELET_NODE_IP".to_owned(), all.clone()),
                    ("KUBELET_EXTRA_ARGS".to_owned(), format!("--node-ip={all}")),
                ]
            } else {
                let stem = name.to_ascii_uppercase().replace('-', "_");
                vec![(format!("{stem}_ADDRESS"), first.to_string()), (format!("{stem}_ADDRESSES"), all)]
            }
        }
    };
    Some(lines.into_iter().flat_map(|(name, value)| [name, "=".to_owned(), value, "\n".to_owned()]).collect())
}

/// Everywhere if nothing is said of where to listen. In one family or both, as what is advertised demands.
fn etcd(advertised: &[IpAddr], listen: Option<&[IpAddr]>, encrypted: bool) -> Vec<(String, String)> {
    let everywhere = if advertised.iter().any(IpAddr::is_ipv6) {
        IpAddr::from(std::net::Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::from(std::net::Ipv4Addr::UNSPECIFIED)
    };
    let peers = listen.map_or_else(|| vec![everywhere], <[IpAddr]>::to_vec);
    // Clients on the node itself; who listens everywhere listens there too.
    let local = listen.map(|_| IpAddr::from(std::net::Ipv4Addr::LOCALHOST));
    let clients: Vec<IpAddr> = local.into_iter().chain(peers.iter().copied()).collect();
    let urls = |addresses: &[IpAddr], port| {
        let scheme = if encrypted { "https" } else { "http" };
        let url = |ip: &IpAddr| format!("{scheme}://{}", std::net::SocketAddr::new(*ip, port));
        addresses.iter().map(url).collect::<Vec<_>>().join(",")
    };
    vec![
        ("ETCD_LISTEN_PEER_URLS".to_owned(), urls(&peers, PEER_PORT)),
        ("ETCD_INITIAL_ADVERTISE_PEER_URLS".to_owned(), urls(advertised, PEER_PORT)),
        ("ETCD_LISTEN_CLIENT_URLS".to_owned(), urls(&clients, CLIENT_PORT)),
        ("ETCD_ADVERTISE_CLIENT_URLS".to_owned(), urls(advertised, CLIENT_PORT)),
    ]
}

#[cfg(test)]
mod tests;
