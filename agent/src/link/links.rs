//! The node's links: what there is, what changes, and the VIPs put on them.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use nix::errno::Errno;
use tokio::time::{Instant, sleep_until};

use super::error::{OpenError, PutError, RemoveError};
use super::inventory::{Address, Fact, Fitness, Holding, Inventory, LinkEvent};
use super::lifetime::Lifetime;
use super::request::{Change, Refusal, Requests, host_prefix};
use super::watch::{Watch, machine_links};

/// A subscription that broke is renewed after this; after twice as long each further time.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// The node's links and the VIPs on them.
pub struct Links {
    requests: Requests,
    view: View,
}

/// What is known of the links, and where it comes from.
struct View {
    inventory: Inventory,
    events: VecDeque<LinkEvent>,
    watch: Result<Watch, OpenError>,
    retry: Duration,
    retry_at: Instant,
}

impl Links {
    /// Opens the sockets and reads what is there: every link and address is an event at first.
    ///
    /// Wants a tokio runtime, and stays in the network namespace of the thread that called.
    pub fn open() -> Result<Self, OpenError> {
        let requests = Requests::open().map_err(OpenError::Socket)?;
        let (mut inventory, mut events) = (Inventory::default(), VecDeque::new());
        let watch = Ok(Watch::open(&mut inventory, &mut events)?);
        let view = View { inventory, events, watch, retry: FIRST_RETRY, retry_at: Instant::now() };
        Ok(Self { requests, view })
    }

    /// What is there, as of the last event or operation.
    pub fn inventory(&self) -> &Inventory {
        &self.view.inventory
    }

    /// The next change, whoever made it; our own are told as well.
    ///
    /// Can be dropped at any time: an event leaves the queue only as it is returned, and the time of the next try of a
    /// broken subscription doesn't move.
    pub async fn next(&mut self) -> LinkEvent {
        loop {
            if let Some(event) = self.view.events.pop_front() {
                return event;
            }
            self.view.wait().await;
        }
    }

    /// Puts a VIP on a link for a lifetime, or starts that anew.
    pub fn put(&mut self, index: u32, ip: IpAddr, lifetime: Lifetime) -> Result<(), PutError> {
        only(self.put_all(&[(index, ip)], lifetime))
    }

    /// Puts VIPs on their links, and says of each, in the same order, what became of it.
    ///
    /// Each VIP may be given once. An address that somebody else put there is left as it is.
    pub fn put_all(&mut self, vips: &[(u32, IpAddr)], lifetime: Lifetime) -> Vec<Result<(), PutError>> {
        if let Err(source) = self.view.look() {
            let blind = |&(index, ip)| {
                Err(PutError::Blind { ip, link: self.view.link_name(index), source: source.clone() })
            };
            return vips.iter().map(blind).collect();
        }
        let plan = |&(index, ip): &(u32, IpAddr)| match self.view.inventory.holding(index, ip) {
            Holding::Nobody => Plan::Make(Change::Add(lifetime)),
            Holding::Us => Plan::Make(Change::Refresh(lifetime)),
            Holding::Somebody { prefix } => {
                let error = PutError::NotOurs { ip, link: self.view.link_name(index), prefix };
                Plan::Settled(Err(Missed::Refused(error)))
            }
        };
        let plans = vips.iter().map(plan).collect();
        let results = self.carry_out(vips, plans, |view, index, ip, refusal| {
            let link = view.link_name(index);
            Err(match refusal {
                // Somebody was faster than our look; or it is an IPv6 address that the kernel hasn't come round to
                // telling of. It lists it, though.
                Refusal::Kernel { errno: Errno::EEXIST, .. } => {
                    let listed = machine_links().map(|inventory| inventory.holding(index, ip));
                    let prefix = match listed {
                        Ok(Holding::Us) => return Err(Missed::OurOwn),
                        Ok(Holding::Somebody { prefix }) => prefix,
                        _ => host_prefix(ip),
                    };
                    Missed::Refused(PutError::NotOurs { ip, link, prefix })
                }
                refusal => Missed::Refused(PutError::refused(ip, link, refusal)),
            })
        });
        self.refresh_missed(vips, results, lifetime)
    }

