//! The internet checksum (RFC 1071) of `ICMPv6` in a frame.

use super::ndp::ip6;

/// The checksum over pseudo-header and message (RFC 8200 §8.1) of a frame that ends with its `ICMPv6` message: what
/// belongs in a checksum field that is still zero; zero itself if the field is filled and right.
#[inline(always)]
pub(super) fn icmpv6<const LEN: usize>(frame: &[u8; LEN]) -> u16 {
    const { assert!(LEN >= ip6::END && LEN.is_multiple_of(2) && LEN <= 1514, "whole words that cannot overflow") };
    // The pseudo-header's two addresses stand right before the message, so one run takes in both.
    let (words, _) = frame.split_at(ip6::SOURCE).1.as_chunks::<2>();
    let payload = LEN - ip6::END;
    let mut sum = ip6::ICMPV6 as usize + payload;
    for word in words {
        sum += usize::from(u16::from_be_bytes(*word));
    }
    // Twice: the first fold can carry once more.
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    let [.., high, low] = sum.to_be_bytes();
    !u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fold_that_carries_is_folded_again() {
        let mut frame = [0; ip6::END + 4];
        frame[ip6::SOURCE..ip6::SOURCE + 4].copy_from_slice(&[0xff, 0xff, 0xff, 0xc2]);
        // With the length, 4, and the next header, 58, the words add up to 0x1ffff.
        assert_eq!(icmpv6(&frame), !1);
    }
}
