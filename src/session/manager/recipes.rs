//! Whole programs that use the manager on common servers, and adapters for the session traits of other crates.
//!
//! Each is compiled and run as it stands, outside this crate: a browser walks through all of them, restarts with
//! `kill -9` included. They share [the shop](shop); the code between it and a server is the recipe.
//!
//! Under each server the glue does four things:
//!
//! 1. Refuse what [is cross-origin](crate::SessionManager::is_cross_origin), before any handler runs.
//! 2. [Begin](crate::SessionManager::begin) with the bytes of all `Cookie` fields.
//! 3. [Finish](crate::manager::Visit::finish) when the head of the response is built; drop the visit for a status of
//!    500 or more. An error is 503 if it [is busy](crate::Error::is_busy), otherwise 500. If something [is
//!    lost](crate::manager::Finished::is_lost) of a request that was to change something, answer 409.
//! 4. Append [the headers](crate::manager::Finished::headers).

/// The web application that all recipes serve: a cart, a login, and a list of devices.
#[doc = include_str!("recipes/shop.md")]
pub mod shop {}

/// A server of a page of std and nothing else.
#[doc = include_str!("recipes/std_net.md")]
pub mod std_net {}

/// `tiny_http` 0.12: a thread pool of blocking handlers.
#[doc = include_str!("recipes/tiny_http.md")]
pub mod tiny_http {}

/// `axum` 0.8: the manager as a middleware.
#[doc = include_str!("recipes/axum.md")]
pub mod axum {}

/// `actix-web` 4: the handler and the end of its visit where it may block.
#[doc = include_str!("recipes/actix_web.md")]
pub mod actix_web {}

/// The trait of `tower-sessions` 0.15 over a store of this crate, under that crate's own middleware.
#[doc = include_str!("recipes/tower_sessions.md")]
pub mod tower_sessions {}

/// The trait of `actix-session` 0.11 over a store of this crate, under that crate's own middleware.
#[doc = include_str!("recipes/actix_session.md")]
pub mod actix_session {}
