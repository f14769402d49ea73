//! Which of the node's addresses connections are made from: never a VIP (I7).
//!
//! What is chosen for Mantle itself, where the config asks for it; else what the kernel would take. That is a VIP where
//! a route names it as the source, or where the node has no other address of that family: then another is taken, or none.
//!
//! A choice whose address is not there now is passed over: a renewal must not wait for it.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use etcd_client::{BalancedChannelBuilder, Channel};
use hyper::Uri;
use ipnet::IpNet;
use tokio::sync::mpsc::{self, Sender};
use tonic::transport::channel::Change;
use tonic::transport::{self, Endpoint};

use super::failure::Cause;

/// What is known of the node's addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// What was chosen for Mantle itself; nothing if the kernel is to choose.
    pub chosen: Vec<IpAddr>,
    /// The VIPs, as far as they are known.
    pub vips: BTreeSet<IpAddr>,
    /// The addresses that could be a source instead of a VIP, with their prefixes, the best first.
    pub others: Vec<IpNet>,
}

/// The same, shared between whoever chooses and whoever connects. Clones are one book.
#[derive(Clone, Debug, Default)]
pub struct SourceBook(Arc<Mutex<Sources>>);

/// Where a connection is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// Whether the endpoint is on this machine itself: then nothing is bound.
    pub(super) is_loopback: bool,
    /// Whether the endpoint has an IPv4 address; a name may stand for some of both families.
    pub(super) has_v4: bool,
    /// Whether it has an IPv6 address.
    pub(super) has_v6: bool,
    /// The address that is bound; none where the kernel chose.
    pub(super) bound: Option<IpAddr>,
}

impl SourceBook {
    /// Makes this what is known.
    pub fn write(&self, sources: Sources) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sources;
    }

    /// What is known.
    pub fn read(&self) -> Sources {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the choice is another by now than a connection was made from.
    pub(super) fn wants_another(&self, way: Way) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).want_another(way, is_there)
    }
}

impl Way {
    /// Whether an address is of a family by which the endpoint can be reached.
    fn suits(self, ip: &IpAddr) -> bool {
        if ip.is_ipv4() { self.has_v4 } else { self.has_v6 }
    }
}

impl Sources {
    /// The way to an endpoint with these addresses, the one that is tried first before the others; `kernel` says what the
    /// kernel would take to that one, and `is_there` whether an address can be bound.
    pub(super) fn toward(
        &self,
        endpoint: &[IpAddr],
        kernel: impl FnOnce() -> Option<IpAddr>,
        is_there: impl Fn(IpAddr) -> bool,
    ) -> Result<Way, Cause> {
        let first = endpoint
            .first()
            .ok_or_else(|| Cause::Unreachable("its name stands for no address".to_owned()))?;
        let way = Way {
            is_loopback: first.is_loopback(),
            has_v4: endpoint.iter().any(IpAddr::is_ipv4),
            has_v6: endpoint.iter().any(IpAddr::is_ipv6),
            bound: None,
        };
        if way.is_loopback {
            return Ok(way);
        }
        if let Some(chosen) = self.chosen_for(way, &is_there) {
            return Ok(Way { bound: Some(chosen), ..way });
        }
        let Some(vip) = kernel().filter(|taken| self.vips.contains(taken)) else { return Ok(way) };
        // An address of another network may have no way back.
        let fits = |ip: IpAddr| ip.is_ipv4() == first.is_ipv4() && !self.vips.contains(&ip) && is_there(ip);
        let others = || self.others.iter().filter(|other| fits(other.addr()));
        let neighbour = others().find(|other| other.contains(first));
        let other = neighbour.or_else(|| others().next()).ok_or(Cause::OnlyVip(vip))?;
        Ok(Way { bound: Some(other.addr()), ..way })
    }

    /// The chosen address for a way, of those that can be bound now.
    fn chosen_for(&self, way: Way, is_there: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let fits = |ip: &&IpAddr| way.suits(ip) && !self.vips.contains(*ip) && is_there(**ip);
        self.chosen.iter().find(fits).copied()
    }

    /// Whether a connection made now would come from another address.
    fn want_another(&self, way: Way, is_there: impl Fn(IpAddr) -> bool) -> bool {
        !way.is_loopback && self.chosen_for(way, is_there).is_some_and(|chosen| way.bound != Some(chosen))
    }
}

/// The way to the host of a URL.
pub(super) async fn way_to(url: &str, book: &SourceBook) -> Result<Way, Cause> {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    let unknown = |error: io::Error| Cause::Unreachable(format!("its name cannot be resolved: {error}"));
    // An address resolves to itself.
    let found: Vec<SocketAddr> = tokio::net::lookup_host(authority).await.map_err(unknown)?.collect();
    let addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
    book.read().toward(&addresses, || kernels_choice(*found.first()?), is_there)
}

