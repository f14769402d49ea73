//! The socket that hears of every change, and lists what is there.

use std::collections::VecDeque;

use nix::errno::Errno;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::LinkMessage;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::decode;
use super::error::OpenError;
use super::inventory::{Inventory, LinkEvent};
use super::socket::{DUMPS, Message, Netlink, errno};

/// The links and addresses that there are now, for a look without a subscription.
pub fn machine_links() -> Result<Inventory, OpenError> {
    let mut inventory = Inventory::default();
    let mut netlink = Netlink::open(&[]).map_err(OpenError::Socket)?;
    resync(&mut netlink, &mut inventory, &mut VecDeque::new())?;
    Ok(inventory)
}

/// The subscription to changes of links and addresses.
pub(super) struct Watch {
    netlink: AsyncFd<Netlink>,
}

impl Watch {
    /// Subscribes, and brings the inventory up to date.
    pub(super) fn open(
        inventory: &mut Inventory,
        events: &mut VecDeque<LinkEvent>,
    ) -> Result<Self, OpenError> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let mut netlink = Netlink::open(&groups).map_err(OpenError::Socket)?;
        resync(&mut netlink, inventory, events)?;
        // SAFETY: `netlink` owns its socket, which is open for as long as it lives and is never exchanged for another.
        let registered = unsafe { AsyncFd::register_with_interest(netlink, Interest::READABLE) };
        let netlink = registered.map_err(|error| OpenError::Socket(errno(error.into())))?;
        Ok(Self { netlink })
    }

    /// Waits until there may be news.
    pub(super) async fn news(&self) -> Result<(), OpenError> {
        let mut ready = self.netlink.readable().await.map_err(errno).map_err(OpenError::Socket)?;
        // Before reading, not after: what comes in between then wakes us once too often, never too seldom.
        ready.clear_ready();
        Ok(())
    }

    /// Reads all the news there are.
    pub(super) fn catch_up(
        &mut self,
        inventory: &mut Inventory,
        events: &mut VecDeque<LinkEvent>,
    ) -> Result<(), OpenError> {
        let netlink = self.netlink.get_mut();
        let mut overrun = false;
        loop {
            match netlink.receive() {
                Ok(Some(messages)) => {
                    for fact in messages.filter_map(|message| decode::fact(&message)) {
                        inventory.apply(fact, events);
                    }
                }
                Ok(None) => break,
                Err(Errno::ENOBUFS) => overrun = true,
                Err(errno) => return Err(OpenError::Socket(errno)),
            }
        }
        if overrun {
            tracing::debug!("changes to links came faster than they were read: listing them anew");
            resync(netlink, inventory, events)?;
        }
        Ok(())
    }
}

/// Lists links and addresses; what differs from the inventory goes into `events`.
fn resync(
    netlink: &mut Netlink,
    inventory: &mut Inventory,
    events: &mut VecDeque<LinkEvent>,
) -> Result<(), OpenError> {
    for _ in 0..DUMPS {
        inventory.begin_resync();
        let links = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let mut take = |message: &Message<'_>| {
            if let Some(fact) = decode::fact(message) {
                inventory.apply(fact, events);
            }
        };
        // Both are read to their end: the kernel refuses a second dump on a socket whose first isn't done.
        let whole = netlink.dump(links, &mut take).map_err(OpenError::Dump)?
            & netlink.dump(addresses, &mut take).map_err(OpenError::Dump)?;
        if whole {
            inventory.finish_resync(events);
            return Ok(());
        }
    }
    Err(OpenError::Restless(DUMPS))
}
