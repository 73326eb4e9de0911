//! `record!`: structs as maps, enums as serde's externally tagged form.
//!
//! The macro works in two steps. The first brings fields and variants into one form, in which what stands in brackets
//! or parentheses is always there: `{ [cfg attributes] [other attributes] (visibility) field [key] (type) [default] }`.
//! A list whose only attributes are documentation takes one expansion, however long it is. Any other list takes one for
//! each attribute and field: only so can the macro tell a `cfg` from the rest, and repeat it wherever the field is named.
//! The second step writes the definition and the two `impl`s.

#[cfg(test)]
mod tests;

use super::Encoder;
use std::cmp::Ordering;

impl Encoder {
    /// The key of a field of a [`record!`](crate::record): its name, which `r#` is no part of.
    #[doc(hidden)]
    pub const fn name(identifier: &'static str) -> &'static str {
        if let [b'r', b'#', name @ ..] = identifier.as_bytes()
            && let Ok(name) = std::str::from_utf8(name)
        {
            return name;
        }
        identifier
    }

    /// Where a name stands among the names of a [`record!`](crate::record).
    #[doc(hidden)]
    pub const fn place(names: &[&str], name: &str) -> usize {
        let mut place = 0;
        while place < names.len() && !matches!(compare(names[place], name), Ordering::Equal) {
            place += 1;
        }
        place
    }

    /// The places of the names of a [`record!`](crate::record) in the order in which a map has them as keys.
    #[doc(hidden)]
    pub const fn order<const N: usize>(names: &[&str]) -> [usize; N] {
        let mut order = [0; N];
        let mut sorted = 0;
        while sorted < N {
            let mut at = sorted;
            while at > 0 {
                match compare(names[order[at - 1]], names[sorted]) {
                    Ordering::Less => break,
                    Ordering::Equal => {
                        panic!("two fields or variants of a `record!` have the same key")
                    }
                    Ordering::Greater => order[at] = order[at - 1],
                }
                at -= 1;
            }
            order[at] = sorted;
            sorted += 1;
        }
        order
    }
}

/// Compares two names as their encodings compare: the shorter one comes first.
const fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let (mut of_a, mut of_b) = (a.len(), b.len());
    let mut at = 0;
    while of_a == of_b && at < a.len() {
        (of_a, of_b) = (a[at] as usize, b[at] as usize);
        at += 1;
    }
    match of_a {
        _ if of_a < of_b => Ordering::Less,
        _ if of_a > of_b => Ordering::Greater,
        _ => Ordering::Equal,
    }
}