/// The source that the kernel would take: to connect a UDP socket is to ask for the route, and sends nothing.
fn kernels_choice(to: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((unspecified(to.is_ipv4()), 0)).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn is_there(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

fn unspecified(v4: bool) -> IpAddr {
    if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// Makes channels whose connections are bound to an address.
pub(super) struct Bound(pub(super) Option<IpAddr>);

impl BalancedChannelBuilder for Bound {
    type Error = transport::Error;

    fn balanced_channel(
        self,
        buffer_size: usize,
    ) -> Result<(Channel, Sender<Change<Uri, Endpoint>>), Self::Error> {
        let (channel, endpoints) = transport::Channel::balance_channel(buffer_size);
        let (told, mut inbox) = mpsc::channel::<Change<Uri, Endpoint>>(buffer_size);
        // Ends with the client's own end of the channel.
        tokio::spawn(async move {
            while let Some(change) = inbox.recv().await {
                let change = match change {
                    Change::Insert(uri, endpoint) => Change::Insert(uri, endpoint.local_address(self.0)),
                    removed @ Change::Remove(_) => removed,
                };
                if endpoints.send(change).await.is_err() {
                    return;
                }
            }
        });
        Ok((Channel::Tonic(channel), told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| ip(text)).collect()
    }

    fn sources(chosen: &[&str], others: &[&str]) -> Sources {
        let vips = ips(&["10.0.0.100", "fd00::100"]).into_iter().collect();
        Sources { chosen: ips(chosen), vips, others: others.iter().map(|net| net.parse().unwrap()).collect() }
    }

    /// What is bound to reach an address that the kernel would reach from another.
    fn bound(sources: &Sources, to: &str, kernel: &str) -> Result<Option<IpAddr>, Cause> {
        let is_there = |ip: IpAddr| ip != "10.0.0.9".parse::<IpAddr>().unwrap();
        sources.toward(&[ip(to)], || Some(ip(kernel)), is_there).map(|way| way.bound)
    }

    #[test]
    fn a_name_that_stands_for_both_families_is_spoken_to_by_the_chosen_one() {
        let endpoint = ips(&["fd00::2", "10.0.0.2"]);
        let way = |chosen: &[&str]| {
            let sources = sources(chosen, &[]);
            sources.toward(&endpoint, || Some(ip("fd00::7")), |ip| ip.to_string() != "10.0.0.9").unwrap()
        };
        assert_eq!(way(&["10.0.0.1"]).bound, Some(ip("10.0.0.1")), "though its IPv6 address comes first");
        assert_eq!(way(&["10.0.0.1", "fd00::1"]).bound, Some(ip("10.0.0.1")), "the first that was chosen");
        assert_eq!(way(&["10.0.0.9", "fd00::1"]).bound, Some(ip("fd00::1")), "10.0.0.9 is not there");
        let unbound = way(&[]);
        assert_eq!(unbound.bound, None);
        for chosen in ["10.0.0.1", "fd00::1"] {
            assert!(sources(&[chosen], &[]).want_another(unbound, |_| true), "{chosen} is chosen later");
        }
    }

    #[test]
    fn a_name_that_stands_for_nothing_is_no_endpoint() {
        let nowhere = sources(&["10.0.0.1"], &[]).toward(&[], || None, |_| true);
        assert!(matches!(nowhere, Err(Cause::Unreachable(_))), "{nowhere:?}");
    }

    #[test]
    fn what_is_chosen_is_bound_where_it_can_be() {
        let chosen = sources(&["10.0.0.9", "10.0.0.1", "fd00::1"], &[]);
        assert_eq!(bound(&chosen, "10.0.0.2", "10.0.0.7"), Ok(Some(ip("10.0.0.1"))), "10.0.0.9 is not there");
        assert_eq!(bound(&chosen, "fd00::2", "fd00::7"), Ok(Some(ip("fd00::1"))), "of the family");
        assert_eq!(bound(&chosen, "127.0.0.1", "127.0.0.1"), Ok(None));
        assert_eq!(
            bound(&sources(&["fd00::1"], &[]), "10.0.0.2", "10.0.0.7"),
            Ok(None),
            "the kernel chooses"
        );
        assert_eq!(bound(&sources(&["10.0.0.9"], &[]), "10.0.0.2", "10.0.0.7"), Ok(None));
    }

    #[test]
    fn a_vip_is_no_source_even_where_the_kernel_would_take_it() {
        let with_others = sources(&[], &["fd00::1/64", "10.9.0.1/24", "10.0.0.9/24", "10.0.0.1/24"]);
        assert_eq!(bound(&with_others, "10.0.0.2", "10.0.0.100"), Ok(Some(ip("10.0.0.1"))));
        assert_eq!(bound(&with_others, "192.0.2.1", "10.0.0.100"), Ok(Some(ip("10.9.0.1"))), "the best");
        assert_eq!(bound(&with_others, "10.0.0.2", "10.0.0.1"), Ok(None));
        let only = sources(&[], &["10.0.0.1/24"]);
        assert_eq!(bound(&only, "fd00::2", "fd00::100"), Err(Cause::OnlyVip(ip("fd00::100"))));
        let foolish = sources(&["10.0.0.100"], &["10.0.0.1/24"]);
        assert_eq!(bound(&foolish, "10.0.0.2", "10.0.0.100"), Ok(Some(ip("10.0.0.1"))));
    }

    #[test]
    fn a_connection_is_made_anew_when_another_address_is_chosen() {
        let wants =
            |chosen: &[&str], way| sources(chosen, &[]).want_another(way, |ip| ip.to_string() != "10.0.0.9");
        let way = |bound: Option<&str>| Way {
            is_loopback: false,
            has_v4: true,
            has_v6: false,
            bound: bound.map(ip),
        };
        assert!(!wants(&[], way(None)), "nothing is chosen");
        let chosen = ["fd00::1", "10.0.0.9", "10.0.0.100", "10.0.0.1"];
        assert!(wants(&chosen, way(None)));
        assert!(wants(&chosen, way(Some("10.0.0.2"))));
        assert!(
            !wants(&chosen, way(Some("10.0.0.1"))),
            "10.0.0.9 is not there, 10.0.0.100 a VIP: nothing would change"
        );
        assert!(!wants(&chosen[..3], way(None)));
        assert!(!wants(&chosen, Way { is_loopback: true, ..way(None) }));
    }
}
