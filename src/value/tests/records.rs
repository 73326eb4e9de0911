//! A field of a `record!` is one item, behind as many pointers as there are.

use crate::error::{ErrorKind, Result};
use crate::record;
use crate::value::{Encode, Encoder, from_cbor, to_cbor};

record! {
    #[derive(Debug)]
    struct Holder<T> { odd: T, even: u8 }

    #[derive(Debug, PartialEq)]
    struct Chain { next: Option<Box<Box<Chain>>> }
}

/// As many items as its number says, where one belongs.
#[derive(Debug)]
struct Items(u8);

impl Encode for Items {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        (0..self.0).try_for_each(|item| item.encode(to))
    }
}

#[test]
fn a_field_that_writes_no_item_or_two_is_refused() {
    let encoded = |items| {
        to_cbor(&Holder {
            odd: Items(items),
            even: 1,
        })
    };
    assert!(encoded(1).is_ok());
    for items in [0, 2] {
        let error = encoded(items).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

/// Only pointers with nothing between them are levels of their own.
#[test]
fn pointers_to_pointers_take_no_levels_from_the_maps_between_them() {
    let mut chain = Chain { next: None };
    for _ in 1..64 {
        let next = Some(Box::new(Box::new(chain)));
        chain = Chain { next };
    }
    let bytes = to_cbor(&chain).unwrap();
    assert_eq!(from_cbor::<Chain>(&bytes).unwrap(), chain);
}
