//! Keys that know the type of their value.

use std::fmt;
use std::marker::PhantomData;

/// The key of a [`Session`](crate::Session)'s value, with the type of the value: what is put in and taken out under it
/// is a `T`, or the program does not compile.
///
/// ```
/// use shelflife::{Key, Session};
///
/// const CART: Key<Vec<String>> = Key::new("cart");
///
/// let mut session = Session::new();
/// session.insert(CART, &vec!["tea".to_string()])?;
/// let cart = session.get(CART)?.unwrap_or_default();
/// assert_eq!(cart, ["tea"]);
/// # Ok::<(), shelflife::Error>(())
/// ```
///
/// Another type under it is refused by the compiler:
///
/// ```compile_fail,E0277
/// # use shelflife::{Key, Session};
/// const CART: Key<Vec<String>> = Key::new("cart");
/// Session::new().insert(CART, &7u64)?;
/// # Ok::<(), shelflife::Error>(())
/// ```
pub struct Key<T>(&'static str, PhantomData<fn() -> T>);

impl<T> Key<T> {
    /// The key of this name. Keys of the same name are the same key.
    pub const fn new(name: &'static str) -> Key<T> {
        Key(name, PhantomData)
    }
}

impl<T> AsRef<str> for Key<T> {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Key<T> {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.0).finish()
    }
}

/// The name of a value of a [`Session`](crate::Session) that is a `T`: a text, under which any type may stand, or a
/// [`Key`], under which only its own does.
pub trait AsKey<T: ?Sized>: AsRef<str> {}

impl<T: ?Sized> AsKey<T> for &str {}
impl<T: ?Sized> AsKey<T> for &String {}
impl<T: ?Sized> AsKey<T> for String {}
impl<T> AsKey<T> for Key<T> {}
