//! The probe on the wire: a mark, which VIP of the client's list, the number; an answer adds the node's name.

/// The UDP port of the responders.
pub(crate) const PORT: u16 = 7777;

/// The longest answer: a hostname has at most 64 bytes.
pub(super) const LONGEST: usize = HEADER + 64;

const MARK: [u8; 4] = *b"mntl";
const HEADER: usize = MARK.len() + 2 + 8;

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProbeId {
    /// Place of the VIP in the client's list.
    pub(super) vip: u16,
    /// Number of the probe for that VIP, from 0.
    pub(super) number: u64,
}

/// A probe as it is sent.
pub(super) fn probe(id: ProbeId) -> [u8; HEADER] {
    let mut packet = [0; HEADER];
    packet[..4].copy_from_slice(&MARK);
    packet[4..6].copy_from_slice(&id.vip.to_be_bytes());
    packet[6..].copy_from_slice(&id.number.to_be_bytes());
    packet
}

/// A probe of nobody's list.
pub(crate) fn question() -> [u8; HEADER] {
    probe(ProbeId { vip: u16::MAX, number: 0 })
}

/// The answer of a node to a probe; nothing if it isn't one.
pub(super) fn answer(packet: &[u8], node: &str) -> Option<Vec<u8>> {
    let (_, rest) = read(packet)?;
    rest.is_empty().then(|| [packet, node.as_bytes()].concat())
}

/// Which probe an answer belongs to, and who answered; nothing if it isn't one.
pub(super) fn read_answer(packet: &[u8]) -> Option<(ProbeId, &str)> {
    let (id, node) = read(packet)?;
    Some((id, str::from_utf8(node).ok()?)).filter(|(_, node)| !node.is_empty())
}

fn read(packet: &[u8]) -> Option<(ProbeId, &[u8])> {
    let (vip, rest) = packet.strip_prefix(&MARK)?.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    Some((ProbeId { vip: u16::from_be_bytes(*vip), number: u64::from_be_bytes(*number) }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_the_probe_and_the_node() {
        let id = ProbeId { vip: 3, number: 1 << 40 };
        let answered = answer(&probe(id), "a").unwrap();
        assert_eq!(read_answer(&answered), Some((id, "a")));
        assert_eq!(read_answer(&probe(id)), None, "a probe is no answer");
        assert_eq!(answer(&answered, "b"), None, "answers are not answered");
        assert_eq!(read_answer(b"mntl"), None);
    }
}