    /// Refreshes what was to be added and turned out to be ours already.
    ///
    /// An address that had just expired when it was put anew is told of as gone after that, and, where it is IPv6, as back
    /// only when the kernel comes round to it: in between the last word on it is wrong.
    fn refresh_missed(
        &mut self,
        vips: &[(u32, IpAddr)],
        results: Vec<Result<(), Missed>>,
        lifetime: Lifetime,
    ) -> Vec<Result<(), PutError>> {
        let is_missed = |result: &Result<(), Missed>| matches!(result, Err(Missed::OurOwn));
        let missed = vips.iter().zip(&results).filter(|(_, result)| is_missed(result)).map(|(vip, _)| *vip);
        let missed: Vec<_> = missed.collect();
        let mut refreshed = Vec::new();
        if !missed.is_empty() {
            let plans = missed.iter().map(|_| Plan::Make(Change::Refresh(lifetime))).collect();
            refreshed = self.carry_out(&missed, plans, |view, index, ip, refusal| {
                Err(PutError::refused(ip, view.link_name(index), refusal))
            });
        }
        let mut refreshed = refreshed.into_iter();
        let settle = |result| match result {
            Ok(()) => Ok(()),
            Err(Missed::Refused(error)) => Err(error),
            Err(Missed::OurOwn) => refreshed.next().expect("each that was missed has a result"),
        };
        results.into_iter().map(settle).collect()
    }

    /// Whether the kernel takes in what is sent to a VIP that was put on a link: an IPv6 one it does a moment later.
    pub fn takes_in(&mut self, ip: IpAddr) -> Result<bool, Errno> {
        self.requests.is_local(ip)
    }

    /// Takes a VIP off a link; one that isn't there is taken off already.
    pub fn remove(&mut self, index: u32, ip: IpAddr) -> Result<(), RemoveError> {
        only(self.remove_all(&[(index, ip)]))
    }

    /// Takes VIPs off their links, and says of each, in the same order, what became of it.
    ///
    /// `Ok` is the kernel's word that it answers for the address no more. One that somebody else put there is left.
    pub fn remove_all(&mut self, vips: &[(u32, IpAddr)]) -> Vec<Result<(), RemoveError>> {
        if let Err(source) = self.view.look() {
            let blind = |&(index, ip)| {
                Err(RemoveError::Blind { ip, link: self.view.link_name(index), source: source.clone() })
            };
            return vips.iter().map(blind).collect();
        }
        let is_missed =
            |&(index, ip): &(u32, IpAddr)| matches!(self.view.inventory.holding(index, ip), Holding::Nobody);
        // That nobody told of an address doesn't mean that it isn't there: one that had just expired when it was put anew
        // is told of as gone, and, where it is IPv6, as back only when the kernel comes round to it. It lists it, though.
        let listed = if vips.iter().any(is_missed) { Some(machine_links()) } else { None };
        let plan = |vip: &(u32, IpAddr)| {
            let (index, ip) = *vip;
            let holding = match &listed {
                Some(Ok(listed)) if is_missed(vip) => listed.holding(index, ip),
                Some(Err(source)) if is_missed(vip) => {
                    let link = self.view.link_name(index);
                    return Plan::Settled(Err(RemoveError::Blind { ip, link, source: source.clone() }));
                }
                _ => self.view.inventory.holding(index, ip),
            };
            match holding {
                Holding::Nobody => Plan::Settled(Ok(())),
                Holding::Us => Plan::Make(Change::Remove),
                Holding::Somebody { prefix } => {
                    Plan::Settled(Err(RemoveError::NotOurs { ip, link: self.view.link_name(index), prefix }))
                }
            }
        };
        let plans = vips.iter().map(plan).collect();
        self.carry_out(vips, plans, |view, index, ip, refusal| match refusal {
            // Gone in the meantime, by itself or with its link.
            Refusal::Kernel { errno: Errno::EADDRNOTAVAIL | Errno::ENODEV, .. } => Ok(()),
            refusal => Err(RemoveError::refused(ip, view.link_name(index), refusal)),
        })
    }

