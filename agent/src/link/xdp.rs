//! Which program a link has at XDP in the kernel's generic form.

use nix::libc::{NLM_F_REQUEST, RTM_NEWLINK};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};

use super::decode::link_attributes;
use super::error::OpenError;
use super::socket::Netlink;

/// The kernel's number for the program that the link of that index has at generic XDP; none if there is no such program, or
/// no such link.
///
/// Asked of the kernel each time, which tells nobody of a change to it.
pub fn generic_xdp(index: u32) -> Result<Option<u32>, OpenError> {
    let mut netlink = Netlink::open(&[]).map_err(OpenError::Socket)?;
    let mut request = LinkMessage::default();
    request.header.index = index;
    let mut batch = Vec::new();
    let flags = u16::try_from(NLM_F_REQUEST).expect("a flag of sixteen bits");
    netlink.append(&mut batch, flags, RouteNetlinkMessage::GetLink(request));
    netlink.send(&batch).map_err(OpenError::Socket)?;
    let Some(messages) = netlink.receive().map_err(OpenError::Socket)? else { return Ok(None) };
    let links = messages.filter(|message| message.kind == RTM_NEWLINK);
    Ok(links.flat_map(|message| link_attributes(message.payload)).find_map(program))
}

fn program(attribute: LinkAttribute) -> Option<u32> {
    let LinkAttribute::Xdp(told) = attribute else { return None };
    told.into_iter().find_map(|told| match told {
        LinkXdp::SkbProgId(program) => Some(program),
        _ => None,
    })
}
