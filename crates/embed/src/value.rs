//! A vector as bytes: little-endian f32.

use domain::Vector;

/// How far from 1 the length of a unit vector may be.
#[cfg(any(feature = "redis", feature = "triton"))]
const TOLERANCE: f64 = 1e-3;

pub fn to_bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The vector that bytes hold, unless they are of no possible number.
pub fn from_bytes(bytes: &[u8]) -> Option<Vector> {
    let (floats, rest) = bytes.as_chunks::<4>();
    if floats.is_empty() || !rest.is_empty() {
        return None;
    }
    Some(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// Whether a vector has length 1, and so no value that is not finite.
#[cfg(any(feature = "redis", feature = "triton"))]
pub fn is_unit(vector: &[f32]) -> bool {
    let square: f64 = vector.iter().map(|value| f64::from(*value).powi(2)).sum();
    (square.sqrt() - 1.0).abs() <= TOLERANCE
}

#[cfg(all(test, any(feature = "redis", feature = "triton")))]
mod tests {
    use super::*;

    #[test]
    fn bytes_hold_a_vector_only_when_their_number_fits() {
        let vector = [0.5f32, -1.25, f32::MIN_POSITIVE];
        let bytes = to_bytes(&vector);
        assert_eq!(from_bytes(&bytes).as_deref(), Some(&vector[..]));
        for wrong in [&bytes[..0], &bytes[..3], &bytes[..11]] {
            assert_eq!(from_bytes(wrong), None);
        }
    }

    #[test]
    fn what_is_not_finite_or_not_of_length_one_is_no_unit_vector() {
        assert!(is_unit(&[0.6, 0.8]));
        assert!(is_unit(&[0.6004, 0.8]));
        for wrong in [
            &[][..],
            &[0.0, 0.0],
            &[0.6, 0.9],
            &[f32::NAN, 1.0],
            &[f32::INFINITY, 0.0],
            &[f32::MAX, f32::MAX],
        ] {
            assert!(!is_unit(wrong), "{wrong:?}");
        }
    }
}
