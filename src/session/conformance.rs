//! The contract of every [`SessionStore`], as tests that any store can be put to.
//!
//! A store shows what it can do by a [`Subject`], and [`conformance_tests!`](crate::conformance_tests) makes a test of
//! each claim, named after it. A claim that needs something that the subject can't do, such as damaging a record,
//! prints `SKIP` and the reason.
//!
//! ```
//! use shelflife::conformance::{Subject, Settings};
//! use shelflife::{MemorySessionStore, SessionOptions, SessionStore};
//! use std::sync::Arc;
//!
//! struct Memory;
//!
//! impl Subject for Memory {
//!     fn store(&self, settings: Settings) -> Arc<dyn SessionStore> {
//!         Arc::new(settings.options().in_memory())
//!     }
//! }
//!
//! mod memory {
//!     shelflife::conformance_tests!(super::Memory);
//! }
//! # shelflife::conformance::hold::a_session_with_only_a_user_can_be_found(&Memory);
//! ```
//!
//! # A store on a server
//!
//! It may do these things differently, and the claims allow it: the closure of an update runs more than once, of which
//! the last run counts; a list is not of one moment; a session that has ended is gone by itself, so that no sweep
//! counts it ([`Subject::keeps_what_has_ended`]); logins under a cap take turns, and the oldest sessions may end a moment
//! after the new one is there.

use super::lifetime::Lifetime;
use super::{Saved, Session, SessionHandle, SessionId, SessionOptions, SessionStore};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

mod deletion;
mod life;
mod renewal;
mod safety;
mod users;
mod values;

/// The claims.
pub mod hold {
    pub use super::deletion::*;
    pub use super::life::*;
    pub use super::renewal::*;
    pub use super::safety::*;
    pub use super::users::*;
    pub use super::values::*;
}

/// How the sessions of a store are to live.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// The lifetimes of the store.
    pub lifetime: Lifetime,
    /// A touch this soon after the last use writes nothing; `None` is a minute.
    pub access_resolution: Option<Duration>,
    /// The most bytes of a session.
    pub session_bytes_max: Option<usize>,
}

impl Settings {
    /// The same as options.
    pub fn options(self) -> SessionOptions {
        let mut options = SessionOptions::new();
        if let Some(idle) = self.lifetime.idle {
            options.idle_lifetime(idle);
        }
        if let Some(absolute) = self.lifetime.absolute {
            options.absolute_lifetime(absolute);
        }
        if let Some(resolution) = self.access_resolution {
            options.access_resolution(resolution);
        }
        if let Some(bytes) = self.session_bytes_max {
            options.session_bytes_max(bytes);
        }
        options
    }

    fn idle(idle: Duration) -> Settings {
        Settings::lifetimes(Some(idle), None)
    }

    fn lifetimes(idle: Option<Duration>, absolute: Option<Duration>) -> Settings {
        Settings {
            lifetime: Lifetime { idle, absolute },
            ..Settings::default()
        }
    }
}

/// A kind of store, and all that can be done to it from outside. A method that is not written says that it can't be
/// done.
pub trait Subject {
    /// Opens a store without sessions. Each claim opens one.
    fn store(&self, settings: Settings) -> Arc<dyn SessionStore>;

    /// Opens the same sessions once more.
    fn another(&self) -> Option<Arc<dyn SessionStore>> {
        None
    }

    /// Lets so much time pass for the store that was opened. `false`: it goes by another clock.
    fn advance(&self, by: Duration) -> bool {
        let _ = by;
        false
    }

    /// Whether time passes by making what is stored older, where the clock is one that nobody can set: each time that
    /// was noted before then reads as so much earlier.
    fn makes_older(&self) -> bool {
        false
    }

    /// How exact the time that passes is. With a clock that goes on by itself a claim takes a while, too.
    fn grain(&self) -> Duration {
        Duration::from_millis(1)
    }

    /// Makes what is stored of a session unreadable.
    fn damage(&self, id: &SessionId) -> bool {
        let _ = id;
        false
    }

