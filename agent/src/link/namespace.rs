//! For tests: a network namespace that ends with its thread, and links in it.

use std::env;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::resume_unwind;
use std::thread;

use futures_util::TryStreamExt;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::RouteAttribute;
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder, new_connection};
use tokio::runtime;

/// Runs a test in a network namespace of its own.
///
/// A test that can't is a failed one, unless `MANTLE_UNPRIVILEGED=1` asks for it to be left out.
pub(crate) fn in_namespace<T: AsyncFnOnce(Ground) + Send + 'static>(test: T) {
    let run = move || {
        match unshare(CloneFlags::CLONE_NEWNET) {
            Ok(()) => {}
            Err(Errno::EPERM) if env::var("MANTLE_UNPRIVILEGED").is_ok_and(|set| set == "1") => {
                println!("left out: a network namespace needs root");
                return;
            }
            Err(errno) => {
                panic!("a network namespace needs root ({errno}); MANTLE_UNPRIVILEGED=1 leaves this out")
            }
        }
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (connection, handle, _) = new_connection().unwrap();
            tokio::spawn(connection);
            test(Ground { handle }).await;
        });
    };
    if let Err(panic) = thread::spawn(run).join() {
        resume_unwind(panic);
    }
}

/// Somebody else in the same namespace, who changes links and addresses.
pub(crate) struct Ground {
    pub(crate) handle: Handle,
}

impl Ground {
    /// Makes a pair of links, both up; returns the index of the first.
    pub(crate) async fn pair(&self, one: &str, other: &str) -> u32 {
        self.handle.link().add(LinkVeth::new(one, other).build()).execute().await.unwrap();
        self.change(LinkUnspec::new_with_name(one).up().build()).await;
        self.change(LinkUnspec::new_with_name(other).up().build()).await;
        self.index(one).await
    }

    /// Makes a bridge; returns its index.
    pub(crate) async fn bridge(&self, name: &str) -> u32 {
        self.handle.link().add(LinkBridge::new(name).build()).execute().await.unwrap();
        self.index(name).await
    }

    pub(crate) async fn index(&self, name: &str) -> u32 {
        let mut links = self.handle.link().get().match_name(name.to_owned()).execute();
        links.try_next().await.unwrap().unwrap().header.index
    }

    pub(crate) async fn change(&self, message: LinkMessage) {
        self.handle.link().set(message).execute().await.unwrap();
    }

    pub(crate) async fn set_alias(&self, index: u32, alias: &str) {
        let alias = LinkAttribute::IfAlias(alias.to_owned());
        self.change(LinkUnspec::new_with_index(index).append_extra_attribute(alias).build()).await;
    }

    pub(crate) async fn add_altname(&self, index: u32, name: &str) {
        self.handle.link().property_add(index).alt_ifname(&[name]).execute().await.unwrap();
    }

    pub(crate) async fn add_address(&self, index: u32, ip: &str, prefix: u8) {
        self.handle.address().add(index, ip.parse().unwrap(), prefix).execute().await.unwrap();
    }

    /// Sends everything out of that link.
    pub(crate) async fn add_default_route(&self, index: u32) {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().output_interface(index).build();
        self.handle.route().add(route).execute().await.unwrap();
    }

    /// The link by which something would leave.
    pub(crate) async fn route_from(&self, source: IpAddr, destination: IpAddr) -> Option<u32> {
        let mut asked = RouteMessageBuilder::<IpAddr>::new().build();
        asked.header.address_family =
            if source.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let bits = if source.is_ipv4() { 32 } else { 128 };
        (asked.header.source_prefix_length, asked.header.destination_prefix_length) = (bits, bits);
        asked.attributes =
            vec![RouteAttribute::Source(source.into()), RouteAttribute::Destination(destination.into())];
        let found = self.handle.route().get(asked).execute().try_next().await.unwrap()?;
        found.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        })
    }

    pub(crate) async fn delete_address(&self, index: u32, ip: IpAddr) {
        let message = self.address(index, ip).await.unwrap();
        self.handle.address().del(message).execute().await.unwrap();
    }

    /// The address as the kernel shows it.
    pub(crate) async fn address(&self, index: u32, ip: IpAddr) -> Option<AddressMessage> {
        let addresses = self.handle.address().get().set_link_index_filter(index).set_address_filter(ip);
        addresses.execute().try_next().await.unwrap()
    }
}