    /// The VIPs that are in place now, with the index of the link: after a start, what an earlier agent left.
    pub fn leftovers(&mut self) -> Result<Vec<(u32, IpAddr)>, OpenError> {
        self.view.look()?;
        Ok(self.view.inventory.ours().collect())
    }

    /// Makes the changes that are planned; `verdict` is what a refused one comes to.
    fn carry_out<E>(
        &mut self,
        vips: &[(u32, IpAddr)],
        plans: Vec<Plan<E>>,
        verdict: impl Fn(&View, u32, IpAddr, Refusal) -> Result<(), E>,
    ) -> Vec<Result<(), E>> {
        let planned = |(&(index, ip), plan): (&(u32, IpAddr), &Plan<E>)| match plan {
            Plan::Make(change) => Some((index, ip, *change)),
            Plan::Settled(_) => None,
        };
        let changes: Vec<_> = vips.iter().zip(&plans).filter_map(planned).collect();
        let Self { requests, view } = self;
        let answers = requests.carry_out(&changes, |changes, results| view.made(changes, results));
        if answers.iter().any(|answer| matches!(answer, Err(Refusal::Unanswered(_)))) {
            // What is wrong with the socket needn't be wrong with another; if that can't be had, this one stays.
            if let Ok(another) = Requests::open() {
                *requests = another;
            }
        }
        let mut answers = answers.into_iter();
        let settle = |(&(index, ip), plan): (&(u32, IpAddr), Plan<E>)| match plan {
            Plan::Settled(result) => result,
            Plan::Make(_) => match answers.next() {
                Some(Ok(())) => Ok(()),
                Some(Err(refusal)) => verdict(view, index, ip, refusal),
                None => verdict(view, index, ip, Refusal::Unanswered(Errno::EIO)),
            },
        };
        vips.iter().zip(plans).map(settle).collect()
    }
}

/// Why a VIP was not put on its link.
enum Missed {
    /// It stands there, put by us, whatever the last word on it was.
    OurOwn,
    Refused(PutError),
}

/// What to do about one VIP.
enum Plan<E> {
    Make(Change),
    Settled(Result<(), E>),
}

impl View {
    /// Reads all news, renewing a broken subscription without delay: what is decided next must rest on how things are.
    fn look(&mut self) -> Result<(), OpenError> {
        let Self { inventory, events, watch, .. } = self;
        let done = match watch {
            Ok(watch) => watch.catch_up(inventory, events),
            Err(_) => Watch::open(inventory, events).map(|renewed| *watch = Ok(renewed)),
        };
        match done {
            Ok(()) => self.retry = FIRST_RETRY,
            Err(ref error) => self.broken(error.clone()),
        }
        done
    }

    /// Takes in what was made of changes, and then what was told of it: an IPv6 address is told of later, when the kernel
    /// comes round to it, and must not be forgotten until then.
    fn made(&mut self, changes: &[(u32, IpAddr, Change)], results: &[Result<(), Refusal>]) {
        for (&(index, ip, change), result) in changes.iter().zip(results) {
            let address =
                Address { ip, prefix: host_prefix(ip), peer: None, ours: true, fitness: Fitness::Good };
            let fact = match (change, result) {
                (Change::Add(_) | Change::Refresh(_), Ok(())) => Fact::Address(index, address),
                (Change::Remove, Ok(())) => Fact::AddressGone(index, address),
                (_, Err(Refusal::Kernel { .. })) => continue,
                // Only a new look at everything tells what is there now.
                (_, Err(Refusal::Unanswered(errno))) => return self.broken(OpenError::Socket(*errno)),
            };
            self.inventory.apply(fact, &mut self.events);
        }
        // An error is told and kept by `broken`.
        drop(self.look());
    }

    /// Waits for news, or for the time to renew a broken subscription; then reads what there is.
    async fn wait(&mut self) {
        match &self.watch {
            Ok(watch) => {
                if let Err(error) = watch.news().await {
                    return self.broken(error);
                }
            }
            Err(_) => sleep_until(self.retry_at).await,
        }
        // An error is told and kept by `broken`.
        drop(self.look());
    }

