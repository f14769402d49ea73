//! Frames by the million, the same on every run.

use std::net::Ipv6Addr;

use etherparse::{ArpOperation, Icmpv6Type};
use mantle_ebpf::wire::Mac;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::frames::*;
use crate::lab::{ASKER, OWN, PEER};

/// Draws.
pub(crate) struct Random(SplitMix64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn byte(&mut self) -> u8 {
        self.word().to_ne_bytes()[0]
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.word() % u64::try_from(end).unwrap()).unwrap()
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A source of frames: mutants of good ones, and now and then noise.
pub(crate) struct Frames {
    seeds: Vec<Vec<u8>>,
    macs: Vec<[u8; 6]>,
    v4: Vec<[u8; 4]>,
    v6: Vec<[u8; 16]>,
}

impl Frames {
    /// Frames about these addresses.
    pub(crate) fn about(v4: &[[u8; 4]], v6: &[[u8; 16]]) -> Self {
        let mut seeds = Vec::new();
        for octets in v4.iter().copied() {
            let ip = octets.into();
            seeds.extend([
                arp_request(ip),
                arp(OWN, ArpOperation::REQUEST, (ASKER, HOST4), (OWN, ip)),
                gratuitous(ArpOperation::REQUEST, PEER, ip),
                gratuitous(ArpOperation::REPLY, ASKER, ip),
                gratuitous(ArpOperation::REPLY, OWN, ip),
                arp(Mac::BROADCAST, ArpOperation::REQUEST, (OWN, ip), (Mac::ZERO, HOST4)),
                udp_to(ip.into()),
                tcp_to(ip.into(), SYN),
                tcp_to(ip.into(), ACK),
                with_inserted(with(tcp_to(ip.into(), ACK), 14, &[0x46]), 34, &[1, 1, 1, 1]),
                udp_from(ip.into()),
            ]);
        }
        for octets in v6.iter().copied() {
            let ip = Ipv6Addr::from(octets);
            let ask = |options: &[u8]| {
                ndp(Icmpv6Type::NeighborSolicitation, (ASKER, HOST6), (OWN, ip), ip, options)
            };
            seeds.extend([
                solicitation(ip),
                probe(ip),
                ask(&[]),
                ask(&source_option(ASKER)),
                ndp(Icmpv6Type::NeighborSolicitation, (OWN, ip), (ASKER, HOST6), HOST6, &source_option(OWN)),
                advertisement(PEER, ip),
                advertisement(OWN, ip),
                udp_to(ip.into()),
                tcp_to(ip.into(), SYN),
                tcp_to(ip.into(), ACK),
                extended(
                    tcp_to(ip.into(), ACK),
                    &[(60, &[0, 1, 4, 0, 0, 0, 0]), (44, &[0, 0, 1, 0, 0, 0, 7])],
                ),
                extended(tcp_to(ip.into(), ACK), &[(0, &[0, 1, 4, 0, 0, 0, 0])]),
                udp_from(ip.into()),
            ]);
        }
        let macs = [OWN, PEER, ASKER, Mac::BROADCAST, Mac::ZERO].map(|mac| mac.0).to_vec();
        Self { seeds, macs, v4: v4.to_vec(), v6: v6.to_vec() }
    }

    /// The next frame.
    pub(crate) fn next(&self, random: &mut Random) -> Vec<u8> {
        if random.below(20) == 0 {
            return (0..15 + random.below(120)).map(|_| random.byte()).collect();
        }
        let mut frame = random.one(&self.seeds).clone();
        for _ in 0..random.below(4) {
            self.mutate(&mut frame, random);
        }
        // Without this hardly a mutant would get past the checksum.
        if frame.len() > 62 && frame[20] == 58 && random.below(2) == 0 { sealed(frame) } else { frame }
    }

    fn mutate(&self, frame: &mut Vec<u8>, random: &mut Random) {
        let at = random.below(frame.len());
        match random.below(14) {
            0..3 => frame[at] = random.byte(),
            3 => frame[at] ^= 1 << random.below(8),
            4 => frame[at] = *random.one(&[0, 1, 2, 24, 32, 58, 135, 136, 254, 255]),
            5 => put(frame, *random.one(&[0, 6, 22, 32, 80]), random.one(&self.macs).as_slice()),
            6 if !self.v4.is_empty() => {
                put(frame, *random.one(&[26, 28, 30, 38]), random.one(&self.v4).as_slice());
            }
            7 => put(frame, *random.one(&[22, 38, 62]), random.one(&self.v6).as_slice()),
            8 => put(frame, 22, &[0; 16]),
            9 => put(frame, 12, random.one(&[[8, 0], [8, 6], [0x86, 0xdd], [0x81, 0]]).as_slice()),
            // Not below what `BPF_PROG_TEST_RUN` takes.
            // Time to live, and a fragment's offset.
            10 => put(frame, *random.one(&[21, 22]), &[*random.one(&[0, 1, 2, 64])]),
            11 => put(
                frame,
                *random.one(&[20, 56]),
                random.one(&[[0x20, 0], [0, 100], [0, 1], [0, 8]]).as_slice(),
            ),
            12 => frame.truncate(at.max(15)),
            _ => frame.extend((0..random.below(40)).map(|_| 0)),
        }
    }
}

/// Writes as much of the bytes as the frame has room for.
fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in frame.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}