    /// Puts these bytes in the place of what is stored of a session: a map in CBOR, or anything.
    fn replace(&self, id: &SessionId, bytes: &[u8]) -> bool {
        let _ = (id, bytes);
        false
    }

    /// Puts a value of the application's own beside the sessions, under a key of text.
    fn put_beside(&self, key: &str, value: &[u8]) -> bool {
        let _ = (key, value);
        false
    }

    /// Everything that the store holds at rest.
    fn at_rest(&self) -> Option<Vec<u8>> {
        None
    }

    /// Lets every call of the store fail from now on.
    fn fail(&self) -> bool {
        false
    }

    /// Whether ids are hashed at rest.
    fn hashes_ids(&self) -> bool {
        false
    }

    /// Whether what has ended stays, hidden, until it is swept.
    fn keeps_what_has_ended(&self) -> bool {
        true
    }
}

/// Makes a test of each claim, for the store that the expression makes a [`Subject`] of.
#[macro_export]
macro_rules! conformance_tests {
    ($subject:expr) => {
        $crate::conformance_tests!{@each $subject;
            loading_an_unknown_id_is_absent_and_no_error
            a_stored_session_is_found_with_what_was_put_in
            saving_again_replaces_the_values
            loading_or_probing_an_unknown_id_stores_nothing
            an_empty_id_is_no_id
            an_id_that_is_too_short_or_too_long_is_no_id
            an_id_with_path_characters_is_no_id
            an_id_in_another_alphabet_is_no_id
            an_id_has_one_text_only
            has_session_agrees_with_load_session
            a_new_session_without_content_is_not_stored
            two_new_sessions_get_two_ids
            a_thousand_ids_have_no_collision_and_all_bits_of_them_vary
            the_id_of_a_new_session_is_the_stores
            the_id_of_a_session_cannot_be_set_by_the_application
            an_unknown_but_well_formed_id_is_never_adopted
            saving_leaves_the_copys_values_as_they_are
            a_large_value_comes_back
            a_session_with_only_a_user_can_be_found
            unicode_controls_and_empty_texts_survive_in_keys_and_values
            keys_are_case_sensitive
            keys_named_like_fields_of_the_record_are_ordinary_keys
            get_of_an_absent_key_is_none_and_no_modification
            a_new_session_is_unmodified
            reading_keys_and_values_modifies_nothing
            a_removed_value_is_absent_after_the_next_load
            removing_what_is_not_there_modifies_nothing
            a_value_of_another_type_is_an_error_and_no_default
            values_of_every_type_come_back
            putting_in_what_is_there_already_is_no_modification
            one_value_of_an_unexpected_type_does_not_spoil_the_others
            saving_an_unmodified_session_does_not_raise_its_version
            a_request_that_only_read_rolls_back_nobodys_change
            the_second_of_two_overlapping_changes_is_told
            changes_of_different_keys_by_overlapping_requests_can_both_be_kept
            saving_twice_is_one_change
            values_are_as_they_were_saved_not_as_the_copy_is_changed_later
            many_threads_that_change_one_session_by_update_lose_nothing
            a_reload_gives_what_is_stored_now
            a_reload_of_what_was_deleted_is_absent
            an_update_that_returns_an_error_changes_nothing_and_the_error_comes_back
            a_created_form_token_is_known_until_removed
            beyond_32_form_tokens_the_oldest_is_forgotten
            a_form_token_of_another_session_is_not_known
            of_two_requests_that_submit_one_form_token_exactly_one_succeeds
            all_values_can_be_removed_at_once
            form_tokens_can_be_removed_at_once
            a_session_over_a_configured_size_is_refused_before_it_is_stored
            saving_a_deleted_session_does_not_bring_it_back
            touching_or_saving_unmodified_after_a_delete_does_not_bring_it_back
            a_session_that_lost_all_it_held_is_deleted
            a_deleted_session_is_absent
            deleting_what_is_not_there_is_no_error
            deleting_twice_is_no_error
            deleting_one_leaves_the_others
            all_sessions_can_be_removed_at_once
            setup_refuses_a_store_with_sessions_when_asked_to
            after_a_delete_the_same_copy_emptied_starts_a_new_session
            a_user_has_no_more_sessions_than_a_cap_allows
            a_new_id_has_the_same_content
            the_old_id_is_absent_afterwards
            changes_made_before_a_new_id_are_stored_with_it
            changes_made_after_a_new_id_are_stored_under_it
            two_new_ids_in_a_row_leave_one_session
            a_new_id_for_a_session_that_was_never_stored_stores_it
            a_new_id_for_a_deleted_session_is_refused_and_stores_nothing
            of_two_requests_that_give_new_ids_at_once_one_wins
            a_new_id_for_an_unmodified_copy_keeps_what_another_request_changed
            what_is_saved_with_the_old_id_afterwards_is_told_that_it_is_gone
            a_login_gives_the_session_its_full_absolute_lifetime_again
            a_new_id_counts_as_use
            an_idle_session_ends
            an_idle_session_does_not_end_before_its_time
            an_old_session_ends_however_much_it_is_used
            use_prolongs_the_idle_lifetime_without_a_change_of_content
            of_both_lifetimes_the_earlier_end_counts
            an_expired_session_is_absent_before_any_sweep
            a_logout_ends_what_is_hidden_as_well_and_says_so
            an_expired_session_cannot_be_saved_or_given_a_new_id
            one_session_can_be_given_a_lifetime_of_its_own
            a_session_given_an_end_in_the_past_is_absent_at_once
            one_session_can_be_made_to_never_expire
            the_end_of_a_session_can_be_read
            the_time_of_creation_survives_changes_and_new_ids
            loading_alone_writes_nothing_and_prolongs_nothing
            a_touch_changes_no_content_and_no_version
            a_sweep_deletes_what_has_ended_counts_it_and_leaves_the_rest
            a_sweep_by_idle_time_works_without_configured_lifetimes
            a_sweep_of_an_empty_store_deletes_none_of_none
            all_sessions_can_be_listed_with_their_content
            a_thousand_sessions_are_listed_and_counted
            a_session_that_is_deleted_while_a_list_runs_is_no_error
            an_update_counts_as_use
            the_sessions_of_a_user_are_found
            the_sessions_of_a_user_are_in_the_order_of_their_use
            a_session_that_was_logged_out_is_not_found_under_the_user
            a_session_whose_user_changed_is_found_under_the_new_one_only
            an_expired_session_is_not_found_under_its_user
            a_session_in_use_is_found_under_its_user_for_as_long_as_it_lives
            a_new_id_is_found_under_the_user_and_the_old_one_is_not
            all_sessions_of_a_user_can_be_ended
            all_sessions_of_a_user_but_the_current_one_can_be_ended
            one_session_of_a_user_can_be_ended_and_nobody_elses
            users_that_differ_in_case_prefix_or_normal_form_are_different_users
            a_list_of_many_sessions_follows_every_change
            with_ids_hashed_nothing_at_rest_is_the_secret
            with_ids_hashed_what_is_at_rest_is_no_cookie
            the_old_id_stays_dead_when_a_slow_request_saves
            a_destroyed_session_cannot_be_used_again_by_its_cookie
            who_planted_the_id_is_not_logged_in_by_the_login
            a_form_token_from_before_the_login_is_not_valid_after_it
            an_id_text_cannot_reach_another_entry
            no_entry_is_taken_for_a_session_whatever_its_key_looks_like
            requests_with_random_ids_create_no_records
            after_a_flush_two_visitors_never_share_a_session
            a_copy_of_a_session_that_was_never_stored_takes_over_none
            an_expired_session_is_refused_by_the_server
            debug_and_errors_show_no_id
            no_decoding_gives_an_id_a_second_spelling
            stored_bytes_run_no_code_and_overflow_nothing
            logging_out_everywhere_ends_also_a_session_that_is_saved_meanwhile
            logging_out_everywhere_works_although_another_record_is_damaged
            the_daily_sweep_works_although_one_record_is_damaged
            the_sessions_of_a_user_can_be_listed_although_anothers_record_is_damaged
            a_session_with_a_field_that_is_not_known_is_still_a_session
            a_damaged_session_is_an_error_for_its_visitor_alone_who_can_be_given_a_new_one
            a_session_of_one_user_never_becomes_anothers_unsaved
            a_copy_cannot_be_saved_into_a_store_it_does_not_come_from
            a_change_of_rights_in_an_update_keeps_the_id
            no_cache_gives_a_stale_session
            a_failing_store_is_an_error_and_no_absent_session
            what_is_no_session_under_an_id_is_an_error_and_can_be_deleted
        }
    };
    (@each $subject:expr; $($claim:ident)*) => {
        $(
            #[test]
            fn $claim() {
                $crate::conformance::hold::$claim(&$subject);
            }
        )*
    };
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const UNKNOWN: &str = "AAECAwQFBgcICQoLDA0ODw";

/// Tells that a claim could not be put to the test.
fn skip(claim: &str, why: &str) {
    println!("SKIP {claim}: the store can't {why}");
}

fn save(store: &dyn SessionStore, session: &mut Session) {
    let saved = store.save_session(session).unwrap();
    assert!(matches!(saved, Saved::Stored), "{saved:?}");
}

fn renew(store: &dyn SessionStore, session: &mut Session) {
    let saved = store.regenerate_id(session).unwrap();
    assert!(matches!(saved, Saved::Stored), "{saved:?}");
}

fn is_gone(saved: crate::Result<Saved>) -> bool {
    matches!(saved.unwrap(), Saved::Gone)
}

/// A session of this user that the store has.
fn login(store: &dyn SessionStore, user: &str) -> Session {
    let mut session = Session::new();
    session.set_user(Some(user));
    save(store, &mut session);
    session
}

fn id(session: &Session) -> SessionId {
    session.id().expect("it was stored").clone()
}

fn handle(session: &Session) -> SessionHandle {
    session.handle().expect("it was stored")
}

fn load(store: &dyn SessionStore, id: &SessionId) -> Session {
    store.load_session(id).unwrap().expect("it is there")
}

fn count(store: &dyn SessionStore) -> usize {
    let sessions: crate::Result<Vec<Session>> = store.iter_sessions().collect();
    sessions.unwrap().len()
}

/// The users of all sessions, sorted.
fn users(store: &dyn SessionStore) -> Vec<String> {
    let sessions = store.iter_sessions().map(|session| session.unwrap());
    let users = sessions.map(|session| session.user().unwrap_or("-").to_string());
    let mut users: Vec<String> = users.collect();
    users.sort();
    users
}

/// The time before its end at which a session is surely still there.
fn margin(subject: &dyn Subject) -> Duration {
    SECOND.max(subject.grain())
}

/// The reading of a time that was noted, once so much has passed.
fn noted(subject: &dyn Subject, at: Option<SystemTime>, passed: Duration) -> Option<SystemTime> {
    match subject.makes_older() {
        true => at.map(|at| at - passed),
        false => at,
    }
}

/// Every way to ask for a session says that there is none.
fn assert_absent(store: &dyn SessionStore, id: &SessionId) {
    assert!(store.load_session(id).unwrap().is_none(), "it was loaded");
    assert!(!store.has_session(id).unwrap(), "it is there");
    assert!(!store.touch_session(id).unwrap(), "it was touched");
    let mut edit = |_: &mut Session| -> crate::Result<()> { panic!("there is nothing to update") };
    assert!(store.edit_session(id, &mut edit).unwrap().is_none());
    let mut listed = store.iter_sessions().map(|session| session.unwrap());
    assert!(
        listed.all(|session| session.handle() != Some(id.handle())),
        "it is listed"
    );
}