/// Makes structs and enums storable: it is written around their definition and adds [`Encode`](crate::Encode) and
/// [`Decode`](crate::Decode).
///
/// | definition | CBOR |
/// |---|---|
/// | `struct Point { x: f64, y: f64 }` | map with the names of the fields as keys |
/// | `struct Pair(f64, f64);` | array |
/// | `struct UserId(u64);` | what is in it |
/// | `struct Marker;` | null |
/// | `enum Pay { Cash }` | text: `"Cash"` |
/// | `enum Pay { Card(String) }` | map with one entry: `{"Card":"4711"}` |
/// | `enum Pay { Split(u32, u32) }` | the same, of an array: `{"Split":[30,70]}` |
/// | `enum Pay { Transfer { iban: String } }` | the same, of a map: `{"Transfer":{"iban":"DE02"}}` |
///
/// This is what serde's derive makes of the same definitions (with `serde_bytes` on fields of bytes), so other programs
/// and languages read it.
///
/// A struct can grow. A field of the map that the struct does not have is skipped, or kept (below). One that the map
/// does not have takes the default that follows its type; without one an `Option` becomes `None`, and any other
/// type is an error. A variant that an enum does not have is an error.
///
/// - `name: Type = default` is the default, any expression: for a field that is read, not for `#[derive(Default)]`.
/// - `name as "key": Type` stores a field under another key, and `Name as "key"` a variant.
/// - `..rest`, last in a struct or in a variant with named fields, adds a field `rest: BTreeMap<String, Value>` for all
///   that the map has besides, which is written back with the rest: so an old and a new version of a program can work on
///   the same values. `..pub rest` makes that field of a struct public.
///
/// Attributes, documentation and visibility are passed through; a `#[cfg]` on a named field or a variant counts for its
/// encoding, too, and one for a whole type stands before its `record!`. Types may have parameters, bounded by names
/// (`K: Eq + Hash`), but no lifetimes, since a value that is read owns all of itself, no constants and no `where`: for
/// such a type implement `Encode` and `Decode`. They may contain themselves in a `Box`, an `Option<Box>`, a `Vec` or a
/// map: 64 levels can be stored, and each list and each map is one. A definition with over fifty attributes that are
/// no documentation, and a `record!` with
/// over a hundred definitions, need `#![recursion_limit = "256"]`, as the compiler then says.
///
/// ```
/// use shelflife::{Value, from_cbor, record, to_cbor};
///
/// record! {
///     /// What somebody means to buy.
///     #[derive(Debug, Clone, PartialEq)]
///     pub struct Cart {
///         /// What is in it.
///         pub items: Vec<Item>,
///         note: Option<String>,
///         paid_by as "payment": Payment = Payment::Open,
///         ..rest
///     }
///
///     #[derive(Debug, Clone, PartialEq)]
///     pub struct Item(String, u32);
///
///     #[derive(Debug, Clone, PartialEq)]
///     pub enum Payment {
///         Open,
///         Card { last_digits: String },
///     }
/// }
///
/// // An older program knew of the items alone, a newer one knows more.
/// let older: Value = r#"{"items":[["tea",2]]}"#.parse()?;
/// let cart: Cart = from_cbor(&to_cbor(&older)?)?;
/// assert_eq!((cart.items[0].1, &cart.paid_by), (2, &Payment::Open));
///
/// let newer: Value = r#"{"note":null,"items":[],"payment":{"Card":{"last_digits":"4711"}},"gift":true}"#.parse()?;
/// let cart: Cart = from_cbor(&to_cbor(&newer)?)?;
/// assert_eq!(cart.paid_by, Payment::Card { last_digits: "4711".to_owned() });
/// assert_eq!(from_cbor::<Value>(&to_cbor(&cart)?)?.get("gift"), Some(&Value::Bool(true)));
///
/// let wrong: Value = r#"{"items":[["tea",2],["milk","two"]]}"#.parse()?;
/// let error = from_cbor::<Cart>(&to_cbor(&wrong)?).unwrap_err();
/// assert!(error.to_string().starts_with("`items[1][1]`: expected an integer at byte 20, found text"));
/// # Ok::<(), shelflife::Error>(())
/// ```
#[macro_export]
macro_rules! record {
    () => {};

    // First step: fields.
    (@fields [$($next:tt)*]
        $(
            $(#[doc = $doc:expr])*
            $visibility:vis $field:ident $(as $key:literal)? : $type:ty $(= $default:expr)?
        ),* $(,)?
    ) => {
        $crate::record! { $($next)*
            [$({ [] [$(#[doc = $doc])*] ($visibility) $field [$($key)?] ($type) [$($default)?] })*] []
        }
    };
    (@fields [$($next:tt)*]
        $(
            $(#[doc = $doc:expr])*
            $visibility:vis $field:ident $(as $key:literal)? : $type:ty $(= $default:expr)?,
        )*
        .. $rest_visibility:vis $rest:ident $(,)?
    ) => {
        $crate::record! { $($next)*
            [$({ [] [$(#[doc = $doc])*] ($visibility) $field [$($key)?] ($type) [$($default)?] })*]
            [($rest_visibility) $rest]
        }
    };
    (@fields $next:tt $($fields:tt)*) => {
        $crate::record! { @field $next [] [] [] $($fields)* }
    };
    (@field $next:tt $done:tt [$($cfg:tt)*] $attributes:tt #[cfg($($condition:tt)*)] $($fields:tt)*) => {
        $crate::record! { @field $next $done [$($cfg)* #[cfg($($condition)*)]] $attributes $($fields)* }
    };
    (@field $next:tt $done:tt $cfg:tt [$($attributes:tt)*] #[$($attribute:tt)*] $($fields:tt)*) => {
        $crate::record! { @field $next $done $cfg [$($attributes)* #[$($attribute)*]] $($fields)* }
    };
    (@field $next:tt [$($done:tt)*] $cfg:tt $attributes:tt
        $visibility:vis $field:ident $(as $key:literal)? : $type:ty $(= $default:expr)? $(, $($fields:tt)*)?
    ) => {
        $crate::record! { @field $next
            [$($done)* { $cfg $attributes ($visibility) $field [$($key)?] ($type) [$($default)?] }]
            [] [] $($($fields)*)?
        }
    };
    (@field [$($next:tt)*] $done:tt [] [] $(.. $visibility:vis $rest:ident $(,)?)?) => {
        $crate::record! { $($next)* $done [$(($visibility) $rest)?] }
    };
    (@field $next:tt $done:tt $cfg:tt $attributes:tt $(pub $(($($seen_by:tt)*))?)? .. $($wrong:tt)*) => {
        ::core::compile_error!(
            "`..rest` comes last in a `record!`, without attributes and without a type: it is a \
             `BTreeMap<String, Value>`; write `..pub rest` to make it public"
        );
    };
    (@field $next:tt $done:tt $cfg:tt $attributes:tt $($wrong:tt)*) => {
        ::core::compile_error!(
            "write a field of a `record!` as `name: Type`, with a default as `name: Type = default`, \
             under another key as `name as \"key\": Type`"
        );
    };

    // First step: variants. An attribute that may be there once needs something to repeat, even if that never is there.
    (@variants [$($next:tt)*]
        $(
            $(#[doc = $doc:expr])*
            $(#[default $($default_attribute:tt)?])?
            $Variant:ident $(as $key:literal)?
            $(($( $(#[doc = $item_doc:expr])* $item:ty ),* $(,)?))?
            $({$(
                $(#[doc = $field_doc:expr])*
                $field:ident $(as $field_key:literal)? : $type:ty $(= $default:expr)?
            ),* $(,)?})?
        ),* $(,)?
    ) => {
        $crate::record! { $($next)* [$({
            [] [$(#[doc = $doc])* $(#[default $($default_attribute)?])?] $Variant [$($key)?]
            $(tuple ($( ([$(#[doc = $item_doc])*] $item) )*))?
            $(fields [$({ [] [$(#[doc = $field_doc])*] () $field [$($field_key)?] ($type) [$($default)?] })*] [])?
        })*] }
    };
    (@variants $next:tt $($variants:tt)*) => {
        $crate::record! { @variant $next [] [] [] $($variants)* }
    };
    (@variant $next:tt $done:tt [$($cfg:tt)*] $attributes:tt #[cfg($($condition:tt)*)] $($variants:tt)*) => {
        $crate::record! { @variant $next $done [$($cfg)* #[cfg($($condition)*)]] $attributes $($variants)* }
    };
    (@variant $next:tt $done:tt $cfg:tt [$($attributes:tt)*] #[$($attribute:tt)*] $($variants:tt)*) => {
        $crate::record! { @variant $next $done $cfg [$($attributes)* #[$($attribute)*]] $($variants)* }
    };
    (@variant $next:tt [$($done:tt)*] $cfg:tt $attributes:tt
        $Variant:ident $(as $key:literal)?
        $(($( $(#[$($item_attribute:tt)*])* $item:ty ),* $(,)?))?
        $(, $($variants:tt)*)?
    ) => {
        $crate::record! { @variant $next
            [$($done)* {
                $cfg $attributes $Variant [$($key)?]
                $(tuple ($( ([$(#[$($item_attribute)*])*] $item) )*))?
            }]
            [] [] $($($variants)*)?
        }
    };
    (@variant $next:tt $done:tt $cfg:tt $attributes:tt
        $Variant:ident $(as $key:literal)? { $($fields:tt)* } $(, $($variants:tt)*)?
    ) => {
        $crate::record! {
            @fields [@variant_of $next $done $cfg $attributes $Variant [$($key)?] {$($($variants)*)?}] $($fields)*
        }
    };
    (@variant_of $next:tt [$($done:tt)*] $cfg:tt $attributes:tt $Variant:ident $key:tt {$($variants:tt)*}
        $fields:tt $rest:tt
    ) => {
        $crate::record! { @variant $next
            [$($done)* { $cfg $attributes $Variant $key fields $fields $rest }] [] [] $($variants)*
        }
    };
    (@variant [$($next:tt)*] $done:tt [] []) => {
        $crate::record! { $($next)* $done }
    };
    (@variant $($wrong:tt)*) => {
        ::core::compile_error!(
            "write a variant of a `record!` as `Name`, `Name(Type, ...)` or `Name { field: Type, ... }`, under \
             another key as `Name as \"key\"`, without a discriminant"
        );
    };

    // The attributes of an item of a tuple. None may be a `cfg`: the items are counted.
    (@item) => {};
    (@item #[cfg $($condition:tt)*] $($attributes:tt)*) => {
        ::core::compile_error!(
            "a `#[cfg]` in a `record!` stands before a field with a name or a variant, not before an item of a tuple"
        );
    };
    (@item #[$($attribute:tt)*] $($attributes:tt)*) => {
        $crate::record! { @item $($attributes)* }
    };

    // Second step: a struct.
    (@struct {$($head:tt)*} $Record:ident [$($T:ident [$($bound:tt)*])*]
        [$({
            [$($cfg:tt)*] [$($attributes:tt)*] ($($visibility:tt)*) $field:ident $key:tt ($type:ty) $default:tt
        })*]
        [$(($($rest_visibility:tt)*) $rest:ident)?]
    ) => {
        $($head)* struct $Record<$($T: $($bound)*),*> {
            $($($attributes)* $($cfg)* $($visibility)* $field: $type,)*
            $(
                /// The fields that were stored beside those above, by their keys.
                $($rest_visibility)* $rest: ::std::collections::BTreeMap<::std::string::String, $crate::Value>,
            )?
        }

        impl<$($T: $crate::Encode + $($bound)*),*> $crate::Encode for $Record<$($T),*> {
            fn encode(&self, to: &mut $crate::Encoder) -> $crate::Result<()> {
                let $Record { $($($cfg)* $field,)* $($rest)? } = self;
                $crate::record!(@write to [$([$($cfg)*] $field $key)*] [$($rest)?])
            }
        }

        impl<$($T: $crate::Decode + $($bound)*),*> $crate::Decode for $Record<$($T),*> {
            fn decode(from: &mut $crate::Decoder<'_>) -> $crate::Result<Self> {
                $crate::Result::Ok($crate::record!(
                    @read from [$Record] [$([$($cfg)*] $field $key ($type) $default)*] [$($rest)?]
                ))
            }
        }
    };
    (@tuple {$($head:tt)*} $Record:ident [$($T:ident [$($bound:tt)*])*]
        ($( ([$($attributes:tt)*] ($($visibility:tt)*) $type:ty) )*)
    ) => {
        $($crate::record! { @item $($attributes)* })*
        $($head)* struct $Record<$($T: $($bound)*),*>($($($attributes)* $($visibility)* $type),*);

        impl<$($T: $crate::Encode + $($bound)*),*> $crate::Encode for $Record<$($T),*> {
            fn encode(&self, to: &mut $crate::Encoder) -> $crate::Result<()> {
                $crate::record!(@count [@write_items to [$Record] self] $(($type))*)
            }
        }

        impl<$($T: $crate::Decode + $($bound)*),*> $crate::Decode for $Record<$($T),*> {
            fn decode(from: &mut $crate::Decoder<'_>) -> $crate::Result<Self> {
                $crate::record!(@count [@read_items from [$Record]] $(($type))*)
            }
        }
    };
    (@unit {$($head:tt)*} $Record:ident) => {
        $($head)* struct $Record;

        impl $crate::Encode for $Record {
            fn encode(&self, to: &mut $crate::Encoder) -> $crate::Result<()> {
                to.null()
            }
        }

        impl $crate::Decode for $Record {
            fn decode(from: &mut $crate::Decoder<'_>) -> $crate::Result<Self> {
                from.null().map(|()| $Record)
            }
        }
    };

    // Second step: an enum.
    (@enum {$($head:tt)*} $Record:ident [$($T:ident [$($bound:tt)*])*]
        [$({
            [$($cfg:tt)*] [$($attributes:tt)*] $Variant:ident $key:tt
            $(tuple ($( ([$($item_attributes:tt)*] $item:ty) )*))?
            $(fields [$({
                [$($field_cfg:tt)*] [$($field_attributes:tt)*] ($($visibility:tt)*) $field:ident $field_key:tt
                ($type:ty) $default:tt
            })*] [$(($($rest_visibility:tt)*) $rest:ident)?])?
        })*]
    ) => {
        $($($($crate::record! { @item $($item_attributes)* })*)?)*
        $($head)* enum $Record<$($T: $($bound)*),*> {$(
            $($attributes)* $($cfg)*
            $Variant $(($($($item_attributes)* $item),*))? $({
                $($($field_attributes)* $($field_cfg)* $($visibility)* $field: $type,)*
                $(
                    /// The fields that were stored beside those above, by their keys.
                    $($rest_visibility)* $rest: ::std::collections::BTreeMap<::std::string::String, $crate::Value>,
                )?
            })?,
        )*}

        impl<$($T: $crate::Encode + $($bound)*),*> $crate::Encode for $Record<$($T),*> {
            #[allow(irrefutable_let_patterns)]
            fn encode(&self, to: &mut $crate::Encoder) -> $crate::Result<()> {
                $($($cfg)* {
                    $crate::record!(
                        @write_variant self to [$Record::$Variant] ($crate::record!(@key $Variant $key))
                        $(tuple $(($item))*)?
                        $(fields [$([$($field_cfg)*] $field $field_key)*] [$($rest)?])?
                    );
                })*
                let _ = to;
                // All variants stand above.
                $crate::Result::Ok(())
            }
        }

        impl<$($T: $crate::Decode + $($bound)*),*> $crate::Decode for $Record<$($T),*> {
            fn decode(from: &mut $crate::Decoder<'_>) -> $crate::Result<Self> {
                const __NAMES: &[&str] = &[$($($cfg)* $crate::record!(@key $Variant $key)),*];
                // No key stands for two of them.
                const _: [usize; __NAMES.len()] = $crate::Encoder::order(__NAMES);
                from.variant(__NAMES, |from, place, holds| {
                    $($($cfg)* {
                        if place == const { $crate::Encoder::place(__NAMES, $crate::record!(@key $Variant $key)) } {
                            return $crate::record!(
                                @read_variant from holds [$Record::$Variant]
                                $(tuple $(($item))*)?
                                $(fields [$([$($field_cfg)*] $field $field_key ($type) $default)*] [$($rest)?])?
                            );
                        }
                    })*
                    let _ = (from, place, holds);
                    $crate::Result::Ok(::core::option::Option::None)
                })
            }
        }
    };
    (@write_variant $this:tt $to:ident [$($Variant:tt)*] ($name:expr)) => {
        if let $($Variant)* = $this {
            return $to.text($name);
        }
    };
    (@write_variant $this:tt $to:ident [$($Variant:tt)*] ($name:expr) tuple $($types:tt)*) => {
        if let $($Variant)*(..) = $this {
            return $to.variant($name, |to| {
                $crate::record!(@count [@write_items to [$($Variant)*] $this] $($types)*)
            });
        }
    };
    (@write_variant $this:tt $to:ident [$($Variant:tt)*] ($name:expr)
        fields [$([$($cfg:tt)*] $field:ident $key:tt)*] [$($rest:ident)?]
    ) => {
        if let $($Variant)* { $($($cfg)* $field,)* $($rest,)? } = $this {
            return $to.variant($name, |to| $crate::record!(@write to [$([$($cfg)*] $field $key)*] [$($rest)?]));
        }
    };
    (@read_variant $from:ident $holds:ident [$($Variant:tt)*]) => {
        $crate::Result::Ok(if $holds {
            ::core::option::Option::None
        } else {
            ::core::option::Option::Some($($Variant)*)
        })
    };
    (@read_variant $from:ident $holds:ident [$($Variant:tt)*] tuple $($types:tt)*) => {
        if $holds {
            $crate::record!(@count [@read_items $from [$($Variant)*]] $($types)*).map(::core::option::Option::Some)
        } else {
            $crate::Result::Ok(::core::option::Option::None)
        }
    };
    (@read_variant $from:ident $holds:ident $Variant:tt fields $fields:tt $rest:tt) => {
        if $holds {
            $crate::Result::Ok(::core::option::Option::Some($crate::record!(@read $from $Variant $fields $rest)))
        } else {
            $crate::Result::Ok(::core::option::Option::None)
        }
    };

    // Second step: fields, which are variables by now.
    (@key $name:ident []) => {
        const { $crate::Encoder::name(::core::stringify!($name)) }
    };
    (@key $name:ident [$key:literal]) => {
        $key
    };
    (@write $to:ident [$([$($cfg:tt)*] $field:ident $key:tt)*] []) => {{
        const __NAMES: &[&str] = &[$($($cfg)* $crate::record!(@key $field $key)),*];
        const __ORDER: [usize; __NAMES.len()] = $crate::Encoder::order(__NAMES);
        $to.fields(__NAMES, &__ORDER, |to, place| {
            $($($cfg)* {
                if place == const { $crate::Encoder::place(__NAMES, $crate::record!(@key $field $key)) } {
                    return $crate::Encode::encode($field, to);
                }
            })*
            let _ = (to, place);
            $crate::Result::Ok(())
        })
    }};
    (@write $to:ident [$([$($cfg:tt)*] $field:ident $key:tt)*] [$rest:ident]) => {{
        const __NAMES: &[&str] = &[$($($cfg)* $crate::record!(@key $field $key)),*];
        $to.map(__NAMES.len().saturating_add($rest.len()), |map| {
            $($($cfg)* map.field($crate::record!(@key $field $key), $field)?;)*
            for (key, value) in $rest.iter() {
                map.insert(key, value)?;
            }
            $crate::Result::Ok(())
        })
    }};
    (@read $from:ident [$($Made:tt)*]
        [$([$($cfg:tt)*] $field:ident $key:tt ($type:ty) $default:tt)*] [$($rest:ident)?]
    ) => {{
        const __NAMES: &[&str] = &[$($($cfg)* $crate::record!(@key $field $key)),*];
        const __ORDER: [usize; __NAMES.len()] = $crate::Encoder::order(__NAMES);
        $($($cfg)* let mut $field: ::core::option::Option<$type> = ::core::option::Option::None;)*
        $(let mut $rest = ::std::collections::BTreeMap::new();)?
        $from.fields(__NAMES, &__ORDER, |from, found| {
            let key = match found {
                ::core::result::Result::Ok(place) => {
                    $($($cfg)* {
                        if place == const { $crate::Encoder::place(__NAMES, $crate::record!(@key $field $key)) } {
                            $field = ::core::option::Option::Some($crate::Decode::decode(from)?);
                        }
                    })*
                    let _ = place;
                    return $crate::Result::Ok(());
                }
                ::core::result::Result::Err(key) => key,
            };
            $crate::record!(@unknown from key $($rest)?)
        })?;
        $($Made)* {
            $($($cfg)* $field: match $field {
                ::core::option::Option::Some(value) => value,
                ::core::option::Option::None => {
                    $crate::record!(@missing $from ($type) $default ($crate::record!(@key $field $key)))
                }
            },)*
            $($rest,)?
        }
    }};
    (@unknown $from:ident $key:ident) => {{
        let _ = $key;
        $from.skip()
    }};
    (@unknown $from:ident $key:ident $rest:ident) => {
        $from.keep($key, &mut $rest)
    };
    (@missing $from:ident ($type:ty) [] ($name:expr)) => {
        match <$type as $crate::Decode>::absent() {
            ::core::option::Option::Some(value) => value,
            ::core::option::Option::None => return $crate::Result::Err($from.missing($name)),
        }
    };
    // As a function pointer the default cannot use the fields that were read.
    (@missing $from:ident ($type:ty) [$default:expr] ($name:expr)) => {{
        let default: fn() -> $type = || $default;
        default()
    }};

    // Second step: items of tuples, each with a variable and its place.
    (@count $next:tt $($types:tt)*) => {
        $crate::record!(@counted $next []
            [a 0 b 1 c 2 d 3 e 4 f 5 g 6 h 7 i 8 j 9 k 10 l 11] $($types)*)
    };
    (@counted [$($next:tt)*] $done:tt $left:tt) => {
        $crate::record!($($next)* $done)
    };
    (@counted $next:tt [$($done:tt)*] [$item:ident $place:tt $($left:tt)*] $type:tt $($types:tt)*) => {
        $crate::record!(@counted $next [$($done)* $item $place $type] [$($left)*] $($types)*)
    };
    (@counted $($wrong:tt)*) => {
        ::core::compile_error!("a tuple in a `record!` has at most 12 items; give them names: `{ name: Type, ... }`")
    };
    (@write_items $to:ident [$($Made:tt)*] $this:tt [$item:ident 0 $type:tt]) => {{
        #[allow(irrefutable_let_patterns)]
        if let $($Made)*($item) = $this {
            return $crate::Encode::encode($item, $to);
        }
        $crate::Result::Ok(())
    }};
    (@write_items $to:ident [$($Made:tt)*] $this:tt [$($item:ident $place:literal $type:tt)*]) => {{
        const __LEN: usize = <[usize]>::len(&[$($place),*]);
        #[allow(irrefutable_let_patterns)]
        if let $($Made)*($($item),*) = $this {
            return $to.array(__LEN, |to| {
                $($crate::Encode::encode($item, to)?;)*
                let _ = to;
                $crate::Result::Ok(())
            });
        }
        $crate::Result::Ok(())
    }};
    (@read_items $from:ident [$($Made:tt)*] [$item:ident 0 $type:tt]) => {
        $crate::Decode::decode($from).map($($Made)*)
    };
    (@read_items $from:ident [$($Made:tt)*] [$($item:ident $place:literal $type:tt)*]) => {{
        const __LEN: usize = <[usize]>::len(&[$($place),*]);
        $from.tuple(__LEN, |from| {
            let _ = &from;
            $crate::Result::Ok($($Made)*($(from.nth($place)?),*))
        })
    }};

    // The attributes of a type. A `cfg` would leave the `impl`s.
    (@whole cfg $($condition:tt)*) => {
        ::core::compile_error!(
            "a `#[cfg]` for a whole type stands before its `record!`, in which that type is alone"
        );
    };
    (@whole $($attribute:tt)*) => {};

    // The forms that users of the macro write.
    (
        $(#[$($attribute:tt)*])* $visibility:vis struct $Record:ident
        $(<$($T:ident $(: $($bound:ident)::+ $(+ $($bounds:ident)::+)*)?),+ $(,)?>)?
        { $($fields:tt)* } $($items:tt)*
    ) => {
        $($crate::record! { @whole $($attribute)* })*
        $crate::record! {
            @fields [
                @struct {$(#[$($attribute)*])* $visibility} $Record [$($($T [$($($bound)::+ $(+ $($bounds)::+)*)?])+)?]
            ] $($fields)*
        }
        $crate::record! { $($items)* }
    };
    (
        $(#[$($attribute:tt)*])* $visibility:vis struct $Record:ident
        $(<$($T:ident $(: $($bound:ident)::+ $(+ $($bounds:ident)::+)*)?),+ $(,)?>)?
        ($( $(#[$($item_attribute:tt)*])* $item_visibility:vis $item:ty ),* $(,)?); $($items:tt)*
    ) => {
        $($crate::record! { @whole $($attribute)* })*
        $crate::record! {
            @tuple {$(#[$($attribute)*])* $visibility} $Record [$($($T [$($($bound)::+ $(+ $($bounds)::+)*)?])+)?]
            ($( ([$(#[$($item_attribute)*])*] ($item_visibility) $item) )*)
        }
        $crate::record! { $($items)* }
    };
    ($(#[$($attribute:tt)*])* $visibility:vis struct $Record:ident; $($items:tt)*) => {
        $($crate::record! { @whole $($attribute)* })*
        $crate::record! { @unit {$(#[$($attribute)*])* $visibility} $Record }
        $crate::record! { $($items)* }
    };
    (
        $(#[$($attribute:tt)*])* $visibility:vis enum $Record:ident
        $(<$($T:ident $(: $($bound:ident)::+ $(+ $($bounds:ident)::+)*)?),+ $(,)?>)?
        { $($variants:tt)* } $($items:tt)*
    ) => {
        $($crate::record! { @whole $($attribute)* })*
        $crate::record! {
            @variants [
                @enum {$(#[$($attribute)*])* $visibility} $Record [$($($T [$($($bound)::+ $(+ $($bounds)::+)*)?])+)?]
            ] $($variants)*
        }
        $crate::record! { $($items)* }
    };
    ($(#[$($attribute:tt)*])* $visibility:vis struct $Record:ident <$lifetime:lifetime $($wrong:tt)*) => {
        ::core::compile_error!(
            "a `record!` owns what is in it: write `String` for `&str` and `Vec<T>` for `&[T]`, or implement `Encode` \
             for a type that borrows"
        );
    };
    ($($wrong:tt)*) => {
        ::core::compile_error!(
            "write structs and enums in a `record!`, as `struct Name { field: Type }`, `struct Name(Type);`, \
             `struct Name;` or `enum Name { Variant, ... }`, with type parameters as `Name<T>` or `Name<T: Bound>`, \
             without constants and without `where`"
        );
    };
}