    fn broken(&mut self, error: OpenError) {
        if self.watch.is_ok() {
            tracing::warn!(%error, "changes to links can't be seen; trying again");
        }
        self.watch = Err(error);
        self.retry_at = Instant::now() + self.retry;
        self.retry = (2 * self.retry).min(LAST_RETRY);
    }

    fn link_name(&self, index: u32) -> String {
        self.inventory.link(index).map_or_else(|| format!("link {index}"), |link| link.name.clone())
    }
}

fn only<E>(results: Vec<Result<(), E>>) -> Result<(), E> {
    results.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::time::timeout;

    use super::super::namespace::in_namespace;
    use super::*;

    #[test]
    fn a_broken_subscription_is_renewed_and_tells_what_was_missed() {
        in_namespace(async |ground| {
            let index = ground.pair("v0", "v1").await;
            let mut links = Links::open().unwrap();
            links.view.events.clear();
            for attempts in 1..4 {
                links.view.broken(OpenError::Socket(Errno::EIO));
                let ip = Ipv4Addr::new(10, 9, 0, attempts);
                ground.add_address(index, &ip.to_string(), 24).await;
                // The wait goes on where it was, however often it is given up.
                let event = async {
                    loop {
                        if let Ok(event) = timeout(Duration::from_millis(5), links.next()).await {
                            return event;
                        }
                    }
                };
                let event = timeout(Duration::from_secs(5), event).await.expect("the event comes");
                assert!(
                    matches!(event, LinkEvent::Address { address, present: true, .. } if address.ip == ip),
                    "{event:?}"
                );
            }
        });
    }

    #[test]
    fn what_is_there_is_taken_off_though_the_last_word_was_that_it_is_gone() {
        in_namespace(async |ground| {
            let index = ground.pair("v0", "v1").await;
            let mut links = Links::open().unwrap();
            for ip in ["10.9.0.9", "fd09::9"] {
                let vip = ip.parse().unwrap();
                links.put(index, vip, Lifetime::LONGEST).unwrap();
                while timeout(Duration::from_millis(50), links.next()).await.is_ok() {}
                let address = Address {
                    ip: vip,
                    prefix: host_prefix(vip),
                    peer: None,
                    ours: true,
                    fitness: Fitness::Good,
                };
                links.view.inventory.apply(Fact::AddressGone(index, address), &mut VecDeque::new());
                links.remove(index, vip).unwrap();
                assert!(ground.address(index, vip).await.is_none(), "{vip} is still there");
            }
        });
    }

    #[test]
    fn what_is_ours_is_put_anew_though_the_last_word_was_that_it_is_gone() {
        in_namespace(async |ground| {
            let index = ground.pair("v0", "v1").await;
            let mut links = Links::open().unwrap();
            let vips = ["10.9.0.9", "fd09::9", "fd09::10"].map(|ip| (index, ip.parse().unwrap()));
            for result in links.put_all(&vips, Lifetime::LONGEST) {
                result.unwrap();
            }
            while timeout(Duration::from_millis(50), links.next()).await.is_ok() {}
            for (_, ip) in &vips[..2] {
                let address = Address {
                    ip: *ip,
                    prefix: host_prefix(*ip),
                    peer: None,
                    ours: true,
                    fitness: Fitness::Good,
                };
                links.view.inventory.apply(Fact::AddressGone(index, address), &mut VecDeque::new());
            }
            for result in links.put_all(&vips, Lifetime::LONGEST) {
                result.unwrap();
            }
        });
    }

    #[test]
    fn an_operation_does_not_wait_for_the_renewal_of_a_broken_subscription() {
        in_namespace(async |ground| {
            let index = ground.pair("v0", "v1").await;
            let mut links = Links::open().unwrap();
            let vip = Ipv4Addr::new(10, 9, 0, 9).into();
            links.put(index, vip, Lifetime::LONGEST).unwrap();
            links.view.broken(OpenError::Socket(Errno::EIO));
            ground.delete_address(index, vip).await;
            ground.add_address(index, &vip.to_string(), 32).await;
            let error = links.remove(index, vip).unwrap_err();
            assert!(matches!(error, RemoveError::NotOurs { .. }), "{error}");
        });
    }
}
