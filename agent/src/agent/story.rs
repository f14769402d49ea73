//! The story a log tells: one line for each thing that happened, in words a person on call understands.

use tracing::{info, warn};

use mantle_protocol::{How, Notice};

/// Writes a happening to the log.
pub(super) fn tell(happening: &Notice) {
    match happening {
        Notice::SessionStarted(session) => info!(session, "session started"),
        Notice::SessionResumed(session) => info!(session, "session of the previous agent resumed"),
        Notice::SessionLost(session) => {
            warn!(session, "session lost: every VIP is dropped at once; starting a new session");
        }
        Notice::NameInUse { machine } => warn!(
            machine,
            "this node's name is held by another machine's session: not competing while it lives. Two nodes with one \
             name? Give one another `node`. After a reboot this ends by itself in seconds"
        ),
        Notice::BecameOwner { vip, epoch, how } => match how {
            How::Claimed => info!(%vip, epoch, "owner: nobody held the VIP"),
            How::TookOver { from, silence } => {
                warn!(%vip, epoch, %from, silence_ms = silence.as_millis(), "owner: took over from a silent node");
            }
            How::HandedOver { from } => info!(%vip, epoch, %from, "owner: it was handed over"),
            How::Resumed => info!(%vip, epoch, "owner: as before the agent's restart"),
        },
        Notice::OwnerIs { vip, owner: Some(owner), epoch } => {
            info!(%vip, epoch, %owner, "another node is owner");
        }
        Notice::OwnerIs { vip, owner: None, epoch } => info!(%vip, epoch, "nobody is owner"),
        Notice::LeaseExpired { vips } => {
            warn!(
                vips,
                "right over: etcd did not acknowledge a renewal in time; no VIP is answered until it does"
            );
        }
        Notice::LeaseRegained { vips } => info!(vips, "right renewed: VIPs are answered again"),
        Notice::Released { vip, epoch } => info!(%vip, epoch, "released"),
        Notice::Offered { vip, to } => info!(%vip, %to, "handing over: the VIP is offered"),
        Notice::HandedOver { vip, to, epoch, took } => {
            info!(%vip, epoch, %to, took_ms = took.as_millis(), "handed over: draining what is left here");
        }
        Notice::NotHandedOver { vip, why } => warn!(%vip, "not handed over: {why}"),
        Notice::DrainEnded { vip } => info!(%vip, "the drain has ended: the VIP is taken off here"),
        Notice::Garbage(key) => {
            warn!(%key, "etcd holds something there that no mantle agent wrote; ignored. Who else writes below our prefix?");
        }
        Notice::Cleared(node) => info!(%node, "cleared away the session of a node long silent"),
    }
}
