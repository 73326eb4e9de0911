//! The shortest of binary16, binary32 and binary64 (IEEE 754) that holds a float exactly.

/// The bits of a float, in the narrowest width that gives the same float back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortest {
    Half(u16),
    Single(u32),
    Double(u64),
}

impl Shortest {
    /// All NaNs become one: their payloads mean nothing to Rust, and one value has one encoding.
    pub(super) fn of(value: f64) -> Shortest {
        if value.is_nan() {
            return Shortest::Half(0x7E00);
        }
        let single = value as f32;
        if f64::from(single).to_bits() != value.to_bits() {
            return Shortest::Double(value.to_bits());
        }
        match half_bits(value) {
            Some(half) => Shortest::Half(half),
            None => Shortest::Single(single.to_bits()),
        }
    }

    pub(super) fn value(self) -> f64 {
        match self {
            Shortest::Half(bits) => half_value(bits),
            Shortest::Single(bits) => f64::from(f32::from_bits(bits)),
            Shortest::Double(bits) => f64::from_bits(bits),
        }
    }
}

/// How many of the least binary16 above zero make one.
const STEPS: f64 = 16_777_216.0;

/// A binary16 is a sign, 5 bits of exponent (bias 15) and 10 bits of fraction; a binary64 has 11 (bias 1023) and 52.
fn half_value(half: u16) -> f64 {
    let fraction = half & 0x03FF;
    let magnitude = match (half >> 10) & 0x1F {
        0 => f64::from(fraction) / STEPS,
        31 if fraction == 0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => {
            let exponent = u64::from(exponent) + 1023 - 15;
            f64::from_bits((exponent << 52) | (u64::from(fraction) << 42))
        }
    };
    if half & 0x8000 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

fn half_bits(value: f64) -> Option<u16> {
    let bits = value.to_bits();
    let exponent = ((bits >> 52) & 0x07FF) as i32 - 1023;
    let fraction = bits & ((1 << 52) - 1);
    let magnitude = match exponent {
        1024 => 0x7C00,
        -14..=15 if fraction.trailing_zeros() >= 42 => {
            (((exponent + 15) as u16) << 10) | (fraction >> 42) as u16
        }
        // Zero and what lies between it and the least normal number.
        ..-14 => {
            let steps = value.abs() * STEPS;
            if steps.fract() != 0.0 {
                return None;
            }
            steps as u16
        }
        _ => return None,
    };
    Some(magnitude | ((bits >> 48) as u16 & 0x8000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_binary16_comes_back_as_itself() {
        for half in 0..=u16::MAX {
            let value = half_value(half);
            if value.is_nan() {
                assert_eq!(Shortest::of(value), Shortest::Half(0x7E00), "{half:#06x}");
            } else {
                assert_eq!(Shortest::of(value), Shortest::Half(half), "{half:#06x}");
            }
        }
    }

    #[test]
    fn binary16_has_the_values_that_the_standard_gives() {
        for (half, value) in [
            (0x0000, 0.0),
            (0x0001, 5.960_464_477_539_063e-8),
            (0x03FF, 6.097_555_160_522_461e-5),
            (0x0400, 6.103_515_625e-5),
            (0x3555, 0.333_251_953_125),
            (0x3C00, 1.0),
            (0x3C01, 1.000_976_562_5),
            (0x7BFF, 65504.0),
            (0x7C00, f64::INFINITY),
            (0xC000, -2.0),
        ] {
            assert_eq!(half_value(half), value, "{half:#06x}");
        }
        assert!(half_value(0x8000).is_sign_negative());
        assert!(half_value(0x7C01).is_nan());
    }

    #[test]
    fn a_width_is_taken_only_if_it_gives_the_same_float_back() {
        for (value, width) in [
            (65505.0, Shortest::Single(0x477F_E100)),
            (65536.0, Shortest::Single(0x4780_0000)),
            (2_f64.powi(-25), Shortest::Single(0x3300_0000)),
            (1.5 * 2_f64.powi(-24), Shortest::Single(0x33C0_0000)),
            (1.0 + 2_f64.powi(-11), Shortest::Single(0x3F80_1000)),
            (f64::from(f32::MAX), Shortest::Single(0x7F7F_FFFF)),
            (2_f64.powi(-149), Shortest::Single(0x0000_0001)),
            (2_f64.powi(-150), Shortest::Double(0x3690_0000_0000_0000)),
            (0.1, Shortest::Double(0x3FB9_9999_9999_999A)),
            (f64::MIN_POSITIVE, Shortest::Double(0x0010_0000_0000_0000)),
            (5e-324, Shortest::Double(1)),
            (f64::MAX, Shortest::Double(0x7FEF_FFFF_FFFF_FFFF)),
        ] {
            assert_eq!(Shortest::of(value), width, "{value:?}");
        }
    }
}
