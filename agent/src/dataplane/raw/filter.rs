//! Which frames wake the thread: classic BPF, run by the kernel on what comes in, so that the chatter of a large network
//! costs the agent nothing. Not a word of safety in it: what it lets through is judged in full.

use std::net::IpAddr;

use nix::libc::sock_filter;

// `linux/bpf_common.h`: class, size and mode of the instructions used.
const LOAD_WORD: u16 = 0x20;
const LOAD_BYTE: u16 = 0x30;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// The whole frame.
const TAKE: sock_filter = instruction(RETURN, 0, 0, u32::MAX);
const LEAVE: sock_filter = instruction(RETURN, 0, 0, 0);

/// So many addresses fit into a program of `BPF_MAXINSNS`, two instructions each, twice, and a few around them.
const MOST: usize = 1000;

const fn instruction(code: u16, if_so: u8, if_not: u8, value: u32) -> sock_filter {
    sock_filter { code, jt: if_so, jf: if_not, k: value }
}

const fn load_word(at: u32) -> sock_filter {
    instruction(LOAD_WORD, 0, 0, at)
}

const fn load_byte(at: u32) -> sock_filter {
    instruction(LOAD_BYTE, 0, 0, at)
}

/// Takes the frame if what was loaded is one of the words.
fn one_of(words: &[u32]) -> impl Iterator<Item = sock_filter> {
    words.iter().flat_map(|word| [instruction(JUMP_IF_EQUAL, 0, 1, *word), TAKE])
}

/// ARP that asks for one of the VIPs, or has it as sender.
pub(super) fn arp(vips: &[IpAddr]) -> Vec<sock_filter> {
    const SENDER: u32 = 28;
    const TARGET: u32 = 38;
    let words: Vec<u32> = vips
        .iter()
        .filter_map(|vip| match vip {
            IpAddr::V4(ip) => Some(ip.to_bits()),
            IpAddr::V6(_) => None,
        })
        .collect();
    if words.len() > MOST {
        return vec![TAKE];
    }
    let mut program = vec![load_word(TARGET)];
    program.extend(one_of(&words));
    program.push(load_word(SENDER));
    program.extend(one_of(&words));
    program.push(LEAVE);
    program
}

/// Neighbour solicitations and advertisements whose target ends like one of the VIPs.
pub(super) fn neighbour_discovery(vips: &[IpAddr]) -> Vec<sock_filter> {
    const NEXT_HEADER: u32 = 20;
    const TYPE: u32 = 54;
    const TARGET_END: u32 = 74;
    let words: Vec<u32> = vips
        .iter()
        .filter_map(|vip| match vip {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => ip.octets().last_chunk().copied().map(u32::from_be_bytes),
        })
        .collect();
    let mut program = vec![
        load_byte(NEXT_HEADER),
        instruction(JUMP_IF_EQUAL, 1, 0, 58),
        LEAVE,
        load_byte(TYPE),
        instruction(JUMP_IF_EQUAL, 2, 0, 135),
        instruction(JUMP_IF_EQUAL, 1, 0, 136),
        LEAVE,
    ];
    if words.len() > MOST {
        program.push(TAKE);
        return program;
    }
    program.push(load_word(TARGET_END));
    program.extend(one_of(&words));
    program.push(LEAVE);
    program
}
