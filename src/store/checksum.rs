//! XXH64, the check on every header and record.
//!
//! A published standard (<https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>), so that a reader in any
//! language can verify a store, and several times faster than CRC-32C where, as here, no `unsafe` may reach the
//! processor's instruction for that.

const PRIME_1: u64 = 0x9E37_79B1_85EB_CA87;
const PRIME_2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const PRIME_3: u64 = 0x1656_67B1_9E37_79F9;
const PRIME_4: u64 = 0x85EB_CA77_C2B2_AE63;
const PRIME_5: u64 = 0x27D4_EB2F_1656_67C5;

/// The XXH64 of `bytes` under `seed`.
#[inline]
pub(crate) fn xxh64(bytes: &[u8], seed: u64) -> u64 {
    let (stripes, rest) = bytes.as_chunks::<32>();
    let mut hash = if stripes.is_empty() {
        seed.wrapping_add(PRIME_5)
    } else {
        merge(accumulate(stripes, seed))
    };
    hash = hash.wrapping_add(bytes.len() as u64);

    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        hash ^= round(0, u64::from_le_bytes(*word));
        hash = hash
            .rotate_left(27)
            .wrapping_mul(PRIME_1)
            .wrapping_add(PRIME_4);
    }
    let (halves, rest) = rest.as_chunks::<4>();
    for half in halves {
        hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(PRIME_1);
        hash = hash
            .rotate_left(23)
            .wrapping_mul(PRIME_2)
            .wrapping_add(PRIME_3);
    }
    for byte in rest {
        hash ^= u64::from(*byte).wrapping_mul(PRIME_5);
        hash = hash.rotate_left(11).wrapping_mul(PRIME_1);
    }

    hash = (hash ^ (hash >> 33)).wrapping_mul(PRIME_2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(PRIME_3);
    hash ^ (hash >> 32)
}

/// Four lanes that do not wait for each other: this is where the speed comes from.
#[inline]
fn accumulate(stripes: &[[u8; 32]], seed: u64) -> [u64; 4] {
    let mut lanes = [
        seed.wrapping_add(PRIME_1).wrapping_add(PRIME_2),
        seed.wrapping_add(PRIME_2),
        seed,
        seed.wrapping_sub(PRIME_1),
    ];
    for stripe in stripes {
        for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<8>().0) {
            *lane = round(*lane, u64::from_le_bytes(*word));
        }
    }
    lanes
}

#[inline]
fn merge(lanes: [u64; 4]) -> u64 {
    let [a, b, c, d] = lanes;
    let sum = a
        .rotate_left(1)
        .wrapping_add(b.rotate_left(7))
        .wrapping_add(c.rotate_left(12))
        .wrapping_add(d.rotate_left(18));
    lanes.iter().fold(sum, |hash, lane| {
        (hash ^ round(0, *lane))
            .wrapping_mul(PRIME_1)
            .wrapping_add(PRIME_4)
    })
}

#[inline]
fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(PRIME_2))
        .rotate_left(31)
        .wrapping_mul(PRIME_1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The buffer that xxHash's own sanity check hashes.
    fn sanity_buffer(len: usize) -> Vec<u8> {
        let mut state: u64 = 2_654_435_761;
        (0..len)
            .map(|_| {
                let byte = (state >> 56) as u8;
                state = state.wrapping_mul(11_400_714_785_074_694_797);
                byte
            })
            .collect()
    }

    #[test]
    fn xxh64_agrees_with_the_reference_implementation() {
        const SEED: u64 = 2_654_435_761;
        // Lengths 0, 1, 4, 14 and 222 are published with xxHash; its C library gave the others, which stand on both
        // sides of each step of the algorithm.
        for (len, seed, hash) in [
            (0, 0, 0xEF46_DB37_51D8_E999),
            (0, SEED, 0xAC75_FDA2_929B_17EF),
            (1, 0, 0xE934_A84A_DB05_2768),
            (1, SEED, 0x5014_6076_43A9_B4C3),
            (4, 0, 0x9136_A0DC_A574_57EE),
            (14, 0, 0x8282_DCC4_994E_35C8),
            (14, SEED, 0xC3BD_6BF6_3DEB_6DF0),
            (31, 0, 0x299B_39A2_90E6_D783),
            (31, SEED, 0xDA67_3D5F_EB5C_1D79),
            (32, 0, 0x18B2_1649_2BB4_4B70),
            (32, SEED, 0xB3F3_3BDF_93AD_E409),
            (33, 0, 0x55C8_DC3E_578F_5B59),
            (33, SEED, 0xE92C_292F_64BC_3071),
            (222, 0, 0xB641_AE8C_B691_C174),
            (222, SEED, 0x20CB_8AB7_AE10_C14A),
            (2240, 0, 0xA4ED_B3C8_5B99_B1D9),
            (2240, SEED, 0x060E_004C_F6EA_043B),
        ] {
            let found = xxh64(&sanity_buffer(len), seed);
            assert_eq!(found, hash, "length {len}, seed {seed}: {found:#x}");
        }
        assert_eq!(xxh64(b"abc", 0), 0x44BC_2CF5_AD77_0999);
        assert_eq!(xxh64(b"abc", u64::MAX), 0x2830_6E58_9CC0_2176);
    }
}
