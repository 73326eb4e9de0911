//! `record!`: structs as maps.

/// Makes structs storable: it is written around their definition and adds [`Encode`](crate::Encode) and
/// [`Decode`](crate::Decode).
///
/// A record is a map with the names of its fields as keys, so that a program can grow: a field of the map that the
/// struct does not have is skipped, and one that the map does not have takes the default that follows its type, if
/// there is one, and is an error otherwise. To rename a field is to remove one and add another.
///
/// Attributes, documentation and visibility are passed through. Type parameters are not supported.
///
/// ```
/// shelflife::record! {
///     /// What somebody means to buy.
///     #[derive(Debug, Clone, PartialEq)]
///     pub struct Cart {
///         /// What is in it.
///         pub items: Vec<String>,
///         total: f64 = 0.0,
///         note: Option<String> = None,
///     }
/// }
/// use shelflife::{from_cbor, to_cbor};
///
/// let cart = Cart { items: vec!["tea".to_owned()], total: 2.5, note: None };
/// assert_eq!(from_cbor::<Cart>(&to_cbor(&cart)?)?, cart);
///
/// // An older program knew of the items alone, a newer one knows more.
/// let older: shelflife::Value = r#"{"items":["tea"]}"#.parse()?;
/// assert_eq!(from_cbor::<Cart>(&to_cbor(&older)?)?.total, 0.0);
/// let newer: shelflife::Value = r#"{"items":[],"total":1.0,"gift":true}"#.parse()?;
/// assert_eq!(from_cbor::<Cart>(&to_cbor(&newer)?)?.total, 1.0);
///
/// let error = from_cbor::<Cart>(&to_cbor(&shelflife::Value::Map(vec![]))?).unwrap_err();
/// assert!(error.to_string().starts_with("expected a field `items` in the map"));
/// # Ok::<(), shelflife::Error>(())
/// ```
#[macro_export]
macro_rules! record {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis struct $Record:ident {$(
            $(#[$field_attribute:meta])*
            $field_visibility:vis $field:ident: $type:ty $(= $default:expr)?
        ),* $(,)?}
    )*) => {$(
        $(#[$attribute])*
        $visibility struct $Record {$(
            $(#[$field_attribute])*
            $field_visibility $field: $type,
        )*}

        impl $crate::Encode for $Record {
            fn encode(&self, to: &mut $crate::Encoder) -> $crate::Result<()> {
                const FIELDS: &[&str] = &[$(stringify!($field)),*];
                to.map(FIELDS.len(), |map| {
                    $(map.insert($crate::record!(@name $field), &self.$field)?;)*
                    let _ = map;
                    $crate::Result::Ok(())
                })
            }
        }

        impl $crate::Decode for $Record {
            fn decode(from: &mut $crate::Decoder<'_>) -> $crate::Result<Self> {
                $(let mut $field: ::core::option::Option<$type> = ::core::option::Option::None;)*
                from.map($crate::Decoder::text, |from, key| {
                    $(if key == $crate::record!(@name $field) {
                        $field = ::core::option::Option::Some($crate::Decode::decode(from)?);
                        return $crate::Result::Ok(());
                    })*
                    let _ = key;
                    from.skip()
                })?;
                $crate::Result::Ok($Record {$(
                    $field: match $field {
                        ::core::option::Option::Some(value) => value,
                        ::core::option::Option::None => {
                            $crate::record!(@missing from $field: $type $(= $default)?)
                        }
                    },
                )*})
            }
        }
    )*};
    // A field may be called `r#type`; its key is `type`.
    (@name $field:ident) => {
        const { $crate::Decoder::field_name(stringify!($field)) }
    };
    (@missing $from:ident $field:ident: $type:ty) => {
        return $crate::Result::Err($from.missing($crate::record!(@name $field)))
    };
    // As a function pointer the default cannot use the fields that were read.
    (@missing $from:ident $field:ident: $type:ty = $default:expr) => {{
        let default: fn() -> $type = || $default;
        default()
    }};
}

#[cfg(test)]
mod tests {
    use crate::error::ErrorKind;
    use crate::value::{Decode, Value, from_cbor, to_cbor};

    record! {
        /// Two structs in one go, one of them with everything that a field can have.
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct Everything {
            /// A name that only the raw form can have.
            r#type: String,
            pub(crate) bytes: Vec<u8> = vec![1, 2],
            #[cfg(test)]
            nested: Vec<Inner> = Vec::new(),
            note: Option<String> = None,
        }

        #[derive(Debug, Clone, PartialEq)]
        struct Inner { from: u8, map: u8 = 7, key: u8 = default() }
    }

    record! {
        #[derive(Debug, PartialEq)]
        struct Empty {}
    }

    fn default() -> u8 {
        9
    }

    fn parse<T: Decode>(json: &str) -> crate::Result<T> {
        from_cbor(&to_cbor(&json.parse::<Value>().unwrap()).unwrap())
    }

    fn json(value: &impl crate::Encode) -> String {
        from_cbor::<Value>(&to_cbor(value).unwrap())
            .unwrap()
            .to_string()
    }

    #[test]
    fn a_record_is_a_map_of_its_fields_and_comes_back() {
        let inner = Inner {
            from: 1,
            map: 2,
            key: 3,
        };
        let value = Everything {
            r#type: "x".to_owned(),
            bytes: vec![],
            nested: vec![inner],
            note: Some("y".to_owned()),
        };
        assert_eq!(
            json(&value),
            r#"{"note":"y","type":"x","bytes":{"$b64":""},"nested":[{"key":3,"map":2,"from":1}]}"#
        );
        assert_eq!(parse::<Everything>(&json(&value)).unwrap(), value);
        assert_eq!(json(&Empty {}), "{}");
        assert_eq!(parse::<Empty>(r#"{"a":1}"#).unwrap(), Empty {});
    }

    #[test]
    fn a_missing_field_takes_its_default_or_is_named_in_the_error() {
        let value: Everything = parse(r#"{"type":"x","nested":[{"from":1}]}"#).unwrap();
        assert_eq!(value.bytes, [1, 2]);
        assert_eq!(
            value.nested,
            [Inner {
                from: 1,
                map: 7,
                key: 9
            }]
        );
        assert_eq!(value.note, None);
        let error = parse::<Everything>(r#"{"note":null}"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert_eq!(
            error.to_string(),
            "expected a field `type` in the map that ends at byte 7; \
             give the field a default if older values lack it"
        );
    }

    #[test]
    fn an_unknown_field_is_skipped_but_not_trusted() {
        assert!(parse::<Inner>(r#"{"from":1,"new":{"$tag":[1,[{"a":[null,1.5]}]]}}"#).is_ok());
        // The unknown field holds text that is not UTF-8, or a map with a key twice.
        assert!(from_cbor::<Inner>(b"\xA2\x61a\x61\xFF\x64from\x01").is_err());
        assert!(from_cbor::<Inner>(b"\xA2\x61a\xA2\x01\x01\x01\x01\x64from\x01").is_err());
        assert!(from_cbor::<Inner>(b"\xA2\x61a\x01\x64from\x01").is_ok());
    }

    #[test]
    fn what_is_not_a_map_with_each_text_key_once_is_refused() {
        assert!(parse::<Inner>("[1]").is_err());
        assert!(parse::<Inner>(r#"{"$map":[[1,1],["from",1]]}"#).is_err());
        assert!(from_cbor::<Inner>(b"\xA2\x64from\x01\x64from\x01").is_err());
        assert!(parse::<Inner>(r#"{"from":256}"#).is_err());
    }
}
